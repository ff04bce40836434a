package policy

import (
	"fmt"
	"strings"

	"herald.dev/policy/internal/host"
)

// Debugf writes a line for whoever writes the policy to the audit record of this login.
func Debugf(format string, values ...any) { logf(host.Debug, format, values) }

// Infof writes a line that is worth knowing when somebody asks why.
func Infof(format string, values ...any) { logf(host.Info, format, values) }

// Warnf writes a line for what is decided, but odd.
func Warnf(format string, values ...any) { logf(host.Warn, format, values) }

// Errorf writes a line for what is broken.
func Errorf(format string, values ...any) { logf(host.Error, format, values) }

func logf(level host.Level, format string, values []any) {
	// The contract knows text only; other bytes would end the policy.
	host.Log(level, strings.ToValidUTF8(fmt.Sprintf(format, values...), "\uFFFD"))
}
