package apiserver

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The built-in types served here. kube-apiserver keeps internal twins of its types and converts between them; those are
// in no library, so each type is registered as its own twin, and converting is a change of labels.
var (
	scheme = runtime.NewScheme()
	codecs = serializer.NewCodecFactory(scheme)

	types = map[schema.GroupVersion][]runtime.Object{
		corev1.SchemeGroupVersion: {
			&corev1.ConfigMap{}, &corev1.ConfigMapList{},
			&corev1.Event{}, &corev1.EventList{},
			&corev1.Namespace{}, &corev1.NamespaceList{},
			&corev1.Node{}, &corev1.NodeList{},
			&corev1.Secret{}, &corev1.SecretList{},
			&corev1.ServiceAccount{}, &corev1.ServiceAccountList{},
		},
		appsv1.SchemeGroupVersion:         {&appsv1.DaemonSet{}, &appsv1.DaemonSetList{}},
		coordinationv1.SchemeGroupVersion: {&coordinationv1.Lease{}, &coordinationv1.LeaseList{}},
		rbacv1.SchemeGroupVersion: {
			&rbacv1.ClusterRole{}, &rbacv1.ClusterRoleList{},
			&rbacv1.ClusterRoleBinding{}, &rbacv1.ClusterRoleBindingList{},
			&rbacv1.Role{}, &rbacv1.RoleList{},
			&rbacv1.RoleBinding{}, &rbacv1.RoleBindingList{},
		},
		authenticationv1.SchemeGroupVersion: {&authenticationv1.TokenReview{}, &authenticationv1.SelfSubjectReview{}},
		authorizationv1.SchemeGroupVersion:  {&authorizationv1.SelfSubjectAccessReview{}},
	}

	stored = map[schema.GroupVersion][]kind{
		corev1.SchemeGroupVersion: {
			{
				plural: "configmaps", singular: "configmap", short: []string{"cm"}, namespaced: true,
				one: of[corev1.ConfigMap], many: of[corev1.ConfigMapList],
				validate: func(obj runtime.Object) field.ErrorList {
					m := obj.(*corev1.ConfigMap)
					return append(keys(m.Data), keys(m.BinaryData)...)
				},
			},
			{
				plural: "events", singular: "event", short: []string{"ev"}, namespaced: true,
				one: of[corev1.Event], many: of[corev1.EventList], validate: event, fields: involved,
			},
			{
				plural: "namespaces", singular: "namespace", short: []string{"ns"},
				one: of[corev1.Namespace], many: of[corev1.NamespaceList],
			},
			{plural: "nodes", singular: "node", short: []string{"no"}, one: of[corev1.Node], many: of[corev1.NodeList]},
			{
				plural: "secrets", singular: "secret", namespaced: true,
				one: of[corev1.Secret], many: of[corev1.SecretList],
				validate: func(obj runtime.Object) field.ErrorList { return keys(obj.(*corev1.Secret).Data) },
			},
			{
				plural: "serviceaccounts", singular: "serviceaccount", short: []string{"sa"}, namespaced: true,
				one: of[corev1.ServiceAccount], many: of[corev1.ServiceAccountList],
			},
		},
		appsv1.SchemeGroupVersion: {
			{plural: "daemonsets", singular: "daemonset", short: []string{"ds"}, namespaced: true, one: of[appsv1.DaemonSet], many: of[appsv1.DaemonSetList]},
		},
		coordinationv1.SchemeGroupVersion: {
			{plural: "leases", singular: "lease", namespaced: true, one: of[coordinationv1.Lease], many: of[coordinationv1.LeaseList]},
		},
		rbacv1.SchemeGroupVersion: {
			{plural: "clusterroles", singular: "clusterrole", one: of[rbacv1.ClusterRole], many: of[rbacv1.ClusterRoleList]},
			{
				plural: "clusterrolebindings", singular: "clusterrolebinding",
				one: of[rbacv1.ClusterRoleBinding], many: of[rbacv1.ClusterRoleBindingList],
			},
			{plural: "roles", singular: "role", namespaced: true, one: of[rbacv1.Role], many: of[rbacv1.RoleList]},
			{
				plural: "rolebindings", singular: "rolebinding", namespaced: true,
				one: of[rbacv1.RoleBinding], many: of[rbacv1.RoleBindingList],
			},
		},
	}
)

func init() {
	for gv, all := range types {
		metav1.AddToGroupVersion(scheme, gv)
		scheme.AddKnownTypes(gv, all...)
		scheme.AddKnownTypes(schema.GroupVersion{Group: gv.Group, Version: runtime.APIVersionInternal}, all...)
		if err := scheme.SetVersionPriority(gv); err != nil {
			panic(err)
		}
	}
	known := involved(&corev1.Event{})
	if err := scheme.AddFieldLabelConversionFunc(corev1.SchemeGroupVersion.WithKind("Event"),
		func(label, value string) (string, string, error) {
			if !known.Has(label) && !strings.HasPrefix(label, "metadata.name") {
				return "", "", fmt.Errorf("field label not supported: %s", label)
			}
			return label, value, nil
		}); err != nil {
		panic(err)
	}
	scheme.AddUnversionedTypes(schema.GroupVersion{Version: "v1"},
		&metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
}

func of[T any, P interface {
	*T
	runtime.Object
}]() runtime.Object {
	return P(new(T))
}

func keys[V any](data map[string]V) (wrong field.ErrorList) {
	var all []string
	for key := range data {
		all = append(all, key)
	}
	slices.Sort(all)
	for _, key := range all {
		for _, message := range validation.IsConfigMapKey(key) {
			wrong = append(wrong, field.Invalid(field.NewPath("data").Key(key), key, message))
		}
	}
	return wrong
}

// event holds what kube-apiserver asks of an Event without eventTime: it stands where its object does, and in "default"
// if that has no namespace.
func event(obj runtime.Object) field.ErrorList {
	e := obj.(*corev1.Event)
	namespace := e.InvolvedObject.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	if e.Namespace != namespace {
		return field.ErrorList{field.Invalid(field.NewPath("involvedObject", "namespace"), e.InvolvedObject.Namespace,
			fmt.Sprintf("does not match event.namespace %q", e.Namespace))}
	}
	return nil
}

// involved is what an Event can be selected by.
func involved(obj runtime.Object) fields.Set {
	about := obj.(*corev1.Event).InvolvedObject
	return fields.Set{
		"involvedObject.apiVersion": about.APIVersion,
		"involvedObject.kind":       about.Kind,
		"involvedObject.name":       about.Name,
		"involvedObject.namespace":  about.Namespace,
		"involvedObject.uid":        string(about.UID),
	}
}
