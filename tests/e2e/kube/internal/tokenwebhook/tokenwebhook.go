// Package tokenwebhook puts together who judges bearer tokens by a webhook: kube-apiserver's own authenticator, with the
// caches that kube-apiserver has in front of it.
package tokenwebhook

import (
	"flag"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/token/cache"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/webhook"
	"k8s.io/client-go/transport"
)

// Options are kube-apiserver's flags about it.
type Options struct {
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

// AddFlags names them as kube-apiserver does.
func (o *Options) AddFlags(flags *flag.FlagSet) {
	flags.StringVar(&o.ConfigFile, "authentication-token-webhook-config-file", "", "webhook kubeconfig; without one no bearer token is accepted")
	flags.StringVar(&o.Version, "authentication-token-webhook-version", "v1beta1", "version of TokenReview: v1beta1 or v1")
	flags.DurationVar(&o.CacheTTL, "authentication-token-webhook-cache-ttl", 2*time.Minute, "how long answers of the webhook are kept")
}

// Authenticator asks the webhook that ConfigFile tells of, through wrap if that is not nil, for an API server with those
// audiences. Without a ConfigFile there is none.
func (o Options) Authenticator(audiences []string, wrap transport.WrapperFunc) (authenticator.Token, error) {
	if o.ConfigFile == "" {
		return nil, nil
	}
	config, err := webhookutil.LoadKubeconfig(o.ConfigFile, nil)
	if err != nil {
		return nil, err
	}
	if wrap != nil {
		config.Wrap(wrap)
	}
	asked, err := webhook.New(config, o.Version, audiences, webhookutil.DefaultRetryBackoffWithInitialDelay(retryDelay))
	if err != nil {
		return nil, err
	}
	kept := cache.New(asked, false, o.CacheTTL, o.CacheTTL)
	return cache.New(kept, true, successTTL, 0), nil
}
