// The policy beside this one in Rust, in Go.
package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"herald.dev/policy"
)

type settings struct {
	Account string  `json:"account"`
	Prefix  *string `json:"prefix"`
}

type conformance struct {
	account, prefix string
	templates       policy.Glob
	template        policy.Template
}

var digits = regexp.MustCompile("^[0-9]{12}$")

func configure(set settings) (policy.Policy, error) {
	if !digits.MatchString(set.Account) {
		return nil, fmt.Errorf("account must be 12 digits ≠ “%s”", set.Account)
	}
	made := conformance{account: set.Account, prefix: "default:"}
	if set.Prefix != nil {
		made.prefix = *set.Prefix
	}
	var first, second error
	made.templates, first = policy.ParseGlob("template*")
	made.template, second = policy.ParseTemplate("{{AccountID}}:{{RoleName}}:{{SessionName}}")
	return made, errors.Join(first, second)
}

func (c conformance) Decide(request *policy.Request) (policy.Decision, error) {
	caller := &request.Caller
	if caller.AccountID != c.account {
		return policy.Abstain(), nil
	}
	word := caller.Name
	if caller.SessionName != nil {
		word = *caller.SessionName
	}
	if count, many := strings.CutPrefix(word, "many-"); many {
		return c.many(count)
	}
	if c.templates.Matches(word) {
		username, err := c.template.Render(caller)
		if err != nil {
			return policy.Deny(err.Error()), nil
		}
		return policy.Allow(policy.Mapping{Username: username}), nil
	}
	if key, table := strings.CutPrefix(word, "table-"); table {
		return c.lookUp(key)
	}
	switch word {
	case "broken":
		return policy.Abstain(), policy.Broken("broken ≠")
	case "crash":
		panic("crash, as asked")
	case "deny":
		return policy.Deny("denied: ≠ 許可 😀"), nil
	case "full":
		return policy.Allow(c.full()), nil
	case "instance":
		return c.instance()
	case "keep":
		if request.Current != nil {
			kept := *request.Current
			kept.Groups = append(kept.Groups, c.name("kept"))
			return policy.Allow(kept), nil
		}
	case "later":
		_, _, err := policy.Get("later", "a")
		return policy.Abstain(), err
	case "log":
		policy.Debugf("debug é")
		policy.Infof("info %s", "許可")
		policy.Warnf("warn 😀")
		policy.Errorf("error !")
	case "missing":
		return missing(), nil
	case "tags":
		return c.tags()
	case "tell":
		return policy.Allow(c.tell(request)), nil
	case "ungranted":
		_, err := policy.Keys("other", "", 1)
		return policy.Abstain(), err
	case "unavailable":
		return policy.Abstain(), fmt.Errorf("wrapped: %w", policy.Unavailable("unavailable ≠"))
	}
	return policy.Abstain(), nil
}

func (c conformance) many(count string) (policy.Decision, error) {
	number, err := strconv.Atoi(count)
	if err != nil {
		return policy.Abstain(), err
	}
	mapping := policy.Mapping{Username: c.name("many")}
	for i := range number {
		mapping.Groups = append(mapping.Groups, c.name(strconv.Itoa(i)))
	}
	return policy.Allow(mapping), nil
}

func (c conformance) instance() (policy.Decision, error) {
	instance, err := policy.CallerInstance()
	if err != nil {
		return policy.Abstain(), err
	}
	if instance == nil {
		return policy.Deny("no machine"), nil
	}
	mapping := policy.Mapping{Username: c.name(instance.PrivateDNSName)}
	for _, fact := range []string{instance.ID, instance.PrivateIP, instance.Zone, instance.ImageID} {
		mapping.Groups = append(mapping.Groups, c.name(fact))
	}
	for _, tag := range instance.Tags {
		mapping.Extra = append(mapping.Extra, policy.Extra{Key: tag.Key, Values: []string{tag.Value}})
	}
	return policy.Allow(mapping), nil
}

func (c conformance) tags() (policy.Decision, error) {
	tags, found, err := policy.CallerTags()
	if err != nil {
		return policy.Abstain(), err
	}
	if !found {
		return policy.Deny("no role or user"), nil
	}
	mapping := policy.Mapping{Username: c.name("tags")}
	for _, tag := range tags {
		mapping.Extra = append(mapping.Extra, policy.Extra{Key: tag.Key, Values: []string{tag.Value}})
	}
	return policy.Allow(mapping), nil
}

func (c conformance) lookUp(key string) (policy.Decision, error) {
	like, first := policy.Keys("rota", key, 2)
	version, second := policy.Version("rota")
	value, found, third := policy.Get("rota", key)
	if err := errors.Join(first, second, third); err != nil || version == "" {
		return policy.Abstain(), policy.Broken(fmt.Sprint("version ", version, ": ", err))
	}
	if !found {
		return policy.Deny(fmt.Sprintf("no such key; %d like it: %s", len(like), strings.Join(like, ", "))), nil
	}
	mapping := policy.Mapping{Username: c.name(value)}
	for _, key := range like {
		mapping.Groups = append(mapping.Groups, c.name(key))
	}
	return policy.Allow(mapping), nil
}

func missing() policy.Decision {
	_, _, get := policy.Get("other", "a")
	_, keys := policy.Keys("other", "", 1)
	_, version := policy.Version("other")
	var refused []string
	for _, asked := range []struct {
		name string
		err  error
	}{{"get", get}, {"keys", keys}, {"version", version}} {
		if errors.Is(asked.err, policy.ErrNotGranted) {
			refused = append(refused, asked.name)
		}
	}
	return policy.Deny("not attached: " + strings.Join(refused, ", "))
}

func (c conformance) name(name string) string { return c.prefix + name }

func (c conformance) full() policy.Mapping {
	uid := "uid-ü"
	return policy.Mapping{
		Username: c.name("full"),
		UID:      &uid,
		Groups:   []string{c.name("équipe"), c.name("日本"), c.name("😀")},
		Extra: []policy.Extra{
			{Key: "test/two", Values: []string{"1", "2"}},
			{Key: "test/none"},
			{Key: "test/ü", Values: []string{"é"}},
		},
	}
}

func (c conformance) tell(request *policy.Request) policy.Mapping {
	caller := &request.Caller
	mapping := policy.Mapping{Username: c.name("tell")}
	add := func(key string, values ...string) {
		mapping.Extra = append(mapping.Extra, policy.Extra{Key: key, Values: values})
	}
	add("provider", caller.Provider)
	add("partition", caller.Partition)
	add("accountId", caller.AccountID)
	add("kind", caller.Kind.String())
	add("arn", caller.ARN)
	add("canonicalArn", caller.CanonicalARN)
	add("name", caller.Name)
	add("principalId", caller.PrincipalID)
	add("sessionName", some(caller.SessionName)...)
	add("ssoPermissionSet", some(caller.SSOPermissionSet)...)
	add("accessKeyId", caller.AccessKeyID)
	add("stsRegion", caller.STSRegion)
	add("signedAt", strconv.FormatUint(caller.SignedAt, 10))
	add("expiresAt", strconv.FormatUint(caller.ExpiresAt, 10))
	var pairs []string
	for _, attribute := range caller.Attributes {
		pairs = append(pairs, attribute.Name+"="+attribute.Value)
	}
	add("attributes", pairs...)
	add("clusterId", request.ClusterID)
	add("now", strconv.FormatUint(request.Now, 10))
	add("trail", request.Trail...)
	current := request.Current
	if current == nil {
		for _, key := range []string{"currentUsername", "currentUid", "currentGroups", "currentExtra"} {
			add(key)
		}
		return mapping
	}
	add("currentUsername", current.Username)
	add("currentUid", some(current.UID)...)
	add("currentGroups", current.Groups...)
	pairs = nil
	for _, extra := range current.Extra {
		pairs = append(pairs, extra.Key+"="+strings.Join(extra.Values, ","))
	}
	add("currentExtra", pairs...)
	return mapping
}

func some(value *string) []string {
	if value == nil {
		return nil
	}
	return []string{*value}
}

func init() { policy.Export(configure) }

func main() {}
