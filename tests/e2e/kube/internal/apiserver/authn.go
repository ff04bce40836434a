package apiserver

import (
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authentication/request/websocket"
	"k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// authenticators are those of kube-apiserver in its order: client certificates, bearer tokens, tokens in a header of a
// WebSocket, and nobody in particular if none of these was there.
func authenticators(clientCA dynamiccertificates.CAContentProvider, token authenticator.Token) authenticator.Request {
	all := []authenticator.Request{x509.NewDynamic(clientCA.VerifyOptions, x509.CommonNameUserConversion)}
	if token != nil {
		all = append(all, bearertoken.New(token), websocket.NewProtocolAuthenticator(token))
	}
	return union.NewFailOnError(group.NewAuthenticatedGroupAdder(union.New(all...)), anonymous.NewAuthenticator(nil))
}
