//go:build !wasip1

// Package policytest is for a policy's own unit tests: callers made by hand, and what the policy logged.
package policytest

import (
	"fmt"
	"testing"

	"herald.dev/policy"
	"herald.dev/policy/internal/host"
)

// Now is the moment of every request made here: 2026-01-01T00:00:00Z.
const Now = 1_767_225_600

// Configure makes a policy from its settings in JSON, and ends the test if they do not fit.
func Configure[S any](t testing.TB, configure func(S) (policy.Policy, error), settings string) policy.Policy {
	t.Helper()
	made, err := policy.Configure(configure, []byte(settings))
	if err != nil {
		t.Fatalf("the settings do not fit: %v", err)
	}
	return made
}

// Session is the request of an AWS role session. Nobody has mapped the caller yet; every field may be changed.
func Session(accountID, role, sessionName string) *policy.Request {
	request := User(accountID, role)
	caller := &request.Caller
	caller.Kind = policy.AssumedRole
	caller.ARN = fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/%s", accountID, role, sessionName)
	caller.CanonicalARN = fmt.Sprintf("arn:aws:iam::%s:role/%s", accountID, role)
	caller.PrincipalID = "AROAEXAMPLEEXAMPLE000"
	caller.SessionName = &sessionName
	return request
}

// User is the request of an AWS IAM user. Nobody has mapped the caller yet; every field may be changed.
func User(accountID, name string) *policy.Request {
	arn := fmt.Sprintf("arn:aws:iam::%s:user/%s", accountID, name)
	return &policy.Request{
		Caller: policy.Caller{
			Provider:     "aws",
			Partition:    "aws",
			AccountID:    accountID,
			Kind:         policy.User,
			ARN:          arn,
			CanonicalARN: arn,
			Name:         name,
			PrincipalID:  "AIDAEXAMPLEEXAMPLE000",
			AccessKeyID:  "AKIAIOSFODNN7EXAMPLE",
			STSRegion:    "us-east-1",
			SignedAt:     Now - 60,
			ExpiresAt:    Now + 840,
		},
		ClusterID: "test.example.com",
		Now:       Now,
	}
}

// Logged is what policies have logged since it was last asked.
func Logged() []string {
	levels := [...]string{"debug", "info", "warn", "error"}
	var lines []string
	for _, line := range host.Logged {
		lines = append(lines, levels[line.Level]+": "+line.Message)
	}
	host.Logged = nil
	return lines
}

// SetTable attaches a table, in place of one of that name.
func SetTable(name string, entries map[string]string) {
	if entries == nil {
		entries = map[string]string{}
	}
	host.Tables[name] = entries
}

// SetNotReady attaches a table that is not loaded yet, in place of one of that name.
func SetNotReady(name string) { host.Tables[name] = nil }

// SetInstance says which machine the caller is, nil for none, or why that cannot be looked up.
func SetInstance(instance *policy.Instance, err error) { host.Found, host.NotFound = instance, err }

// SetTags says which tags the caller's role or user has, nil if there is no such role or user, or why they cannot be looked up.
func SetTags(tags []policy.Tag, err error) { host.Tags, host.NoTags = tags, err }
