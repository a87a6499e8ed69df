package stream

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Source is where the bytes of an output stream come from.
type Source interface {
	// Next blocks until there are bytes, and returns them with the function that takes their buffer back; io.EOF at the end.
	Next() (data []byte, release func(), err error)
	// Close interrupts Next.
	Close() error
}

// largePipe is what a pipe grows to once its writer has filled it: fewer switches between writer and agent.
const largePipe = 1 << 20

// FileSource reads a file that the poller may watch: a pipe, a terminal, or a regular file.
type FileSource struct {
	file io.Closer
	raw  syscall.RawConn
	pipe bool
	full bool
}

// OfPipe makes a source of the reading end of a pipe, in non-blocking mode.
func OfPipe(file *os.File) (*FileSource, error) { return newSource(file, true) }

// OfFile makes a source of anything else that can be read.
func OfFile(file *os.File) (*FileSource, error) { return newSource(file, false) }

func newSource(file *os.File, pipe bool) (*FileSource, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &FileSource{file: file, raw: raw, pipe: pipe}, nil
}

// Next takes a buffer only when there is something to read, so that a thousand silent processes cost no memory.
func (s *FileSource) Next() ([]byte, func(), error) {
	var (
		data    []byte
		release func()
		n       int
		err     error
	)
	waitErr := s.raw.Read(func(fd uintptr) bool {
		data, release = takeBuffer(s.full)
		for {
			if n, err = unix.Read(int(fd), data); err != unix.EINTR {
				break
			}
		}
		if err == unix.EAGAIN {
			release()
			return false
		}
		return true
	})
	if waitErr != nil {
		return nil, nil, waitErr
	}
	if err != nil || n == 0 {
		release()
		// A terminal says EIO when its last user has gone.
		if err == nil || errors.Is(err, unix.EIO) {
			err = io.EOF
		}
		return nil, nil, err
	}
	if !s.full && n == len(data) {
		s.full = true
		if s.pipe {
			grow(s.raw)
		}
	}
	return data[:n], release, nil
}

// Grow makes a pipe large; it stays as it is when the kernel refuses.
func Grow(pipe *os.File) {
	if raw, err := pipe.SyscallConn(); err == nil {
		grow(raw)
	}
}

func grow(pipe syscall.RawConn) {
	pipe.Control(func(fd uintptr) { unix.FcntlInt(fd, unix.F_SETPIPE_SZ, largePipe) })
}

// Close closes the file.
func (s *FileSource) Close() error { return s.file.Close() }
