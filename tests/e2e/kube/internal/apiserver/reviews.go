package apiserver

import (
	"context"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
)

// review is a resource that is only ever created: ask, and the answer comes back.
type review struct {
	singular string
	new      func() runtime.Object
	answer   func(ctx context.Context, caller user.Info, obj runtime.Object) error
}

var (
	_ rest.Creater              = review{}
	_ rest.Scoper               = review{}
	_ rest.SingularNameProvider = review{}
)

func (r review) New() runtime.Object     { return r.new() }
func (r review) Destroy()                {}
func (r review) NamespaceScoped() bool   { return false }
func (r review) GetSingularName() string { return r.singular }

func (r review) Create(ctx context.Context, obj runtime.Object, _ rest.ValidateObjectFunc, _ *metav1.CreateOptions) (runtime.Object, error) {
	caller, ok := request.UserFrom(ctx)
	if !ok {
		return nil, errors.NewBadRequest("no user in this request")
	}
	return obj, r.answer(ctx, caller, obj)
}

func userInfo(u user.Info) authenticationv1.UserInfo {
	info := authenticationv1.UserInfo{Username: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups()}
	for k, v := range u.GetExtra() {
		if info.Extra == nil {
			info.Extra = map[string]authenticationv1.ExtraValue{}
		}
		info.Extra[k] = v
	}
	return info
}

// selfSubjectReview answers `kubectl auth whoami`.
func selfSubjectReview() review {
	return review{
		singular: "selfsubjectreview",
		new:      func() runtime.Object { return &authenticationv1.SelfSubjectReview{} },
		answer: func(_ context.Context, caller user.Info, obj runtime.Object) error {
			obj.(*authenticationv1.SelfSubjectReview).Status.UserInfo = userInfo(caller)
			return nil
		},
	}
}

// tokenReview asks the server's own token authenticator, caches and all.
func tokenReview(token authenticator.Token, audiences []string) review {
	return review{
		singular: "tokenreview",
		new:      func() runtime.Object { return &authenticationv1.TokenReview{} },
		answer: func(ctx context.Context, _ user.Info, obj runtime.Object) error {
			r := obj.(*authenticationv1.TokenReview)
			if r.Spec.Token == "" {
				return errors.NewBadRequest("token is required for TokenReview in authentication")
			}
			if token == nil {
				return nil
			}
			wanted := r.Spec.Audiences
			if len(wanted) == 0 {
				wanted = audiences
			}
			if len(wanted) > 0 {
				ctx = authenticator.WithAudiences(ctx, wanted)
			}
			response, ok, err := token.AuthenticateToken(ctx, r.Spec.Token)
			if err != nil {
				r.Status.Error = err.Error()
			}
			if ok && response != nil {
				r.Status = authenticationv1.TokenReviewStatus{
					Authenticated: true, User: userInfo(response.User), Audiences: response.Audiences,
				}
			}
			return nil
		},
	}
}

// selfSubjectAccessReview answers `kubectl auth can-i`.
func selfSubjectAccessReview(authz authorizer.Authorizer) review {
	return review{
		singular: "selfsubjectaccessreview",
		new:      func() runtime.Object { return &authorizationv1.SelfSubjectAccessReview{} },
		answer: func(ctx context.Context, caller user.Info, obj runtime.Object) error {
			r := obj.(*authorizationv1.SelfSubjectAccessReview)
			attrs := authorizer.AttributesRecord{User: caller}
			switch {
			case r.Spec.ResourceAttributes != nil:
				a := r.Spec.ResourceAttributes
				attrs.ResourceRequest = true
				attrs.Verb, attrs.Namespace, attrs.Name = a.Verb, a.Namespace, a.Name
				attrs.APIGroup, attrs.APIVersion, attrs.Resource, attrs.Subresource = a.Group, a.Version, a.Resource, a.Subresource
			case r.Spec.NonResourceAttributes != nil:
				attrs.Verb, attrs.Path = r.Spec.NonResourceAttributes.Verb, r.Spec.NonResourceAttributes.Path
			default:
				return errors.NewBadRequest("resourceAttributes or nonResourceAttributes must be given")
			}
			decision, reason, err := authz.Authorize(ctx, attrs)
			r.Status = authorizationv1.SubjectAccessReviewStatus{
				Allowed: decision == authorizer.DecisionAllow, Denied: decision == authorizer.DecisionDeny, Reason: reason,
			}
			if err != nil {
				r.Status.EvaluationError = err.Error()
			}
			return nil
		},
	}
}
