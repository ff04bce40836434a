package policy_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"herald.dev/policy"
	"herald.dev/policy/policytest"
)

func TestTemplates(t *testing.T) {
	outside := "the caller's SessionName has a character outside letters, digits and +=,.@_-"
	for _, c := range []struct{ text, name, want, wantErr string }{
		{"{{SessionName}}", "alice@example.com", "alice-example.com", ""},
		{"{{SessionNameRaw}}", "alice@example.com", "alice@example.com", ""},
		{"a:{{AccountID}}:{{RoleName}}:{{SessionNameRaw}}!", "bob", "a:111122223333:Dev:bob!", ""},
		{"{{PrincipalID}}", "bob", "AROAEXAMPLEEXAMPLE000", ""},
		{"plain {text}", "bob", "plain {text}", ""},
		{"system:masters", "bob", "system:masters", ""},
		{"{{PermissionSet}}", "bob", "", "the caller has no PermissionSet"},
		{"{{SessionName}}", "", "", "the caller has no SessionName"},
		{"{{SessionName}}", "a:b", "", outside},
		{"{{SessionName}}", "ålice", "", outside},
		{"{{SessionName}}", "a\nb", "", outside},
		{"{{SessionName}}", "a\xffb", "", outside},
		{"{{SessionName}}:masters", "System", "", "the name would begin with system:"},
		{"sys{{SessionName}}:masters", "tem", "", "the name would begin with system:"},
	} {
		template, err := policy.ParseTemplate(c.text)
		if err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		got, err := template.Render(&policytest.Session("111122223333", "Dev", c.name).Caller)
		if got != c.want || text(err) != c.wantErr {
			t.Errorf("%s of %q: %q, %v", c.text, c.name, got, err)
		}
	}
	template, _ := policy.ParseTemplate("{{RoleName}}")
	if _, err := template.Render(&policytest.User("111122223333", "a").Caller); text(err) != "the caller has no RoleName" {
		t.Errorf("a user has no role: %v", err)
	}
	if _, err := (policy.Template{}).Render(&policytest.User("1", "a").Caller); err == nil {
		t.Error("a setting that is left out is no name")
	}
}

func TestWhatIsNoTemplate(t *testing.T) {
	for given, want := range map[string]string{
		"":                       "a name must not be empty",
		"{{SessionName":          "a placeholder is not closed: {{ without }}",
		"system:{{SessionName}}": "a name under system: must be written out, without placeholders",
		"{{Sessionname}}": "unknown placeholder {{Sessionname}}, expected one of AccountID PermissionSet PrincipalID " +
			"RoleName SessionName SessionNameRaw",
	} {
		if _, err := policy.ParseTemplate(given); text(err) != want {
			t.Errorf("%s: %v", given, err)
		}
	}
}

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"team-*", "team-payments", true},
		{"team-*", "my-team-payments", false},
		{"*a*b", "xaxaxb", true},
		{"*a*b", "xaxax", false},
		{"a?c", "a😀c", true},
		{"a?c", "ac", false},
		{"**", "", true},
		{"a", "A", false},
	} {
		glob, err := policy.ParseGlob(c.pattern)
		if err != nil || glob.Matches(c.text) != c.want {
			t.Errorf("%s of %s is not %v: %v", c.pattern, c.text, c.want, err)
		}
	}
	if _, err := policy.ParseGlob(""); text(err) != "a pattern must not be empty" {
		t.Error(err)
	}
	// As of a setting that is left out; the account itself is a caller without a name.
	if (policy.Glob{}).Matches("") {
		t.Error("what is no pattern covers something")
	}
}

type settings struct {
	Team policy.Template `json:"team"`
}

type team struct{ settings }

func (team) Decide(*policy.Request) (policy.Decision, error) { return policy.Abstain(), nil }

func TestSettingsAreReadStrictly(t *testing.T) {
	configure := func(s settings) (policy.Policy, error) { return team{s}, nil }
	for given, want := range map[string]string{
		`{"team": "a"}`:                    "",
		`{"taem": "a"}`:                    `unknown field "taem"`,
		`{"team": 7}`:                      "cannot unmarshal number",
		`{"team": "{{Nobody}}"}`:           "unknown placeholder {{Nobody}}",
		`{"team": "system:{{AccountID}}"}`: "must be written out",
	} {
		_, err := policy.Configure(configure, []byte(given))
		if (err == nil) != (want == "") || !strings.Contains(text(err), want) {
			t.Errorf("%s: %v", given, err)
		}
	}
	nothing := func(settings) (policy.Policy, error) { return nil, nil }
	if _, err := policy.Configure(nothing, []byte("{}")); err == nil {
		t.Error("a policy that is nil is none")
	}
}

func TestFaultsAreFoundInWrappedErrors(t *testing.T) {
	var fault *policy.Fault
	if !errors.As(errors.Join(errors.New("a"), policy.Unavailable("later")), &fault) || fault.Error() != "later" {
		t.Errorf("%v", fault)
	}
}

func TestTablesThatCannotBeRead(t *testing.T) {
	policytest.SetNotReady("later")
	policytest.SetTable("empty", nil)
	for table, want := range map[string]error{"later": policy.ErrNotReady, "never": policy.ErrNotGranted, "empty": nil} {
		_, _, get := policy.Get(table, "a")
		_, keys := policy.Keys(table, "", 1)
		_, version := policy.Version(table)
		for _, err := range []error{get, keys, version} {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v", table, err)
			}
		}
	}
}

func TestLogAndTables(t *testing.T) {
	policy.Warnf("odd: %d\xff", 7)
	if lines := policytest.Logged(); !reflect.DeepEqual(lines, []string{"warn: odd: 7\uFFFD"}) {
		t.Errorf("%q", lines)
	}
	policytest.SetTable("rota", map[string]string{"b": "2", "a": "1", "c": "3"})
	if value, found, err := policy.Get("rota", "a"); value != "1" || !found || err != nil {
		t.Errorf("%q, %v, %v", value, found, err)
	}
	if _, found, err := policy.Get("rota", "z"); found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	if keys, err := policy.Keys("rota", "", 2); !reflect.DeepEqual(keys, []string{"a", "b"}) || err != nil {
		t.Errorf("%v, %v", keys, err)
	}
	if _, err := policy.Version("other"); !errors.Is(err, policy.ErrNotGranted) {
		t.Error(err)
	}
}

func TestAListOfKeysIsWholeOrAsLongAsAskedFor(t *testing.T) {
	set := func(count int) {
		entries := map[string]string{}
		for key := range count {
			entries[fmt.Sprintf("k%05d", key)] = ""
		}
		policytest.SetTable("large", entries)
	}
	check := func(limit uint32, want int) {
		t.Helper()
		if keys, err := policy.Keys("large", "k", limit); len(keys) != want || err != nil {
			t.Errorf("%d of %d: %v", len(keys), limit, err)
		}
	}
	set(4096)
	check(100_000, 4096)
	check(7, 7)
	set(4097)
	check(4096, 4096)
	defer func() {
		if recover() == nil {
			t.Error("a longer list does not end the decision")
		}
	}()
	_, _ = policy.Keys("large", "", 4097)
}

func TestTheMachineOfATest(t *testing.T) {
	if _, err := policy.CallerInstance(); !errors.Is(err, policy.ErrLookUpNotGranted) {
		t.Error(err)
	}
	policytest.SetInstance(&policy.Instance{ID: "i-1", Tags: []policy.Tag{{Key: "team", Value: "db"}}}, nil)
	instance, err := policy.CallerInstance()
	if err != nil || instance.ID != "i-1" {
		t.Fatal(instance, err)
	}
	if team, found := instance.Tag("team"); team != "db" || !found {
		t.Errorf("%q, %v", team, found)
	}
	if none, found := instance.Tag("none"); found {
		t.Errorf("%q", none)
	}
	policytest.SetInstance(nil, nil)
	if instance, err := policy.CallerInstance(); instance != nil || err != nil {
		t.Error(instance, err)
	}
	policytest.SetInstance(nil, policy.ErrForbidden)
	if _, err := policy.CallerInstance(); !errors.Is(err, policy.ErrForbidden) {
		t.Error(err)
	}
}

func TestTheTagsOfATest(t *testing.T) {
	if _, found, err := policy.CallerTags(); found || !errors.Is(err, policy.ErrLookUpNotGranted) {
		t.Error(found, err)
	}
	team := []policy.Tag{{Key: "team", Value: "db"}}
	for _, set := range [][]policy.Tag{team, {}} {
		policytest.SetTags(set, nil)
		if tags, found, err := policy.CallerTags(); !reflect.DeepEqual(tags, set) || !found || err != nil {
			t.Error(tags, found, err)
		}
	}
	policytest.SetTags(nil, nil)
	if tags, found, err := policy.CallerTags(); len(tags) != 0 || found || err != nil {
		t.Error(tags, found, err)
	}
	policytest.SetTags(nil, policy.ErrLookUpFailed)
	if _, found, err := policy.CallerTags(); found || !errors.Is(err, policy.ErrLookUpFailed) {
		t.Error(found, err)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
