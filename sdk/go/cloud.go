package policy

import "herald.dev/policy/internal/host"

// Instance is a virtual machine.
type Instance = host.Instance

// Tag is one tag of a machine, or of a role or user.
type Tag = host.Tag

// ErrForbidden says that the host's credentials may not look that up about the caller. Returned from Decide, it counts as
// Unavailable.
var ErrForbidden = host.ErrForbidden

// ErrLookUpNotGranted says that this policy was not granted to know that about the caller.
var ErrLookUpNotGranted = host.ErrLookUpNotGranted

// ErrLookUpFailed says that the look-up was throttled, timed out or failed. Returned from Decide, it counts as Unavailable.
var ErrLookUpFailed = host.ErrLookUpFailed

// CallerInstance is the machine that the caller's session name stands for, of the caller's own account; nil if he is no
// machine. It is looked up with the host's cloud credentials, where the operator grants that.
func CallerInstance() (*Instance, error) { return host.CallerInstance() }

// CallerTags are the tags of the role or user behind the caller; false if he is neither, or it is not there any more. Those of his
// session are not among them. They are looked up likewise.
func CallerTags() (tags []Tag, found bool, err error) { return host.CallerTags() }
