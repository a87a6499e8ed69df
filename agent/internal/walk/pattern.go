// Package walk lists trees of files. It behaves like `walk` and `expandGlob` of Deno's standard library.
package walk

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dlclark/regexp2"
)

const (
	maxPatterns      = 1000
	maxPatternLength = 64 << 10
	// One match may take this long; a pattern that needs more is meant to burn time.
	matchTimeout = 250 * time.Millisecond
)

// ErrPattern is wrapped by every error about a pattern.
var ErrPattern = errors.New("the pattern is not valid")

// Pattern is a compiled regular expression.
type Pattern struct{ expression *regexp2.Regexp }

// CompileRegExp compiles an ECMAScript regular expression with its flags.
func CompileRegExp(source, flags string) (*Pattern, error) {
	options := regexp2.RegexOptions(regexp2.ECMAScript)
	for _, flag := range flags {
		switch flag {
		case 'i':
			options |= regexp2.IgnoreCase
		case 'm':
			options |= regexp2.Multiline
		case 's':
			options |= regexp2.Singleline
		case 'u', 'v':
			options |= regexp2.Unicode
		case 'y':
			// A sticky expression starts where the last match ended: for a fresh one at the beginning.
			source = `(?<![\s\S])(?:` + source + `)`
		case 'g', 'd':
			// They change what a match returns, not whether there is one.
		default:
			return nil, fmt.Errorf("%w: the flag %q of a regular expression is not supported", ErrPattern, flag)
		}
	}
	return compile(source, options)
}

func compile(source string, options regexp2.RegexOptions) (compiled *Pattern, err error) {
	if len(source) > maxPatternLength {
		return nil, fmt.Errorf("%w: it is too long, %d bytes", ErrPattern, len(source))
	}
	// The library is known to panic on odd expressions; the user's mistake must not end the agent.
	defer func() {
		if recover() != nil {
			compiled, err = nil, fmt.Errorf("%w: %.100s", ErrPattern, source)
		}
	}()
	expression, err := regexp2.Compile(source, options)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPattern, err)
	}
	expression.MatchTimeout = matchTimeout
	return &Pattern{expression}, nil
}

// Match tells whether the expression occurs in the text.
func (p *Pattern) Match(text string) (matched bool, err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%w: it cannot be matched", ErrPattern)
		}
	}()
	if matched, err = p.expression.MatchString(text); err != nil {
		return false, fmt.Errorf("%w: matching takes too long on %.200s", ErrPattern, text)
	}
	return matched, nil
}

func matchAny(patterns []*Pattern, text string) (bool, error) {
	for _, pattern := range patterns {
		if matched, err := pattern.Match(text); matched || err != nil {
			return matched, err
		}
	}
	return false, nil
}

// quote makes a character stand for itself in an expression.
func quote(char rune) string {
	if strings.ContainsRune(`$()*+.?[\]^{|}`, char) {
		return `\` + string(char)
	}
	return string(char)
}
