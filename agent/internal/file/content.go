package file

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/failure"
	"caisson/agent/internal/session"
	"caisson/agent/internal/stream"
)

// maxInline bounds what one answer or one request carries; more goes as a stream.
const maxInline = 16 << 20

// ReadFile answers small content at once and large content as a stream.
func (f *Files) ReadFile(ctx context.Context, request *connect.Request[agentv1.ReadFileRequest]) (*connect.Response[agentv1.ReadFileResponse], error) {
	path, err := f.path(request.Msg.Path)
	if err != nil {
		return nil, err
	}
	if err := f.streams.Room(1); err != nil {
		return nil, err
	}
	file, err := f.open(ctx, path, unix.O_RDONLY, 0)
	if err != nil {
		return nil, failure.From(err)
	}
	data, ended, err := readUpTo(ctx, file, int(min(request.Msg.InlineLimit, maxInline)))
	if err != nil {
		file.Close()
		return nil, failure.From(err)
	}
	if ended {
		file.Close()
		return connect.NewResponse(&agentv1.ReadFileResponse{Content: &agentv1.ReadFileResponse_Data{Data: data}}), nil
	}
	rest, err := stream.OfFile(file)
	if err != nil {
		file.Close()
		return nil, failure.From(err)
	}
	id := f.streams.AddOutput(&resumed{Source: rest, head: data}, session.From(ctx))
	return connect.NewResponse(&agentv1.ReadFileResponse{Content: &agentv1.ReadFileResponse_Stream{Stream: id}}), nil
}

// readUpTo reads at most `limit` bytes and tells whether that was all. The size of a file is only a hint: files of /proc
// have none.
func readUpTo(ctx context.Context, file *os.File, limit int) (data []byte, ended bool, err error) {
	info, err := file.Stat()
	if err != nil {
		return nil, false, err
	}
	if info.IsDir() {
		return nil, false, &os.PathError{Op: "read", Path: file.Name(), Err: unix.EISDIR}
	}
	if info.Mode().IsRegular() && info.Size() > int64(limit) {
		return nil, false, nil
	}
	defer interruptible(ctx, file)()
	data = make([]byte, 0, min(max(info.Size(), 512), int64(limit))+1)
	for {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := file.Read(data[len(data):min(cap(data), limit+1)])
		data = data[:len(data)+n]
		switch {
		case err == io.EOF:
			return data, true, nil
		case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil:
			return nil, false, ctx.Err()
		case err != nil:
			return nil, false, err
		case len(data) > limit:
			return data, false, nil
		}
	}
}

// resumed is a source of which the beginning was read already.
type resumed struct {
	stream.Source
	head []byte
}

func (r *resumed) Next() ([]byte, func(), error) {
	if head := r.head; len(head) > 0 {
		r.head = nil
		return head, func() {}, nil
	}
	return r.Source.Next()
}

// WriteFile writes small content.
func (f *Files) WriteFile(ctx context.Context, request *connect.Request[agentv1.WriteFileRequest]) (*connect.Response[agentv1.Empty], error) {
	file, err := f.openToWrite(ctx, request.Msg)
	if err != nil {
		return nil, failure.From(err)
	}
	release := interruptible(ctx, file)
	_, err = file.Write(request.Msg.Data)
	release()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return done(errors.Join(err, file.Close()))
}

func (f *Files) openToWrite(ctx context.Context, request *agentv1.WriteFileRequest) (*os.File, error) {
	path, err := f.path(request.Path)
	if err != nil {
		return nil, err
	}
	flags := unix.O_WRONLY
	if request.Append {
		flags |= unix.O_APPEND
	} else {
		flags |= unix.O_TRUNC
	}
	if request.CreateNew {
		flags |= unix.O_CREAT | unix.O_EXCL
	} else if request.Create {
		flags |= unix.O_CREAT
	}
	mode := uint32(defaultMode)
	if request.Mode != nil {
		mode = *request.Mode & 0o7777
	}
	file, err := f.open(ctx, path, flags, mode)
	if err != nil {
		return nil, err
	}
	if request.Mode != nil {
		// Also for a file that was there, and whatever the umask.
		if err := onDescriptor(file, func(fd int) error { return unix.Fchmod(fd, mode) }); err != nil {
			file.Close()
			return nil, &os.PathError{Op: "chmod", Path: path, Err: err}
		}
	}
	return file, nil
}

// uploads are the writes between WriteFileBegin and WriteFileFinish.
type uploads struct {
	mu   sync.Mutex
	byID map[uint64]upload
}

type upload struct {
	input  *stream.Input
	forget func()
}

// WriteFileBegin opens the file and names the stream for its content.
func (f *Files) WriteFileBegin(ctx context.Context, request *connect.Request[agentv1.WriteFileRequest]) (*connect.Response[agentv1.StreamResponse], error) {
	if err := f.streams.Room(1); err != nil {
		return nil, err
	}
	file, err := f.openToWrite(ctx, request.Msg)
	if err != nil {
		return nil, failure.From(err)
	}
	host := session.From(ctx)
	id, input := f.streams.AddInput(stream.FileSink{File: file}, host)
	f.uploads.mu.Lock()
	f.uploads.byID[id] = upload{input, host.OnEnd(func() { f.takeUpload(id) })}
	f.uploads.mu.Unlock()
	return connect.NewResponse(&agentv1.StreamResponse{Stream: id}), nil
}

// WriteFileFinish waits for the stream's last byte to be written.
func (f *Files) WriteFileFinish(ctx context.Context, request *connect.Request[agentv1.WriteFileFinishRequest]) (*connect.Response[agentv1.Empty], error) {
	upload, there := f.takeUpload(request.Msg.Stream)
	if !there {
		return nil, failure.Errno(unix.EBADF, "no upload has the stream %d", request.Msg.Stream)
	}
	upload.forget()
	if err := upload.input.Wait(ctx); err != nil {
		f.streams.Drop(request.Msg.Stream)
		return nil, failure.From(err)
	}
	return done(nil)
}

func (f *Files) takeUpload(id uint64) (upload, bool) {
	f.uploads.mu.Lock()
	defer f.uploads.mu.Unlock()
	found, there := f.uploads.byID[id]
	delete(f.uploads.byID, id)
	return found, there
}
