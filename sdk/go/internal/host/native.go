//go:build !wasip1

package host

import (
	"fmt"
	"sort"
	"strings"
)

// Logged is what policies have logged, as level and text.
var Logged []Line

// Tables are the tables that a test has attached; nil: attached, and not loaded yet.
var Tables = map[string]map[string]string{}

// Found is the machine that a test says the caller is, and NotFound why there is none.
var (
	Found    *Instance
	NotFound = ErrLookUpNotGranted
)

// CallerInstance is what the test has set.
func CallerInstance() (*Instance, error) { return Found, NotFound }

// Tags are those that a test says the caller's role or user has; nil, with NoTags nil too: there is none. NoTags is why they cannot be
// looked up.
var (
	Tags   []Tag
	NoTags = ErrLookUpNotGranted
)

// CallerTags is what the test has set.
func CallerTags() ([]Tag, bool, error) { return Tags, Tags != nil && NoTags == nil, NoTags }

// Line is one line of the log.
type Line struct {
	Level   Level
	Message string
}

// Log keeps one line.
func Log(level Level, message string) { Logged = append(Logged, Line{level, message}) }

// Get is the value of one key.
func Get(table, key string) (string, bool, error) {
	entries, err := entriesOf(table)
	if err != nil {
		return "", false, err
	}
	value, found := entries[key]
	return value, found, nil
}

// maxKeys is the most that one call returns.
const maxKeys = 4096

// Keys are the keys that start with prefix, sorted. It panics where a host ends the decision.
func Keys(table, prefix string, limit uint32) ([]string, error) {
	entries, err := entriesOf(table)
	if err != nil {
		return nil, err
	}
	var keys []string
	for key := range entries {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	keys = keys[:min(len(keys), int(limit))]
	if len(keys) > maxKeys {
		panic(fmt.Sprintf("more than %d keys of %s are asked for: a host ends the decision", maxKeys, table))
	}
	return keys, nil
}

// Version is no digest here, but it is one word for one content's size.
func Version(table string) (string, error) {
	entries, err := entriesOf(table)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("test-%d", len(entries)), nil
}

func entriesOf(table string) (map[string]string, error) {
	entries, there := Tables[table]
	switch {
	case !there:
		return nil, ErrNotGranted
	case entries == nil:
		return nil, ErrNotReady
	default:
		return entries, nil
	}
}
