// Package host is what a policy may ask of Herald: the log, tables and facts about the caller. In a component these are imports of the
// contract; in a native build they are what package policytest has set.
package host

import "errors"

// Level is how much a line of the log matters.
type Level uint32

// The levels, in the order of the contract.
const (
	Debug Level = iota
	Info
	Warn
	Error
)

// Why a table could not be read, in the order of the contract.
var (
	ErrNotGranted = errors.New("the table is not attached to this policy")
	ErrNotReady   = errors.New("the table is not loaded yet")
)

// Why something could not be looked up about the caller.
var (
	ErrForbidden        = errors.New("the host may not look that up about the caller")
	ErrLookUpFailed     = errors.New("that cannot be looked up about the caller now")
	ErrLookUpNotGranted = errors.New("this policy is not granted to know that about the caller: see `cloud`")
)

// Instance is a virtual machine.
type Instance struct {
	// ID is i-….
	ID string
	// PrivateDNSName is empty if it has none.
	PrivateDNSName string
	// PrivateIP is its primary private address.
	PrivateIP string
	// Zone is the one it runs in.
	Zone string
	// ImageID is the image it was started from.
	ImageID string
	Tags    []Tag
}

// Tag is one tag of a machine, or of a role or user.
type Tag struct{ Key, Value string }

// Tag is the value of one tag; false if the machine does not have it.
func (i *Instance) Tag(key string) (value string, found bool) {
	for _, tag := range i.Tags {
		if tag.Key == key {
			return tag.Value, true
		}
	}
	return "", false
}
