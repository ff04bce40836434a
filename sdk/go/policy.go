// Package policy makes a Herald policy of a few lines of Go.
//
// A policy decides who a verified cloud caller is in a Kubernetes cluster. It is made once from the operator's
// settings, then asked once per login, on a fresh instance:
//
//	func init() { policy.Export(configure) }
//
//	func configure(settings Settings) (policy.Policy, error) { … }
//
//	func (p myPolicy) Decide(request *policy.Request) (policy.Decision, error) { … }
//
// `herald policy build` makes a component of it. In a native build Export only keeps the function, so that the policy
// can be tested with plain `go test` and package policytest.
package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Policy answers requests.
type Policy interface {
	// Decide answers one request. Nothing that a call changes may matter to a later one.
	//
	// Every error refuses the login: a Fault made by Unavailable with the advice to try again, all others without.
	// A panic refuses it too, and its message goes to the log.
	Decide(request *Request) (Decision, error)
}

// Decision is what a policy says about a caller; see Abstain, Allow and Deny. The zero value abstains.
type Decision struct {
	verdict verdict
	mapping Mapping
	why     string
}

type verdict uint8

const (
	abstains verdict = iota
	allows
	denies
)

// Abstain has no opinion: the next stage is asked.
func Abstain() Decision { return Decision{} }

// Allow makes the caller this from here on.
func Allow(mapping Mapping) Decision { return Decision{verdict: allows, mapping: mapping} }

// Deny is final: the login is refused. The text goes to the audit log, never to the caller.
func Deny(why string) Decision { return Decision{verdict: denies, why: why} }

// String is for messages of tests.
func (d Decision) String() string {
	switch d.verdict {
	case allows:
		return fmt.Sprintf("allow %+v", d.mapping)
	case denies:
		return fmt.Sprintf("deny %q", d.why)
	default:
		return "abstain"
	}
}

// Fault is why a policy could not decide. It refuses the login and never counts as Abstain.
type Fault struct {
	why         string
	unavailable bool
}

// Unavailable says that something outside the policy is missing or slow: the API server is told to try again.
func Unavailable(why string) *Fault { return &Fault{why, true} }

// Broken says that the policy or its settings are broken: the API server does not try again by itself.
func Broken(why string) *Fault { return &Fault{why, false} }

// Error is the text for the audit log.
func (f *Fault) Error() string { return f.why }

// isUnavailable tells an error that another try may mend from all others. A Fault says so itself, whatever it was made of.
func isUnavailable(err error) bool {
	var fault *Fault
	if errors.As(err, &fault) {
		return fault.unavailable
	}
	return errors.Is(err, ErrNotReady) || errors.Is(err, ErrForbidden) || errors.Is(err, ErrLookUpFailed)
}

var exported func(settings []byte) (Policy, error)

// Export makes a component's policy of a function that takes the settings. Call it once, in an init function.
//
// S is read from JSON as encoding/json does, except that a key it has no field for is an error, so that a typo is
// refused by name when the policy loads. What the function returns as an error is shown to the operator, and the
// policy does not load: name the setting and say what it should be. A panic is such an error.
func Export[S any](configure func(S) (Policy, error)) {
	exported = func(settings []byte) (made Policy, err error) {
		// There is no login yet that could have a line in its log, as a panic of Decide has.
		defer func() {
			if panicked := recover(); panicked != nil {
				made, err = nil, fmt.Errorf("panic: %v", panicked)
			}
		}()
		return Configure(configure, settings)
	}
}

// Configure makes a policy from its settings in JSON, as the host does; for tests.
func Configure[S any](configure func(S) (Policy, error), settings []byte) (Policy, error) {
	var read S
	decoder := json.NewDecoder(bytes.NewReader(settings))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&read); err != nil {
		return nil, err
	}
	made, err := configure(read)
	if err == nil && made == nil {
		err = errors.New("the policy is nil")
	}
	return made, err
}
