package apiserver

import (
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/tools/cache"
)

// listCRDGroups keeps the plain list at /apis in step with the CRDs. In
// kube-apiserver that is the aggregator's work. (The newer, aggregated form of
// the same list needs no help: the apiextensions server fills it itself.)
func listCRDGroups(crds *apiserver.CustomResourceDefinitions) error {
	informer := crds.Informers.Apiextensions().V1().CustomResourceDefinitions()
	groups := crds.GenericAPIServer.DiscoveryGroupManager
	sync := func(group string) {
		all, _ := informer.Lister().List(labels.Everything())
		versions := map[string]bool{}
		for _, crd := range all {
			if crd.Spec.Group != group || !established(crd) {
				continue
			}
			for _, v := range crd.Spec.Versions {
				if v.Served {
					versions[v.Name] = true
				}
			}
		}
		if len(versions) == 0 {
			groups.RemoveGroup(group)
			return
		}
		names := make([]string, 0, len(versions))
		for v := range versions {
			names = append(names, v)
		}
		slices.SortFunc(names, func(a, b string) int { return -version.CompareKubeAwareVersionStrings(a, b) })
		g := metav1.APIGroup{Name: group}
		for _, v := range names {
			g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: group + "/" + v, Version: v})
		}
		g.PreferredVersion = g.Versions[0]
		groups.AddGroup(g)
	}
	on := func(obj any) {
		if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		if crd, ok := obj.(*apiextensionsv1.CustomResourceDefinition); ok {
			sync(crd.Spec.Group)
		}
	}
	_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: on, UpdateFunc: func(_, obj any) { on(obj) }, DeleteFunc: on,
	})
	return err
}

func established(crd *apiextensionsv1.CustomResourceDefinition) bool {
	for _, c := range crd.Status.Conditions {
		if c.Type == apiextensionsv1.Established {
			return c.Status == apiextensionsv1.ConditionTrue
		}
	}
	return false
}
