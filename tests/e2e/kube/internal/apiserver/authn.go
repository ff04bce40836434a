package apiserver

import (
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authentication/request/websocket"
	"k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/apiserver/pkg/authentication/token/cache"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/webhook"
)

// Webhook is who judges bearer tokens, in the words of kube-apiserver's flags.
type Webhook struct {
	ConfigFile string
	Version    string
	CacheTTL   time.Duration
}

const (
	// What kube-apiserver has in front of all authenticators of tokens; no flag changes it.
	successTTL = 10 * time.Second
	// What it waits before it asks a failing webhook again.
	retryDelay = 500 * time.Millisecond
)

func (w Webhook) authenticator(audiences []string) (authenticator.Token, error) {
	if w.ConfigFile == "" {
		return nil, nil
	}
	config, err := webhookutil.LoadKubeconfig(w.ConfigFile, nil)
	if err != nil {
		return nil, err
	}
	asked, err := webhook.New(config, w.Version, audiences, webhookutil.DefaultRetryBackoffWithInitialDelay(retryDelay))
	if err != nil {
		return nil, err
	}
	kept := cache.New(asked, false, w.CacheTTL, w.CacheTTL)
	return cache.New(kept, true, successTTL, 0), nil
}

// authenticators are those of kube-apiserver in its order: client certificates, bearer tokens, tokens in a header of a
// WebSocket, and nobody in particular if none of these was there.
func authenticators(clientCA dynamiccertificates.CAContentProvider, token authenticator.Token) authenticator.Request {
	all := []authenticator.Request{x509.NewDynamic(clientCA.VerifyOptions, x509.CommonNameUserConversion)}
	if token != nil {
		all = append(all, bearertoken.New(token), websocket.NewProtocolAuthenticator(token))
	}
	return union.NewFailOnError(group.NewAuthenticatedGroupAdder(union.New(all...)), anonymous.NewAuthenticator(nil))
}
