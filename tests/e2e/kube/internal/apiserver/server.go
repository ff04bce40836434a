// Package apiserver is a small Kubernetes API server for tests, made of the libraries that kube-apiserver is made of: the
// generic API server, the apiextensions server, the token webhook authenticator with its caches, and an etcd inside the
// same process.
//
// It serves ConfigMaps, Events, Leases, Namespaces, Nodes, RBAC, Secrets, custom resources and the reviews of tokens and of
// oneself, with watch, patch, apply, discovery and OpenAPI. It runs no controllers and no admission.
package apiserver

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	nooptrace "go.opentelemetry.io/otel/trace/noop"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver"
	apiextensionsoptions "k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/union"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"herald.dev/tests/e2e/kube/internal/tokenwebhook"
)

// Options says what to serve and where.
type Options struct {
	Dir       string // certificates, kubeconfigs and data; what an earlier run left there is taken up
	Port      int    // on 127.0.0.1; 0 lets the kernel pick
	Webhook   tokenwebhook.Options
	Audiences []string
	Ready     func(url string)
}

// Prepare makes certificates and kubeconfigs for a server that listens on o.Port later, as an installer does.
func Prepare(o Options) error {
	p, err := keptPKI(filepath.Join(o.Dir, "pki.json"))
	if err != nil {
		return err
	}
	return p.write(o.Dir, fmt.Sprintf("https://127.0.0.1:%d", o.Port))
}

// Run serves until ctx is done.
func Run(ctx context.Context, o Options) error {
	p, err := keptPKI(filepath.Join(o.Dir, "pki.json"))
	if err != nil {
		return err
	}
	etcd, etcdURL, err := startEtcd(filepath.Join(o.Dir, "etcd"))
	if err != nil {
		return err
	}
	defer etcd.Close()
	listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", o.Port))
	if err != nil {
		return err
	}
	if err := p.write(o.Dir, "https://"+listener.Addr().String()); err != nil {
		return err
	}
	server, err := o.build(p, etcdURL, listener)
	if err != nil {
		listener.Close()
		return err
	}
	return server.RunWithContext(ctx)
}

type runner interface {
	RunWithContext(ctx context.Context) error
}

func (o Options) build(p *pki, etcdURL string, listener net.Listener) (runner, error) {
	config := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	if err := genericoptions.NewServerRunOptions().ApplyTo(&config.Config); err != nil {
		return nil, err
	}

	config.ExternalAddress = listener.Addr().String()

	serving := genericoptions.NewSecureServingOptions()
	serving.Listener, serving.BindAddress = listener, net.IPv4(127, 0, 0, 1)
	serverCert, err := dynamiccertificates.NewStaticCertKeyContent("server", p.ServerCert, p.ServerKey)
	if err != nil {
		return nil, err
	}
	serving.ServerCert.GeneratedCert = serverCert
	if err := serving.WithLoopback().ApplyTo(&config.SecureServing, &config.LoopbackClientConfig); err != nil {
		return nil, err
	}
	clientCA, err := dynamiccertificates.NewStaticCAContent("client-ca", p.CA)
	if err != nil {
		return nil, err
	}
	config.SecureServing.ClientCA = clientCA

	token, err := o.Webhook.Authenticator(o.Audiences, nil)
	if err != nil {
		return nil, fmt.Errorf("token webhook: %w", err)
	}
	config.Authentication.APIAudiences = o.Audiences
	config.Authentication.Authenticator = authenticators(clientCA, token)
	roles := &rbac{}
	authz, err := union.New(
		union.NamedAuthorizer{AuthorizerName: "system:masters", Authorizer: authorizerfactory.NewPrivilegedGroups(user.SystemPrivilegedGroup)},
		union.NamedAuthorizer{AuthorizerName: "RBAC", Authorizer: authorizer.AuthorizerFunc(roles.authorize)},
	)
	if err != nil {
		return nil, err
	}
	config.Authorization.Authorizer = authz

	namer := openapi.NewDefinitionNamer(apiserver.Scheme, clientgoscheme.Scheme)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(openAPIDefinitions, namer)
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(openAPIDefinitions, namer)
	config.OpenAPIConfig.Info.Title, config.OpenAPIV3Config.Info.Title = "Kubernetes", "Kubernetes"

	storage := func(codec runtime.Codec) *genericoptions.EtcdOptions {
		backend := storagebackend.NewDefaultConfig("/registry", codec)
		backend.Transport.ServerList = []string{etcdURL}
		backend.StorageObjectCountTracker = config.StorageObjectCountTracker
		return genericoptions.NewEtcdOptions(backend)
	}
	crdStorage := storage(apiserver.Codecs.LegacyCodec(apiextensionsv1.SchemeGroupVersion))
	if err := crdStorage.ApplyTo(&config.Config); err != nil {
		return nil, err
	}
	if err := genericoptions.NewAPIEnablementOptions().ApplyTo(&config.Config, apiserver.DefaultAPIResourceConfigSource(), apiserver.Scheme); err != nil {
		return nil, err
	}

	crds, err := (&apiserver.Config{
		GenericConfig: config,
		ExtraConfig: apiserver.ExtraConfig{
			CRDRESTOptionsGetter: apiextensionsoptions.NewCRDRESTOptionsGetter(*crdStorage, nil, config.StorageObjectCountTracker),
			MasterCount:          1,
			ServiceResolver:      webhook.NewDefaultServiceResolver(),
			AuthResolverWrapper:  webhook.NewDefaultAuthenticationInfoResolverWrapper(nil, nil, config.LoopbackClientConfig, nooptrace.NewTracerProvider()),
		},
	}).Complete().New(genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, err
	}
	server := crds.GenericAPIServer
	builtins := storage(codecs.LegacyCodec(corev1.SchemeGroupVersion, appsv1.SchemeGroupVersion, coordinationv1.SchemeGroupVersion, rbacv1.SchemeGroupVersion))
	if err := o.installBuiltins(server, builtins, token, authz); err != nil {
		return nil, err
	}

	// The apiextensions server leaves the list at /apis to the server around
	// it. There is none here, so serve it from this one.
	apis := aggregated.WrapAggregatedDiscoveryToHandler(server.DiscoveryGroupManager, server.AggregatedDiscoveryGroupManager, server.AggregatedDiscoveryGroupManager)
	server.Handler.GoRestfulContainer.Add(apis.GenerateWebService("/apis", metav1.APIGroupList{}))
	if err := listCRDGroups(crds); err != nil {
		return nil, err
	}

	server.AddPostStartHookOrDie("namespaces", createNamespaces)
	server.AddPostStartHookOrDie("rbac", roles.start)
	server.AddPostStartHookOrDie("ready", func(hook genericapiserver.PostStartHookContext) error {
		go o.tellReady(hook, server, "https://"+listener.Addr().String())
		return nil
	})
	return server.PrepareRun(), nil
}

func (o Options) installBuiltins(server *genericapiserver.GenericAPIServer, etcd *genericoptions.EtcdOptions, token authenticator.Token, authz authorizer.Authorizer) error {
	getter := etcd.CreateRESTOptionsGetter(&genericoptions.SimpleStorageFactory{StorageConfig: etcd.StorageConfig}, nil)
	group := func(gv schema.GroupVersion, storage map[string]rest.Storage) *genericapiserver.APIGroupInfo {
		info := genericapiserver.NewDefaultAPIGroupInfo(gv.Group, scheme, metav1.ParameterCodec, codecs)
		info.VersionedResourcesStorageMap[gv.Version] = storage
		return &info
	}
	for gv := range stored {
		all, err := storages(gv, getter)
		if err != nil {
			return err
		}
		install, info := server.InstallAPIGroup, group(gv, all)
		if gv.Group == "" {
			install = func(info *genericapiserver.APIGroupInfo) error {
				return server.InstallLegacyAPIGroup(genericapiserver.DefaultLegacyAPIPrefix, info)
			}
		}
		if err := install(info); err != nil {
			return err
		}
	}
	return server.InstallAPIGroups(
		group(authenticationv1.SchemeGroupVersion, map[string]rest.Storage{
			"tokenreviews":       tokenReview(token, o.Audiences),
			"selfsubjectreviews": selfSubjectReview(),
		}),
		group(authorizationv1.SchemeGroupVersion, map[string]rest.Storage{
			"selfsubjectaccessreviews": selfSubjectAccessReview(authz),
		}))
}

func createNamespaces(hook genericapiserver.PostStartHookContext) error {
	client, err := kubernetes.NewForConfig(hook.LoopbackClientConfig)
	if err != nil {
		return err
	}
	for _, name := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := client.CoreV1().Namespaces().Create(hook, ns, metav1.CreateOptions{}); err != nil && !errors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

// tellReady waits for the server's own /readyz.
func (o Options) tellReady(ctx context.Context, server *genericapiserver.GenericAPIServer, url string) {
	for ctx.Err() == nil {
		request, _ := http.NewRequestWithContext(ctx, http.MethodGet, "/readyz", nil)
		answer := &statusOnly{header: http.Header{}}
		server.Handler.Director.ServeHTTP(answer, request)
		if answer.code == http.StatusOK {
			o.Ready(url)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

type statusOnly struct {
	header http.Header
	code   int
}

func (s *statusOnly) Header() http.Header  { return s.header }
func (s *statusOnly) WriteHeader(code int) { s.code = code }
func (s *statusOnly) Write(b []byte) (int, error) {
	if s.code == 0 {
		s.code = http.StatusOK
	}
	return len(b), nil
}
