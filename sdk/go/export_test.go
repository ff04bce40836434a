package policy

import "testing"

func TestAPanicOfConfigureIsToldToTheOperator(t *testing.T) {
	defer func() { exported = nil }()
	Export(func(settings struct{ Teams []string }) (Policy, error) { panic("no team in " + settings.Teams[0]) })
	for settings, want := range map[string]string{
		`{"Teams": ["a"]}`: "panic: no team in a",
		`{}`:               "panic: runtime error: index out of range [0] with length 0",
	} {
		if made, err := exported([]byte(settings)); made != nil || err == nil || err.Error() != want {
			t.Errorf("%s: %v, %v", settings, made, err)
		}
	}
}
