package walk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// Entry is one file that was found.
type Entry struct {
	// In the form of the root that was given: a relative root gives relative paths.
	Path, Name                     string
	IsFile, IsDirectory, IsSymlink bool
}

// Options say what to list.
type Options struct {
	// Negative: no limit.
	MaxDepth                                int
	IncludeFiles, IncludeDirs, IncludeLinks bool
	FollowLinks                             bool
	// With FollowLinks: a link is listed under the path it leads to.
	Canonicalize bool
	// Endings of paths.
	Exts        []string
	Match, Skip []*Pattern
}

// Yield takes one entry; an error ends the listing.
type Yield func(Entry) error

const (
	// Links that are followed can make a tree endless; Linux gives up on paths of this many segments too.
	maxLevels = 2048
	// Entries of a directory that are read at once.
	readStep = 256
)

// ErrTooDeep is returned for a tree that is deeper than any path can be.
var ErrTooDeep = errors.New("the directory tree is too deep")

// Tree lists trees of one file system view.
type Tree struct {
	// Relative paths start here.
	Home string
}

// Walk lists the tree below `root`, each directory before what is in it, in the order of the file system.
func (t Tree) Walk(ctx context.Context, root string, options Options, yield Yield) error {
	exts := make([]string, 0, len(options.Exts))
	for _, ext := range options.Exts {
		if !strings.HasPrefix(ext, ".") {
			ext = "." + ext
		}
		exts = append(exts, ext)
	}
	options.Exts = exts
	return t.walk(ctx, root, options, 0, nil, yield)
}

func (t Tree) walk(ctx context.Context, root string, o Options, level int, above []os.FileInfo, yield Yield) error {
	if level > maxLevels {
		return fmt.Errorf("%w: %.200s", ErrTooDeep, root)
	}
	if o.IncludeDirs {
		included, err := o.includes(root)
		if err != nil {
			return err
		}
		if included {
			entry, err := t.entry(root)
			if err == nil {
				err = yield(entry)
			}
			if err != nil {
				return err
			}
		}
	}
	skipped, err := matchAny(o.Skip, root)
	if err != nil || skipped || o.MaxDepth >= 0 && level >= o.MaxDepth {
		return err
	}
	folder, err := os.Open(t.absolute(root))
	if err != nil {
		return err
	}
	defer folder.Close()
	if o.FollowLinks {
		info, err := folder.Stat()
		if err != nil {
			return err
		}
		for _, one := range above {
			if os.SameFile(one, info) {
				// A link back up: its content is listed already.
				return nil
			}
		}
		above = append(above, info)
	}
	for {
		entries, err := folder.ReadDir(readStep)
		for _, found := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := t.visit(ctx, root, found, o, level, above, yield); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// visit lists one entry of a directory and what is below it.
func (t Tree) visit(ctx context.Context, root string, found os.DirEntry, o Options, level int, above []os.FileInfo, yield Yield) error {
	at := path.Join(root, found.Name())
	kind := found.Type()
	isDirectory, isLink := kind.IsDir(), kind&os.ModeSymlink != 0
	wanted := o.IncludeFiles
	if isLink && !o.FollowLinks {
		wanted = o.IncludeLinks
	} else if isLink {
		real, err := realPath(t.absolute(at))
		if err != nil {
			return err
		}
		info, err := os.Lstat(real)
		if err != nil {
			return err
		}
		if o.Canonicalize {
			at = real
		}
		isDirectory = info.IsDir()
	}
	if isDirectory {
		return t.walk(ctx, at, o, level+1, above, yield)
	}
	if !wanted {
		return nil
	}
	included, err := o.includes(at)
	if err != nil || !included {
		return err
	}
	return yield(Entry{Path: at, Name: found.Name(), IsFile: kind.IsRegular(), IsSymlink: isLink})
}

func (o *Options) includes(at string) (bool, error) {
	if len(o.Exts) > 0 {
		ends := false
		for _, ext := range o.Exts {
			ends = ends || strings.HasSuffix(at, ext)
		}
		if !ends {
			return false, nil
		}
	}
	if len(o.Match) > 0 {
		if matched, err := matchAny(o.Match, at); err != nil || !matched {
			return false, err
		}
	}
	skipped, err := matchAny(o.Skip, at)
	return !skipped, err
}

// entry looks a path up, through symbolic links.
func (t Tree) entry(at string) (Entry, error) {
	info, err := os.Stat(t.absolute(at))
	if err != nil {
		return Entry{}, err
	}
	clean := path.Clean(at)
	return Entry{Path: clean, Name: path.Base(clean), IsFile: info.Mode().IsRegular(), IsDirectory: info.IsDir()}, nil
}

func (t Tree) absolute(at string) string {
	if path.IsAbs(at) {
		return at
	}
	return t.Home + "/" + at
}
