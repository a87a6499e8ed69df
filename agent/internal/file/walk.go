package file

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/failure"
	"caisson/agent/internal/walk"
)

const (
	// Entries of one message, and how long the first of them may wait for the others.
	batchEntries = 128
	batchTime    = 20 * time.Millisecond
	maxPatterns  = 1000
)

// Walk lists a tree; the host takes the batches at its own pace.
func (f *Files) Walk(ctx context.Context, request *connect.Request[agentv1.WalkRequest], answers *connect.ServerStream[agentv1.WalkBatch]) error {
	wanted := request.Msg
	if _, err := f.path(wanted.Path); err != nil {
		return err
	}
	options := walk.Options{
		MaxDepth: -1, IncludeFiles: wanted.IncludeFiles, IncludeDirs: wanted.IncludeDirs, IncludeLinks: wanted.IncludeSymlinks,
		FollowLinks: wanted.FollowSymlinks, Canonicalize: wanted.Canonicalize, Exts: wanted.Exts,
	}
	if wanted.MaxDepth != nil {
		options.MaxDepth = int(min(*wanted.MaxDepth, 1<<30))
	}
	var err error
	if options.Match, err = compile(wanted.Match); err != nil {
		return walkError(err)
	}
	if options.Skip, err = compile(wanted.Skip); err != nil {
		return walkError(err)
	}
	batch := batch{answers: answers}
	err = walk.Tree{Home: f.home}.Walk(ctx, wanted.Path, options, batch.add)
	return batch.end(err)
}

// ExpandGlob lists what a glob matches.
func (f *Files) ExpandGlob(ctx context.Context, request *connect.Request[agentv1.ExpandGlobRequest], answers *connect.ServerStream[agentv1.WalkBatch]) error {
	wanted := request.Msg
	if _, err := f.path(wanted.Glob); err != nil {
		return err
	}
	if len(wanted.Exclude) > maxPatterns {
		return failure.Errno(unix.E2BIG, "too many globs to exclude: %d", len(wanted.Exclude))
	}
	batch := batch{answers: answers}
	err := walk.Tree{Home: f.home}.ExpandGlob(ctx, wanted.Glob, walk.ExpandOptions{
		GlobOptions: walk.GlobOptions{Extended: wanted.Extended, Globstar: wanted.Globstar, CaseInsensitive: wanted.CaseInsensitive},
		Root:        wanted.Root, Exclude: wanted.Exclude,
		IncludeDirs: wanted.IncludeDirs, FollowLinks: wanted.FollowSymlinks, Canonicalize: wanted.Canonicalize,
	}, batch.add)
	return batch.end(err)
}

func compile(expressions []*agentv1.RegularExpression) ([]*walk.Pattern, error) {
	if len(expressions) > maxPatterns {
		return nil, failure.Errno(unix.E2BIG, "too many regular expressions: %d", len(expressions))
	}
	var patterns []*walk.Pattern
	for _, expression := range expressions {
		pattern, err := walk.CompileRegExp(expression.Source, expression.Flags)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, pattern)
	}
	return patterns, nil
}

func walkError(err error) error {
	switch {
	case errors.Is(err, walk.ErrPattern):
		return failure.Errno(unix.EINVAL, "%v", err)
	case errors.Is(err, walk.ErrTooDeep):
		return failure.Errno(unix.ELOOP, "%v", err)
	case errors.Is(err, walk.ErrTooMany):
		return failure.Errno(unix.E2BIG, "%v", err)
	}
	return failure.From(err)
}

// batch collects entries, so that a large tree is not a message per file.
type batch struct {
	answers *connect.ServerStream[agentv1.WalkBatch]
	pending []*agentv1.WalkEntry
	since   time.Time
}

func (b *batch) add(entry walk.Entry) error {
	if len(b.pending) == 0 {
		b.since = time.Now()
	}
	b.pending = append(b.pending, &agentv1.WalkEntry{
		Path: utf8Name(entry.Path), Name: utf8Name(entry.Name),
		IsFile: entry.IsFile, IsDirectory: entry.IsDirectory, IsSymlink: entry.IsSymlink,
	})
	if len(b.pending) < batchEntries && time.Since(b.since) < batchTime {
		return nil
	}
	return b.flush()
}

func (b *batch) flush() error {
	if len(b.pending) == 0 {
		return nil
	}
	err := b.answers.Send(&agentv1.WalkBatch{Entries: b.pending})
	b.pending = nil
	return err
}

// end sends what was found before an error, then the error.
func (b *batch) end(err error) error {
	if flushed := b.flush(); flushed != nil {
		return flushed
	}
	if err != nil {
		return walkError(err)
	}
	return nil
}
