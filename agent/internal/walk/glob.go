package walk

import (
	"strings"

	"github.com/dlclark/regexp2"
)

// GlobOptions choose the dialect of a glob.
type GlobOptions struct {
	// ?(a|b), *(a|b), +(a|b), @(a|b), !(a|b)
	Extended bool
	// `**` stands for any number of path segments.
	Globstar        bool
	CaseInsensitive bool
}

const (
	anyInSegment = `[^/]*`
	anySegments  = `(?:[^/]*(?:/|$)+)*`
)

// CompileGlob compiles a glob that is matched against a whole path.
func CompileGlob(glob string, options GlobOptions) (*Pattern, error) {
	if glob == "" {
		return compile(`(?!)`, regexp2.ECMAScript)
	}
	for len(glob) > 1 && strings.HasSuffix(glob, "/") {
		glob = glob[:len(glob)-1]
	}
	var out strings.Builder
	out.WriteByte('^')
	rest := []rune(glob)
	for len(rest) > 0 {
		s := segment{options: options, in: rest}
		expression, length := s.translate()
		out.WriteString(expression)
		more := length < len(rest)
		switch {
		case s.globstar:
			// It ends with a separator already.
		case more:
			out.WriteString(`/+`)
		default:
			out.WriteString(`/*`)
		}
		rest = rest[length:]
		for len(rest) > 0 && rest[0] == '/' {
			rest = rest[1:]
		}
	}
	out.WriteByte('$')
	flags := regexp2.RegexOptions(regexp2.ECMAScript)
	if options.CaseInsensitive {
		flags |= regexp2.IgnoreCase
	}
	return compile(out.String(), flags)
}

// segment translates what is between two separators.
type segment struct {
	options  GlobOptions
	in       []rune
	at       int
	out      strings.Builder
	groups   []rune
	globstar bool
}

const brace = '{'

// translate returns the expression for the first segment of the input, and the segment's length.
// A segment with an unfinished group, range or escape is taken literally.
func (s *segment) translate() (expression string, length int) {
	unfinished := false
	for ; s.at < len(s.in) && !unfinished; s.at++ {
		char := s.in[s.at]
		if char == '/' && len(s.groups) == 0 {
			break
		}
		switch {
		case char == '\\':
			s.at++
			if unfinished = s.at >= len(s.in); !unfinished {
				s.out.WriteString(quote(s.in[s.at]))
			}
		case char == '[':
			unfinished = !s.characterRange()
		default:
			s.character(char)
		}
	}
	if unfinished || len(s.groups) > 0 {
		return s.literal()
	}
	return s.out.String(), s.at
}

func (s *segment) character(char rune) {
	switch {
	case char == ')' && s.inGroup():
		s.closeGroup()
	case char == '|' && s.inGroup():
		s.out.WriteByte('|')
	case strings.ContainsRune("+@!?*", char) && s.options.Extended && s.peek(1) == '(':
		s.at++
		s.groups = append(s.groups, char)
		if char == '!' {
			s.out.WriteString(`(?!`)
		} else {
			s.out.WriteString(`(?:`)
		}
	case char == '?':
		s.out.WriteString(`[^/]`)
	case char == '*':
		s.stars()
	case char == '{':
		s.groups = append(s.groups, brace)
		s.out.WriteString(`(?:`)
	case char == '}' && s.inBrace():
		s.groups = s.groups[:len(s.groups)-1]
		s.out.WriteByte(')')
	case char == ',' && s.inBrace():
		s.out.WriteByte('|')
	default:
		s.out.WriteString(quote(char))
	}
}

func (s *segment) closeGroup() {
	kind := s.groups[len(s.groups)-1]
	s.groups = s.groups[:len(s.groups)-1]
	s.out.WriteByte(')')
	switch kind {
	case '!':
		s.out.WriteString(anyInSegment)
	case '+', '*', '?':
		s.out.WriteRune(kind)
	}
}

func (s *segment) stars() {
	start := s.at
	for s.peek(1) == '*' {
		s.at++
	}
	alone := start == 0 && (s.peek(1) == '/' || s.peek(1) == 0)
	if s.options.Globstar && s.at-start == 1 && alone {
		s.out.WriteString(anySegments)
		s.globstar = true
		return
	}
	s.out.WriteString(anyInSegment)
}

// classes are the POSIX character classes inside of a range.
var classes = map[string]string{
	"alnum": `\dA-Za-z`, "alpha": `A-Za-z`, "ascii": `\x00-\x7F`, "blank": `\t `, "cntrl": `\x00-\x1F\x7F`,
	"digit": `\d`, "graph": `\x21-\x7E`, "lower": `a-z`, "print": `\x20-\x7E`,
	"punct": `!-\/:-@\[-\x60{-~`, "space": `\s`, "upper": `A-Z`, "word": `\w`, "xdigit": `\dA-Fa-f`,
}

// characterRange translates `[...]` and reports whether it is closed.
func (s *segment) characterRange() bool {
	var out strings.Builder
	out.WriteByte('[')
	s.at++
	if s.at < len(s.in) && s.in[s.at] == '!' {
		out.WriteByte('^')
		s.at++
	}
	for ; s.at < len(s.in); s.at++ {
		switch char := s.in[s.at]; {
		case char == ']':
			out.WriteByte(']')
			s.out.WriteString(out.String())
			return true
		case char == '/' && len(s.groups) == 0:
			return false
		case char == '[' && s.peek(1) == ':':
			name, class := s.className()
			if class != "" {
				out.WriteString(class)
				s.at += len(name) + 3
				continue
			}
			out.WriteString(`\[`)
		case char == '\\' && s.peek(1) != 0:
			s.at++
			out.WriteString(quoteInRange(s.in[s.at]))
		case char == '-':
			out.WriteByte('-')
		default:
			out.WriteString(quoteInRange(char))
		}
	}
	return false
}

// className reads `[:name:]` and returns the name with what it stands for.
func (s *segment) className() (name, class string) {
	for i := s.at + 2; i+1 < len(s.in); i++ {
		if s.in[i] == ':' && s.in[i+1] == ']' {
			name = string(s.in[s.at+2 : i])
			return name, classes[name]
		}
	}
	return "", ""
}

func quoteInRange(char rune) string {
	if strings.ContainsRune(`\]^[-`, char) {
		return `\` + string(char)
	}
	return string(char)
}

// literal takes the whole segment as it stands.
func (s *segment) literal() (string, int) {
	s.globstar = false
	end := 0
	var out strings.Builder
	for end < len(s.in) && s.in[end] != '/' {
		out.WriteString(quote(s.in[end]))
		end++
	}
	return out.String(), end
}

func (s *segment) peek(by int) rune {
	if s.at+by < len(s.in) {
		return s.in[s.at+by]
	}
	return 0
}

func (s *segment) inGroup() bool { return len(s.groups) > 0 && s.groups[len(s.groups)-1] != brace }
func (s *segment) inBrace() bool { return len(s.groups) > 0 && s.groups[len(s.groups)-1] == brace }

// IsGlob tells whether a path segment is a pattern and not just a name.
func IsGlob(segment string) bool {
	runes := []rune(segment)
	for i := 0; i < len(runes); i++ {
		rest := string(runes[i+1:])
		switch runes[i] {
		case '\\':
			i++
		case '*', '?':
			return true
		case '[':
			if strings.Contains(rest, "]") {
				return true
			}
		case '{':
			if strings.Contains(rest, "}") {
				return true
			}
		case '+', '@', '!':
			if strings.HasPrefix(rest, "(") && strings.Contains(rest, ")") {
				return true
			}
		case '(':
			if strings.Contains(rest, "|") && strings.Contains(rest, ")") {
				return true
			}
		}
	}
	return strings.HasPrefix(segment, "!")
}
