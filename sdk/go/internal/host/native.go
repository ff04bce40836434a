//go:build !wasip1

package host

import (
	"fmt"
	"sort"
	"strings"
)

// Logged is what policies have logged, as level and text.
var Logged []Line

// Tables are the tables that a test has attached.
var Tables = map[string]map[string]string{}

// Line is one line of the log.
type Line struct {
	Level   Level
	Message string
}

// Log keeps one line.
func Log(level Level, message string) { Logged = append(Logged, Line{level, message}) }

// Get is the value of one key.
func Get(table, key string) (string, bool, error) {
	entries, there := Tables[table]
	if !there {
		return "", false, ErrNotGranted
	}
	value, found := entries[key]
	return value, found, nil
}

// Keys are the keys that start with prefix, sorted.
func Keys(table, prefix string, limit uint32) ([]string, error) {
	entries, there := Tables[table]
	if !there {
		return nil, ErrNotGranted
	}
	var keys []string
	for key := range entries {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	return keys[:min(len(keys), int(limit))], nil
}

// Version is no digest here, but it is one word for one content's size.
func Version(table string) (string, error) {
	entries, there := Tables[table]
	if !there {
		return "", ErrNotGranted
	}
	return fmt.Sprintf("test-%d", len(entries)), nil
}
