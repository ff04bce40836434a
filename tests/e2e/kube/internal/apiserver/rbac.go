package apiserver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/rbac/v1"
)

// rbac allows what roles and bindings on this server allow (Kubernetes documentation, "Using RBAC Authorization").
// kube-apiserver's own authorizer is in no library. Roles are not aggregated.
type rbac struct{ known atomic.Pointer[policy] }

type policy struct {
	roles               listers.RoleLister
	clusterRoles        listers.ClusterRoleLister
	roleBindings        listers.RoleBindingLister
	clusterRoleBindings listers.ClusterRoleBindingLister
}

func (r *rbac) authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	p := r.known.Load()
	if p == nil { // before start
		return authorizer.DecisionNoOpinion, "", nil
	}
	return p.authorize(a)
}

func (p *policy) authorize(a authorizer.Attributes) (authorizer.Decision, string, error) {
	clusterBindings, err := p.clusterRoleBindings.List(labels.Everything())
	if err != nil {
		return authorizer.DecisionNoOpinion, "", err
	}
	for _, b := range clusterBindings {
		if bound(b.Subjects, "", a.GetUser()) && p.allows(b.RoleRef, "", a) {
			return authorizer.DecisionAllow, fmt.Sprintf("RBAC: allowed by ClusterRoleBinding %q", b.Name), nil
		}
	}
	if !a.IsResourceRequest() || a.GetNamespace() == "" {
		return authorizer.DecisionNoOpinion, "", nil
	}
	bindings, err := p.roleBindings.RoleBindings(a.GetNamespace()).List(labels.Everything())
	if err != nil {
		return authorizer.DecisionNoOpinion, "", err
	}
	for _, b := range bindings {
		if bound(b.Subjects, b.Namespace, a.GetUser()) && p.allows(b.RoleRef, b.Namespace, a) {
			return authorizer.DecisionAllow, fmt.Sprintf("RBAC: allowed by RoleBinding %q", b.Namespace+"/"+b.Name), nil
		}
	}
	return authorizer.DecisionNoOpinion, "", nil
}

func (p *policy) allows(ref rbacv1.RoleRef, namespace string, a authorizer.Attributes) bool {
	var rules []rbacv1.PolicyRule
	if ref.Kind == "ClusterRole" {
		if role, err := p.clusterRoles.Get(ref.Name); err == nil {
			rules = role.Rules
		}
	} else if role, err := p.roles.Roles(namespace).Get(ref.Name); err == nil {
		rules = role.Rules
	}
	return slices.ContainsFunc(rules, func(rule rbacv1.PolicyRule) bool { return covers(rule, a) })
}

func bound(subjects []rbacv1.Subject, namespace string, who user.Info) bool {
	return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
		switch s.Kind {
		case rbacv1.UserKind:
			return s.Name == who.GetName()
		case rbacv1.GroupKind:
			return slices.Contains(who.GetGroups(), s.Name)
		case rbacv1.ServiceAccountKind:
			if s.Namespace != "" {
				namespace = s.Namespace
			}
			return namespace != "" && serviceaccount.MatchesUsername(namespace, s.Name, who.GetName())
		}
		return false
	})
}

func covers(rule rbacv1.PolicyRule, a authorizer.Attributes) bool {
	has := func(all []string, one string) bool { return slices.Contains(all, "*") || slices.Contains(all, one) }
	if !has(rule.Verbs, a.GetVerb()) {
		return false
	}
	if !a.IsResourceRequest() {
		return slices.ContainsFunc(rule.NonResourceURLs, func(path string) bool {
			prefix, isPrefix := strings.CutSuffix(path, "*")
			return path == a.GetPath() || isPrefix && strings.HasPrefix(a.GetPath(), prefix)
		})
	}
	resource := a.GetResource()
	anyOf := "*"
	if a.GetSubresource() != "" {
		resource += "/" + a.GetSubresource()
		anyOf = "*/" + a.GetSubresource()
	}
	return has(rule.APIGroups, a.GetAPIGroup()) &&
		(has(rule.Resources, resource) || slices.Contains(rule.Resources, anyOf)) &&
		(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, a.GetName()))
}

// start fills in the default roles and waits until all that is there is known.
func (r *rbac) start(hook genericapiserver.PostStartHookContext) error {
	client, err := kubernetes.NewForConfig(hook.LoopbackClientConfig)
	if err != nil {
		return err
	}
	for name, d := range defaults {
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: d.rules}
		if _, err := client.RbacV1().ClusterRoles().Create(hook, role, metav1.CreateOptions{}); err != nil && !errors.IsAlreadyExists(err) {
			return err
		}
		binding := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		}
		for _, group := range d.groups {
			binding.Subjects = append(binding.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group})
		}
		if len(d.groups) == 0 {
			continue
		}
		if _, err := client.RbacV1().ClusterRoleBindings().Create(hook, binding, metav1.CreateOptions{}); err != nil && !errors.IsAlreadyExists(err) {
			return err
		}
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	all := factory.Rbac().V1()
	known := &policy{all.Roles().Lister(), all.ClusterRoles().Lister(), all.RoleBindings().Lister(), all.ClusterRoleBindings().Lister()}
	factory.Start(hook.Done())
	factory.WaitForCacheSync(hook.Done())
	r.known.Store(known)
	return nil
}

type defaultRole struct {
	groups []string
	rules  []rbacv1.PolicyRule
}

// The default roles and bindings that people meet ("Using RBAC Authorization", "Default roles and role bindings").
var defaults = map[string]defaultRole{
	"cluster-admin": {[]string{user.SystemPrivilegedGroup}, []rbacv1.PolicyRule{
		{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}},
		{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}},
	}},
	"system:basic-user": {[]string{user.AllAuthenticated}, []rbacv1.PolicyRule{
		{Verbs: []string{"create"}, APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"selfsubjectaccessreviews", "selfsubjectrulesreviews"}},
		{Verbs: []string{"create"}, APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"selfsubjectreviews"}},
	}},
	"system:discovery": {[]string{user.AllAuthenticated}, []rbacv1.PolicyRule{
		{Verbs: []string{"get"}, NonResourceURLs: []string{"/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"}},
	}},
	"system:public-info-viewer": {[]string{user.AllAuthenticated, user.AllUnauthenticated}, []rbacv1.PolicyRule{
		{Verbs: []string{"get"}, NonResourceURLs: []string{"/healthz", "/livez", "/readyz", "/version", "/version/"}},
	}},
	"system:node": {nil, []rbacv1.PolicyRule{
		{Verbs: []string{"create", "get", "list", "watch", "patch", "update"}, APIGroups: []string{""}, Resources: []string{"nodes", "nodes/status"}},
	}},
	"view": {nil, []rbacv1.PolicyRule{
		{Verbs: []string{"get", "list", "watch"}, APIGroups: []string{""}, Resources: []string{"configmaps", "events", "namespaces"}},
	}},
}
