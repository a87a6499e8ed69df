package file

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"caisson/agent/internal/failure"
)

// defaultMode is what a new file gets before the umask.
const defaultMode = 0o666

// open opens a file without ever blocking a thread: a FIFO whose other end is missing is waited for with `ctx`.
func (f *Files) open(ctx context.Context, path string, flags int, mode uint32) (*os.File, error) {
	flags |= unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	for pause := 5 * time.Millisecond; ; pause = min(pause*2, 100*time.Millisecond) {
		fd, err := f.create(path, flags, mode)
		if err == unix.ENXIO && flags&unix.O_ACCMODE == unix.O_WRONLY && isFifo(path) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(pause):
				continue
			}
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		file := os.NewFile(uintptr(fd), path)
		if flags&unix.O_ACCMODE == unix.O_RDONLY {
			if err := awaitWriter(ctx, file); err != nil {
				file.Close()
				return nil, err
			}
		}
		return file, nil
	}
}

// create opens a file; a new one is made exclusively first, because only then it is ours to give to the user.
func (f *Files) create(path string, flags int, mode uint32) (int, error) {
	if flags&unix.O_CREAT == 0 {
		return retry(func() (int, error) { return unix.Open(path, flags, 0) })
	}
	fd, err := retry(func() (int, error) { return unix.Open(path, flags|unix.O_EXCL, mode) })
	if err == unix.EEXIST && flags&unix.O_EXCL == 0 {
		fd, err = retry(func() (int, error) { return unix.Open(path, flags&^unix.O_CREAT, 0) })
		if err != unix.ENOENT {
			return fd, err
		}
		// A symbolic link that leads to nothing yet.
		fd, err = retry(func() (int, error) { return unix.Open(path, flags, mode) })
	}
	if err == nil && f.uid >= 0 {
		if err := unix.Fchown(fd, f.uid, f.gid); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	return fd, err
}

func retry(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}

func isFifo(path string) bool {
	var stat unix.Stat_t
	return unix.Stat(path, &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFIFO
}

// awaitWriter makes the first read of a FIFO wait for its writer, as a blocking open would have: without one it reads 0.
func awaitWriter(ctx context.Context, file *os.File) error {
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return err
	}
	for pause := 5 * time.Millisecond; ; pause = min(pause*2, 100*time.Millisecond) {
		var ready int
		err := onDescriptor(file, func(fd int) (err error) {
			ready, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return err
		})
		if ready > 0 || err != nil && err != unix.EINTR {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// onDescriptor runs a system call on an open file. File.Fd would make it block.
func onDescriptor(file *os.File, call func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = call(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// interruptible makes reads and writes of a pipe or terminal end with `ctx`; regular files do not wait.
func interruptible(ctx context.Context, file *os.File) (release func()) {
	stop := context.AfterFunc(ctx, func() { file.SetDeadline(time.Unix(1, 0)) })
	return func() {
		if !stop() {
			file.SetDeadline(time.Time{})
		}
	}
}

// size checks a length or offset that becomes a signed 64-bit number.
func size(length uint64) (int64, error) {
	if length > 1<<62 {
		return 0, failure.Errno(unix.EFBIG, "the length %d is out of range", length)
	}
	return int64(length), nil
}
