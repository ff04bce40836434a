package policy

import (
	"errors"
	"fmt"
	"strings"
)

// Template is a username or group with placeholders: {{AccountID}}, {{PermissionSet}}, {{PrincipalID}}, {{RoleName}},
// {{SessionName}} (each @ written as -) and {{SessionNameRaw}}. It can be a field of settings.
//
// A value goes in only if it consists of letters, digits and +=,.@_-, and what comes out never begins with "system:"
// unless the operator wrote the whole name. The rules are those of Herald's static mappings.
type Template struct{ parts []part }

type part struct{ placeholder, text string }

var placeholders = []string{"AccountID", "PermissionSet", "PrincipalID", "RoleName", "SessionName", "SessionNameRaw"}

// ParseTemplate says what is wrong with a text that is no template.
func ParseTemplate(text string) (Template, error) {
	if text == "" {
		return Template{}, errors.New("a name must not be empty")
	}
	first, rest, more := strings.Cut(text, "{{")
	template := Template{[]part{{"", first}}}
	for more {
		name, tail, closed := strings.Cut(rest, "}}")
		if !closed {
			return Template{}, errors.New("a placeholder is not closed: {{ without }}")
		}
		if !contains(placeholders, name) {
			return Template{}, fmt.Errorf("unknown placeholder {{%s}}, expected one of %s", name, strings.Join(placeholders, " "))
		}
		var fixed string
		fixed, rest, more = strings.Cut(tail, "{{")
		template.parts = append(template.parts, part{name, fixed})
	}
	if len(template.parts) > 1 && isReserved(text) {
		return Template{}, errors.New("a name under system: must be written out, without placeholders")
	}
	return template, nil
}

// UnmarshalText makes a template of a setting.
func (t *Template) UnmarshalText(text []byte) (err error) {
	*t, err = ParseTemplate(string(text))
	return err
}

// Render is the name for this caller. On an error deny: another rule must not catch what this one was meant for.
func (t Template) Render(caller *Caller) (string, error) {
	if len(t.parts) == 0 {
		return "", errors.New("a name must not be empty")
	}
	var name strings.Builder
	for _, part := range t.parts {
		if part.placeholder != "" {
			value, err := valueOf(part.placeholder, caller)
			if err != nil {
				return "", err
			}
			name.WriteString(value)
		}
		name.WriteString(part.text)
	}
	if len(t.parts) > 1 && isReserved(name.String()) {
		return "", errors.New("the name would begin with system:")
	}
	return name.String(), nil
}

func valueOf(placeholder string, caller *Caller) (string, error) {
	var value string
	switch {
	case placeholder == "AccountID":
		value = caller.AccountID
	case placeholder == "PrincipalID":
		value = caller.PrincipalID
	case placeholder == "PermissionSet" && caller.SSOPermissionSet != nil:
		value = *caller.SSOPermissionSet
	case placeholder == "RoleName" && caller.Kind == AssumedRole:
		value = caller.Name
	case placeholder == "SessionName" && caller.SessionName != nil:
		value = strings.ReplaceAll(*caller.SessionName, "@", "-")
	case placeholder == "SessionNameRaw" && caller.SessionName != nil:
		value = *caller.SessionName
	}
	if value == "" {
		return "", fmt.Errorf("the caller has no %s", placeholder)
	}
	for _, c := range []byte(value) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("+=,.@_-", rune(c)) {
			return "", fmt.Errorf("the caller's %s has a character outside letters, digits and +=,.@_-", placeholder)
		}
	}
	return value, nil
}

// isReserved ignores case: Kubernetes compares names by case, but people do not read them so.
func isReserved(name string) bool {
	return len(name) >= 7 && strings.EqualFold(name[:7], "system:")
}

func contains(names []string, name string) bool {
	for _, known := range names {
		if known == name {
			return true
		}
	}
	return false
}
