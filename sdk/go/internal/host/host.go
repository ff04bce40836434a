// Package host is what a policy may ask of Herald: the log and tables. In a component these are imports of the
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
