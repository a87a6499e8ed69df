package walk

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// ExpandOptions say how a glob is expanded.
type ExpandOptions struct {
	GlobOptions
	// Where a relative glob starts; empty: the home of the tree.
	Root string
	// Globs, relative to Root, whose matches and everything below them are left out.
	Exclude                                []string
	IncludeDirs, FollowLinks, Canonicalize bool
}

// maxMatches bounds what must be held to be sorted.
const maxMatches = 1 << 20

// ErrTooMany is returned for a glob with more matches than can be sorted in memory.
var ErrTooMany = errors.New("the glob has too many matches")

// ExpandGlob lists what a glob matches, sorted by path. A fixed part that does not exist matches nothing.
func (t Tree) ExpandGlob(ctx context.Context, glob string, options ExpandOptions, yield Yield) error {
	root := options.Root
	if root == "" {
		root = t.Home
	}
	root = filepath.Clean(t.absolute(root))
	exclude := make([]*Pattern, 0, len(options.Exclude))
	for _, one := range options.Exclude {
		if !path.IsAbs(one) {
			one = root + "/" + one
		}
		pattern, err := CompileGlob(path.Clean(one), options.GlobOptions)
		if err != nil {
			return err
		}
		exclude = append(exclude, pattern)
	}
	if path.IsAbs(glob) {
		root = "/"
	}
	segments := strings.FieldsFunc(glob, func(char rune) bool { return char == '/' })
	for len(segments) > 0 && !IsGlob(segments[0]) {
		root = path.Join(root, unescape(segments[0]))
		segments = segments[1:]
	}
	first, err := t.entry(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	matches := []Entry{first}
	for _, segment := range segments {
		next := map[string]Entry{}
		for _, match := range matches {
			if err := t.advance(ctx, match, segment, options, exclude, next); err != nil {
				return err
			}
		}
		matches = sorted(next)
	}
	for _, match := range matches {
		if !match.IsDirectory && strings.HasSuffix(glob, "/") || match.IsDirectory && !options.IncludeDirs {
			continue
		}
		if err := yield(match); err != nil {
			return err
		}
	}
	return nil
}

// advance adds what one segment of the glob matches below one match of the segments before.
func (t Tree) advance(ctx context.Context, from Entry, segment string, options ExpandOptions, exclude []*Pattern, into map[string]Entry) error {
	if !from.IsDirectory {
		return nil
	}
	add := func(entry Entry) error {
		if len(into) >= maxMatches {
			return ErrTooMany
		}
		into[entry.Path] = entry
		return nil
	}
	walk := Options{
		MaxDepth: 1, IncludeFiles: true, IncludeDirs: true, IncludeLinks: true,
		FollowLinks: options.FollowLinks, Canonicalize: options.Canonicalize, Skip: exclude,
	}
	switch segment {
	case "..":
		parent := path.Dir(from.Path)
		if excluded, err := matchAny(exclude, parent); excluded || err != nil {
			return err
		}
		entry, err := t.entry(parent)
		if err != nil {
			return err
		}
		return add(entry)
	case "**":
		if options.Globstar {
			walk.MaxDepth = -1
		}
		return t.Walk(ctx, from.Path, walk, add)
	}
	pattern, err := CompileGlob(segment, options.GlobOptions)
	if err != nil {
		return err
	}
	return t.Walk(ctx, from.Path, walk, func(entry Entry) error {
		if entry.Path == from.Path {
			return nil
		}
		matched, err := pattern.Match(entry.Name)
		if err != nil || !matched {
			return err
		}
		return add(entry)
	})
}

func sorted(entries map[string]Entry) []Entry {
	list := make([]Entry, 0, len(entries))
	for _, entry := range entries {
		list = append(list, entry)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Path < list[j].Path })
	return list
}

// unescape removes the backslashes from a segment that is no pattern.
func unescape(segment string) string {
	var out strings.Builder
	escaped := false
	for _, char := range segment {
		if char == '\\' && !escaped {
			escaped = true
			continue
		}
		escaped = false
		out.WriteRune(char)
	}
	return out.String()
}

func realPath(at string) (string, error) { return filepath.EvalSymlinks(at) }
