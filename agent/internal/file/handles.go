package file

import (
	"context"
	"io"
	"os"
	"sync"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/failure"
	"caisson/agent/internal/session"
)

const (
	// Clients leak handles: a download opens one per file and never closes it.
	maxHandles = 10_000
	// One read answers at most this; short reads are legal.
	maxRead = 1 << 20
)

// handles are the open files of all hosts; they live until closed, or as long as their session.
type handles struct {
	mu   sync.Mutex
	next uint64
	open map[uint64]*handle
}

type handle struct {
	*os.File
	closed chan struct{}
	forget func()
}

func (f *Files) handle(id uint64) (*handle, error) {
	f.handles.mu.Lock()
	defer f.handles.mu.Unlock()
	if open := f.handles.open[id]; open != nil {
		return open, nil
	}
	return nil, failure.Errno(unix.EBADF, "no open file has the handle %d", id)
}

// Open opens a file.
func (f *Files) Open(ctx context.Context, request *connect.Request[agentv1.OpenRequest]) (*connect.Response[agentv1.OpenResponse], error) {
	path, err := f.path(request.Msg.Path)
	if err != nil {
		return nil, err
	}
	flags, err := openFlags(request.Msg)
	if err != nil {
		return nil, err
	}
	f.handles.mu.Lock()
	full := len(f.handles.open) >= maxHandles
	f.handles.mu.Unlock()
	if full {
		return nil, failure.Errno(unix.EMFILE, "more than %d open files", maxHandles)
	}
	mode := uint32(defaultMode)
	if request.Msg.Mode != nil {
		mode = *request.Msg.Mode & 0o7777
	}
	file, err := f.open(ctx, path, flags, mode)
	if err != nil {
		return nil, failure.From(err)
	}
	opened := &handle{File: file, closed: make(chan struct{})}
	f.handles.mu.Lock()
	f.handles.next++
	id := f.handles.next
	f.handles.open[id] = opened
	f.handles.mu.Unlock()
	opened.forget = session.From(ctx).OnEnd(func() { f.closeHandle(id) })
	return connect.NewResponse(&agentv1.OpenResponse{Handle: id}), nil
}

// openFlags allows the combinations that Deno allows.
func openFlags(request *agentv1.OpenRequest) (int, error) {
	writes := request.Write || request.Append
	switch {
	case !request.Read && !writes,
		!writes && (request.Truncate || request.Create || request.CreateNew),
		request.Append && request.Truncate && !request.CreateNew:
		return 0, failure.Errno(unix.EINVAL, "these open options cannot be combined")
	}
	flags := unix.O_RDONLY
	if writes {
		if flags = unix.O_WRONLY; request.Read {
			flags = unix.O_RDWR
		}
	}
	for flag, set := range map[int]bool{
		unix.O_APPEND: request.Append, unix.O_TRUNC: request.Truncate,
		unix.O_CREAT: request.Create || request.CreateNew, unix.O_EXCL: request.CreateNew,
	} {
		if set {
			flags |= flag
		}
	}
	return flags, nil
}

// Close closes a handle and gives up its locks.
func (f *Files) Close(_ context.Context, request *connect.Request[agentv1.HandleRequest]) (*connect.Response[agentv1.Empty], error) {
	opened, err := f.handle(request.Msg.Handle)
	if err != nil {
		return nil, err
	}
	opened.forget()
	return done(f.closeHandle(request.Msg.Handle))
}

func (f *Files) closeHandle(id uint64) error {
	f.handles.mu.Lock()
	opened := f.handles.open[id]
	delete(f.handles.open, id)
	f.handles.mu.Unlock()
	if opened == nil {
		return failure.Errno(unix.EBADF, "no open file has the handle %d", id)
	}
	close(opened.closed)
	return opened.File.Close()
}

// Read reads from the current position.
func (f *Files) Read(ctx context.Context, request *connect.Request[agentv1.HandleReadRequest]) (*connect.Response[agentv1.HandleReadResponse], error) {
	file, err := f.handle(request.Msg.Handle)
	if err != nil {
		return nil, err
	}
	if request.Msg.Length == 0 {
		return connect.NewResponse(&agentv1.HandleReadResponse{}), nil
	}
	data := make([]byte, min(request.Msg.Length, maxRead))
	release := interruptible(ctx, file.File)
	n, err := file.File.Read(data)
	release()
	switch {
	case err == io.EOF:
		return connect.NewResponse(&agentv1.HandleReadResponse{Eof: true}), nil
	case err != nil && ctx.Err() != nil:
		return nil, failure.From(ctx.Err())
	case err != nil:
		return nil, failure.From(err)
	}
	return connect.NewResponse(&agentv1.HandleReadResponse{Data: data[:n]}), nil
}

// Write writes at the current position.
func (f *Files) Write(ctx context.Context, request *connect.Request[agentv1.HandleWriteRequest]) (*connect.Response[agentv1.HandleWriteResponse], error) {
	file, err := f.handle(request.Msg.Handle)
	if err != nil {
		return nil, err
	}
	release := interruptible(ctx, file.File)
	n, err := file.File.Write(request.Msg.Data)
	release()
	if err != nil && n == 0 {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, failure.From(err)
	}
	return connect.NewResponse(&agentv1.HandleWriteResponse{Written: uint32(n)}), nil
}

// Seek moves the position.
func (f *Files) Seek(_ context.Context, request *connect.Request[agentv1.HandleSeekRequest]) (*connect.Response[agentv1.HandleSeekResponse], error) {
	file, err := f.handle(request.Msg.Handle)
	if err != nil {
		return nil, err
	}
	if request.Msg.Whence < 0 || request.Msg.Whence > 2 {
		return nil, failure.Errno(unix.EINVAL, "the value %d of whence is not valid", request.Msg.Whence)
	}
	position, err := file.File.Seek(request.Msg.Offset, int(request.Msg.Whence))
	if err != nil {
		return nil, failure.From(err)
	}
	return connect.NewResponse(&agentv1.HandleSeekResponse{Position: uint64(position)}), nil
}

// with runs a system call on an open file.
func (f *Files) with(id uint64, operation string, call func(fd int) error) error {
	file, err := f.handle(id)
	if err != nil {
		return err
	}
	return pathError(operation, file.Name(), onDescriptor(file.File, call))
}

// HandleStat answers about an open file.
func (f *Files) HandleStat(_ context.Context, request *connect.Request[agentv1.HandleRequest]) (*connect.Response[agentv1.FileInfo], error) {
	var info *agentv1.FileInfo
	err := f.with(request.Msg.Handle, "stat", func(fd int) (err error) {
		info, err = statx(fd, "", unix.AT_EMPTY_PATH)
		return err
	})
	if err != nil {
		return nil, failure.From(err)
	}
	return connect.NewResponse(info), nil
}

// Sync makes what was written durable.
func (f *Files) Sync(_ context.Context, request *connect.Request[agentv1.HandleSyncRequest]) (*connect.Response[agentv1.Empty], error) {
	call := unix.Fsync
	if request.Msg.DataOnly {
		call = unix.Fdatasync
	}
	return done(f.with(request.Msg.Handle, "sync", call))
}

// HandleTruncate sets the size of an open file.
func (f *Files) HandleTruncate(_ context.Context, request *connect.Request[agentv1.HandleTruncateRequest]) (*connect.Response[agentv1.Empty], error) {
	length, err := size(request.Msg.Length)
	if err != nil {
		return nil, err
	}
	return done(f.with(request.Msg.Handle, "truncate", func(fd int) error { return unix.Ftruncate(fd, length) }))
}

// HandleUtime sets the times of an open file.
func (f *Files) HandleUtime(_ context.Context, request *connect.Request[agentv1.HandleUtimeRequest]) (*connect.Response[agentv1.Empty], error) {
	return done(f.with(request.Msg.Handle, "utime", func(fd int) error {
		return setTimes(fd, request.Msg.AtimeNanos, request.Msg.MtimeNanos)
	}))
}
