package apiserver

import (
	"context"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
)

// kind is a stored built-in resource, and the strategy by which it is created, updated and deleted.
type kind struct {
	runtime.ObjectTyper
	names.NameGenerator

	plural, singular string
	short            []string
	namespaced       bool
	one, many        func() runtime.Object
	validate         func(runtime.Object) field.ErrorList
	fields           func(runtime.Object) fields.Set // to select by, besides name and namespace
}

type storage struct {
	*registry.Store
	short []string
}

func (s storage) ShortNames() []string { return s.short }

// storages are those of one group, by their names in URLs.
func storages(gv schema.GroupVersion, options generic.RESTOptionsGetter) (map[string]rest.Storage, error) {
	all := map[string]rest.Storage{}
	for _, k := range stored[gv] {
		k.ObjectTyper, k.NameGenerator = scheme, names.SimpleNameGenerator
		resource := schema.GroupResource{Group: gv.Group, Resource: k.plural}
		s := storage{short: k.short, Store: &registry.Store{
			NewFunc: k.one, NewListFunc: k.many,
			DefaultQualifiedResource:  resource,
			SingularQualifiedResource: schema.GroupResource{Group: gv.Group, Resource: k.singular},
			CreateStrategy:            k, UpdateStrategy: k, DeleteStrategy: k,
			TableConvertor: rest.NewDefaultTableConvertor(resource),
		}}
		if err := s.CompleteWithOptions(&generic.StoreOptions{RESTOptions: options, AttrFunc: k.attributes}); err != nil {
			return nil, fmt.Errorf("%s: %w", k.plural, err)
		}
		all[k.plural] = s
	}
	return all, nil
}

func (k kind) attributes(obj runtime.Object) (labels.Set, fields.Set, error) {
	about, err := meta.Accessor(obj)
	if err != nil {
		return nil, nil, err
	}
	selectable := fields.Set{"metadata.name": about.GetName()}
	if k.namespaced {
		selectable["metadata.namespace"] = about.GetNamespace()
	}
	if k.fields != nil {
		maps.Copy(selectable, k.fields(obj))
	}
	return about.GetLabels(), selectable, nil
}

func (k kind) NamespaceScoped() bool                                            { return k.namespaced }
func (k kind) AllowCreateOnUpdate(context.Context) bool                         { return false }
func (k kind) AllowUnconditionalUpdate(context.Context) bool                    { return true }
func (k kind) Canonicalize(runtime.Object)                                      {}
func (k kind) PrepareForCreate(context.Context, runtime.Object)                 {}
func (k kind) PrepareForUpdate(_ context.Context, _, _ runtime.Object)          {}
func (k kind) WarningsOnCreate(context.Context, runtime.Object) []string        { return nil }
func (k kind) WarningsOnUpdate(_ context.Context, _, _ runtime.Object) []string { return nil }

func (k kind) Validate(_ context.Context, obj runtime.Object) field.ErrorList { return k.check(obj) }
func (k kind) ValidateUpdate(_ context.Context, obj, _ runtime.Object) field.ErrorList {
	return k.check(obj)
}

func (k kind) check(obj runtime.Object) field.ErrorList {
	if k.validate == nil {
		return nil
	}
	return k.validate(obj)
}
