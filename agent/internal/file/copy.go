package file

import (
	"context"
	"errors"
	"io"
	"os"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/failure"
)

// copyStep is how much is copied between two looks at whether the caller is still there.
const copyStep = 64 << 20

// CopyFile copies content and permissions and overwrites what is there.
func (f *Files) CopyFile(ctx context.Context, request *connect.Request[agentv1.TwoPathsRequest]) (*connect.Response[agentv1.Empty], error) {
	from, to, err := f.paths(request.Msg)
	if err != nil {
		return nil, err
	}
	return done(f.copy(ctx, from, to))
}

func (f *Files) copy(ctx context.Context, from, to string) error {
	source, err := f.open(ctx, from, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return &os.PathError{Op: "copy", Path: from, Err: unix.EISDIR}
	}
	if old, err := os.Stat(to); err == nil && os.SameFile(info, old) {
		// Opening it would empty it.
		return failure.Errno(unix.EINVAL, "%s and %s are the same file", from, to)
	}
	mode := uint32(info.Mode().Perm())
	target, err := f.open(ctx, to, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, mode)
	if err != nil {
		return err
	}
	err = onDescriptor(target, func(fd int) error { return unix.Fchmod(fd, mode) })
	for err == nil {
		if err = ctx.Err(); err == nil {
			// The kernel copies from file to file.
			_, err = io.CopyN(target, source, copyStep)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, target.Close())
}
