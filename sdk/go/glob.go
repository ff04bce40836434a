package policy

import "errors"

// Glob is a pattern for a whole string: * is any run of characters, ? any one character, everything else itself. Case
// counts. It can be a field of settings; one that is not set covers nothing.
type Glob struct{ pattern []rune }

// ParseGlob refuses the empty pattern.
func ParseGlob(text string) (Glob, error) {
	if text == "" {
		return Glob{}, errors.New("a pattern must not be empty")
	}
	return Glob{[]rune(text)}, nil
}

// UnmarshalText makes a pattern of a setting.
func (g *Glob) UnmarshalText(text []byte) (err error) {
	*g, err = ParseGlob(string(text))
	return err
}

// String is the pattern as written.
func (g Glob) String() string { return string(g.pattern) }

// Matches says whether the pattern covers all of text. Its cost is bounded by the product of both lengths.
func (g Glob) Matches(text string) bool {
	pattern, rest := g.pattern, []rune(text)
	p, at, star, taken := 0, 0, -1, 0
	for at < len(rest) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, taken = p, at
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == rest[at]):
			p++
			at++
		case star >= 0:
			// What follows the last star does not fit here: that star takes one character more.
			taken++
			p, at = star+1, taken
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return len(pattern) > 0 && p == len(pattern)
}
