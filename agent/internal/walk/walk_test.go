package walk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"
)

func TestGlobs(t *testing.T) {
	all := GlobOptions{Extended: true, Globstar: true}
	for _, one := range []struct {
		glob    string
		options GlobOptions
		yes, no []string
	}{
		{"*.ts", all, []string{"a.ts", ".ts"}, []string{"a.tsx", "a/b.ts"}},
		{"a/**/b", all, []string{"a/b", "a/x/b", "a/x/y/b"}, []string{"a/xb", "b"}},
		{"**", all, []string{"a", "a/b/c"}, nil},
		{"a/**", GlobOptions{}, []string{"a/b"}, []string{"a/b/c"}},
		{"?.go", all, []string{"a.go"}, []string{"ab.go", "/.go"}},
		{"{a,b}.c", all, []string{"a.c", "b.c"}, []string{"c.c"}},
		{"[a-c]x", all, []string{"ax", "cx"}, []string{"dx"}},
		{"[!a-c]x", all, []string{"dx"}, []string{"ax"}},
		{"[[:digit:]]", all, []string{"7"}, []string{"x"}},
		{"+(ab|c)", all, []string{"ab", "abc", "cc"}, []string{"", "d"}},
		{"!(a)b", all, []string{"xb"}, []string{"ab"}},
		{"?(a)b", all, []string{"b", "ab"}, []string{"aab"}},
		{"@(a|b)", all, []string{"a"}, []string{"ab"}},
		{"+(a)", GlobOptions{}, []string{"+(a)"}, []string{"a"}},
		{`\*`, all, []string{"*"}, []string{"a"}},
		{"{a", all, []string{"{a"}, []string{"a"}},
		{"[a", all, []string{"[a"}, []string{"a"}},
		{"a+b.c", all, []string{"a+b.c"}, []string{"aab.c", "a+bxc"}},
		{"A", GlobOptions{CaseInsensitive: true}, []string{"a", "A"}, []string{"b"}},
		{"a/", all, []string{"a", "a/"}, nil},
		{"", all, nil, []string{"", "a"}},
	} {
		pattern, err := CompileGlob(one.glob, one.options)
		if err != nil {
			t.Errorf("%q: %v", one.glob, err)
			continue
		}
		for _, text := range one.yes {
			if matched, _ := pattern.Match(text); !matched {
				t.Errorf("%q does not match %q (%s)", one.glob, text, pattern.expression)
			}
		}
		for _, text := range one.no {
			if matched, _ := pattern.Match(text); matched {
				t.Errorf("%q matches %q (%s)", one.glob, text, pattern.expression)
			}
		}
	}
}

func TestRegularExpressions(t *testing.T) {
	for _, one := range []struct {
		source, flags, text string
		want                bool
	}{
		{`^A`, "i", "abc", true},
		{`^b`, "m", "a\nb", true},
		{`a.b`, "s", "a\nb", true},
		{`b`, "y", "ab", false},
		{`a`, "gy", "ab", true},
		{`\u{61}`, "u", "a", true},
		{`(?<=x)y`, "", "xy", true},
		{`[^]`, "", "q", true},
	} {
		pattern, err := CompileRegExp(one.source, one.flags)
		if err != nil {
			t.Errorf("/%s/%s: %v", one.source, one.flags, err)
			continue
		}
		if got, err := pattern.Match(one.text); got != one.want || err != nil {
			t.Errorf("/%s/%s on %q: %v %v", one.source, one.flags, one.text, got, err)
		}
	}
	for _, bad := range [][2]string{{"(", ""}, {"a", "q"}, {strings.Repeat("a", maxPatternLength+1), ""}} {
		if _, err := CompileRegExp(bad[0], bad[1]); !errors.Is(err, ErrPattern) {
			t.Errorf("%.20q %q: %v", bad[0], bad[1], err)
		}
	}
}

func TestAnEvilExpressionIsStopped(t *testing.T) {
	pattern, err := CompileRegExp(`^(a+)+$`, "")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := pattern.Match(strings.Repeat("a", 60) + "!"); !errors.Is(err, ErrPattern) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// tree makes files; names that end in a slash are directories, `a -> b` is a link.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range names {
		link, target, isLink := strings.Cut(name, " -> ")
		path := filepath.Join(root, link)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case err != nil:
		case isLink:
			err = os.Symlink(target, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, nil, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func collect(t *testing.T, list func(Yield) error) []string {
	t.Helper()
	var found []string
	if err := list(func(entry Entry) error { found = append(found, entry.Path); return nil }); err != nil {
		t.Fatal(err)
	}
	sort.Strings(found)
	return found
}

var everything = Options{MaxDepth: -1, IncludeFiles: true, IncludeDirs: true, IncludeLinks: true, Canonicalize: true}

func TestWalk(t *testing.T) {
	home := tree(t, "r/a.ts", "r/b.js", "r/d/c.ts", "r/d/e/f.ts", "r/skip/g.ts", "r/link -> d")
	skip, _ := CompileRegExp("skip", "")
	ts, _ := CompileRegExp(`\.ts$`, "")
	for name, one := range map[string]struct {
		change func(*Options)
		want   []string
	}{
		"all":       {func(*Options) {}, []string{"r", "r/a.ts", "r/b.js", "r/d", "r/d/c.ts", "r/d/e", "r/d/e/f.ts", "r/link", "r/skip", "r/skip/g.ts"}},
		"depth 0":   {func(o *Options) { o.MaxDepth = 0 }, []string{"r"}},
		"depth 1":   {func(o *Options) { o.MaxDepth = 1 }, []string{"r", "r/a.ts", "r/b.js", "r/d", "r/link", "r/skip"}},
		"files":     {func(o *Options) { o.IncludeDirs, o.IncludeLinks = false, false; o.MaxDepth = 1 }, []string{"r/a.ts", "r/b.js"}},
		"extension": {func(o *Options) { o.Exts = []string{"js", ".ts"}; o.MaxDepth = 1 }, []string{"r/a.ts", "r/b.js"}},
		"match":     {func(o *Options) { o.Match = []*Pattern{ts}; o.MaxDepth = 2 }, []string{"r/a.ts", "r/d/c.ts", "r/skip/g.ts"}},
		"skip":      {func(o *Options) { o.Skip = []*Pattern{skip}; o.IncludeDirs = false }, []string{"r/a.ts", "r/b.js", "r/d/c.ts", "r/d/e/f.ts", "r/link"}},
	} {
		options := everything
		one.change(&options)
		got := collect(t, func(y Yield) error { return Tree{home}.Walk(context.Background(), "r", options, y) })
		if !reflect.DeepEqual(got, one.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWalkFollowsLinksButNotInCircles(t *testing.T) {
	home := tree(t, "r/d/f", "r/d/up -> ..", "r/d/file -> f")
	options := everything
	options.FollowLinks, options.Canonicalize, options.IncludeDirs = true, false, false
	got := collect(t, func(y Yield) error { return Tree{home}.Walk(context.Background(), "r", options, y) })
	if want := []string{"r/d/f", "r/d/file"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestWalkOfNothingIsAnError(t *testing.T) {
	err := Tree{t.TempDir()}.Walk(context.Background(), "missing", everything, func(Entry) error { return nil })
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestExpandGlob(t *testing.T) {
	home := tree(t, "a.ts", "d/b.ts", "d/e/c.ts", "d/x.js", "n/b.ts")
	defaults := ExpandOptions{GlobOptions: GlobOptions{Extended: true, Globstar: true}, IncludeDirs: true, Canonicalize: true}
	for _, one := range []struct {
		glob   string
		change func(*ExpandOptions)
		want   []string
	}{
		{"**/*.ts", nil, []string{"a.ts", "d/b.ts", "d/e/c.ts", "n/b.ts"}},
		{"d/*", nil, []string{"d/b.ts", "d/e", "d/x.js"}},
		{"d/*/", nil, []string{"d/e"}},
		{"d/*", func(o *ExpandOptions) { o.IncludeDirs = false }, []string{"d/b.ts", "d/x.js"}},
		{"**/*.ts", func(o *ExpandOptions) { o.Exclude = []string{"d"} }, []string{"a.ts", "n/b.ts"}},
		{"*/b.ts", nil, []string{"d/b.ts", "n/b.ts"}},
		{"a.ts", nil, []string{"a.ts"}},
		{"missing/*.ts", nil, nil},
		{"d/e/../*.js", nil, []string{"d/x.js"}},
		{"b.ts", func(o *ExpandOptions) { o.Root = "n" }, []string{"n/b.ts"}},
		{"*.TS", func(o *ExpandOptions) { o.CaseInsensitive = true }, []string{"a.ts"}},
	} {
		options := defaults
		if one.change != nil {
			one.change(&options)
		}
		var want []string
		for _, name := range one.want {
			want = append(want, filepath.Join(home, name))
		}
		got := collect(t, func(y Yield) error { return Tree{home}.ExpandGlob(context.Background(), one.glob, options, y) })
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", one.glob, got, want)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, seed := range []string{"**/*.ts", "!(a|b)", "{a,[b", "[[:alpha:]-z]", `\`, "[", "(?<n>a)\\k<n>", "(a+)+$", "[\\d-x]", "{,}", "[]", "[!]a]"} {
		f.Add(seed, "i", "some/path.ts")
	}
	f.Fuzz(func(t *testing.T, pattern, flags, text string) {
		if len(pattern) > 200 || len(text) > 50 {
			return
		}
		if compiled, err := CompileRegExp(pattern, flags); err == nil {
			compiled.Match(text)
		}
		compiled, err := CompileGlob(pattern, GlobOptions{Extended: true, Globstar: true})
		if err == nil {
			compiled.Match(text)
		}
	})
}
