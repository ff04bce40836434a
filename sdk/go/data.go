package policy

import "herald.dev/policy/internal/host"

// ErrNotGranted says that no table of that name is attached to this policy.
var ErrNotGranted = host.ErrNotGranted

// ErrNotReady says that a table is attached, but was never loaded yet. Returned from Decide, it counts as Unavailable.
var ErrNotReady = host.ErrNotReady

// Get is the value of one key of a table that the operator attaches; false if the key is not there.
func Get(table, key string) (value string, found bool, err error) { return host.Get(table, key) }

// Keys are a table's keys that start with prefix, sorted, at most limit of them. One call gives 4096 at most: a larger limit
// where there are more keys than that ends the decision as a fault, so that nobody takes a part of a list for all of it.
func Keys(table, prefix string, limit uint32) ([]string, error) {
	return host.Keys(table, prefix, limit)
}

// Version is the digest of a table's content, for the log.
func Version(table string) (string, error) { return host.Version(table) }
