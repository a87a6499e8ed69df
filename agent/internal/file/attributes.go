package file

import (
	"context"
	"os"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/failure"
)

// Stat answers about a file, or with `no_follow` about the link itself.
func (f *Files) Stat(_ context.Context, request *connect.Request[agentv1.StatRequest]) (*connect.Response[agentv1.FileInfo], error) {
	path, err := f.path(request.Msg.Path)
	if err != nil {
		return nil, err
	}
	flags := 0
	if request.Msg.NoFollow {
		flags = unix.AT_SYMLINK_NOFOLLOW
	}
	info, err := statx(unix.AT_FDCWD, path, flags)
	if err != nil {
		return nil, failure.From(pathError("stat", path, err))
	}
	return connect.NewResponse(info), nil
}

func statx(at int, path string, flags int) (*agentv1.FileInfo, error) {
	var stat unix.Statx_t
	if err := unix.Statx(at, path, flags|unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &stat); err != nil {
		return nil, err
	}
	info := &agentv1.FileInfo{
		Mode: uint32(stat.Mode), Size: stat.Size, Nlink: uint64(stat.Nlink), Ino: stat.Ino, Uid: stat.Uid, Gid: stat.Gid,
		MtimeNanos: nanos(stat.Mtime), AtimeNanos: nanos(stat.Atime), CtimeNanos: nanos(stat.Ctime), BirthtimeNanos: nanos(stat.Btime),
		Dev: unix.Mkdev(stat.Dev_major, stat.Dev_minor), Rdev: unix.Mkdev(stat.Rdev_major, stat.Rdev_minor),
		Blksize: uint64(stat.Blksize), Blocks: stat.Blocks,
	}
	if stat.Mask&unix.STATX_BTIME == 0 {
		// Not every file system knows it; clients demand a time.
		info.BirthtimeNanos = info.CtimeNanos
	}
	return info, nil
}

func nanos(t unix.StatxTimestamp) int64 { return t.Sec*1_000_000_000 + int64(t.Nsec) }

// Chmod sets permissions; the umask has no part in it.
func (f *Files) Chmod(_ context.Context, request *connect.Request[agentv1.ChmodRequest]) (*connect.Response[agentv1.Empty], error) {
	path, err := f.path(request.Msg.Path)
	if err != nil {
		return nil, err
	}
	return done(pathError("chmod", path, unix.Chmod(path, request.Msg.Mode&0o7777)))
}

// Chown sets owner and group; what is absent stays.
func (f *Files) Chown(_ context.Context, request *connect.Request[agentv1.ChownRequest]) (*connect.Response[agentv1.Empty], error) {
	path, err := f.path(request.Msg.Path)
	if err != nil {
		return nil, err
	}
	uid, gid := -1, -1
	if request.Msg.Uid != nil {
		uid = int(*request.Msg.Uid)
	}
	if request.Msg.Gid != nil {
		gid = int(*request.Msg.Gid)
	}
	return done(pathError("chown", path, unix.Chown(path, uid, gid)))
}

// Truncate sets the size of a file; what is new reads as zeros.
func (f *Files) Truncate(_ context.Context, request *connect.Request[agentv1.TruncateRequest]) (*connect.Response[agentv1.Empty], error) {
	path, err := f.path(request.Msg.Path)
	if err != nil {
		return nil, err
	}
	length, err := size(request.Msg.Length)
	if err != nil {
		return nil, err
	}
	return done(pathError("truncate", path, unix.Truncate(path, length)))
}

var umaskLock sync.Mutex

// Umask answers the umask and sets it when asked to. It is the agent's own: processes inherit it.
func (f *Files) Umask(_ context.Context, request *connect.Request[agentv1.UmaskRequest]) (*connect.Response[agentv1.UmaskResponse], error) {
	umaskLock.Lock()
	defer umaskLock.Unlock()
	if request.Msg.Mask == nil {
		previous, err := currentUmask()
		if err != nil {
			return nil, failure.From(err)
		}
		return connect.NewResponse(&agentv1.UmaskResponse{Previous: previous}), nil
	}
	previous := syscall.Umask(int(*request.Msg.Mask & 0o777))
	return connect.NewResponse(&agentv1.UmaskResponse{Previous: uint32(previous)}), nil
}

// currentUmask reads it from /proc: umask(2) can only be asked by changing it, and files may be made meanwhile.
func currentUmask() (uint32, error) {
	content, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	var mask uint32
	_, rest, _ := strings.Cut(string(content), "\nUmask:")
	line, _, _ := strings.Cut(rest, "\n")
	for _, digit := range strings.TrimSpace(line) {
		mask = mask<<3 | uint32(digit-'0')&7
	}
	return mask, nil
}

// Utime sets access and modification time.
func (f *Files) Utime(_ context.Context, request *connect.Request[agentv1.UtimeRequest]) (*connect.Response[agentv1.Empty], error) {
	path, err := f.path(request.Msg.Path)
	if err != nil {
		return nil, err
	}
	times := []unix.Timespec{unix.NsecToTimespec(request.Msg.AtimeNanos), unix.NsecToTimespec(request.Msg.MtimeNanos)}
	return done(pathError("utime", path, unix.UtimesNanoAt(unix.AT_FDCWD, path, times, 0)))
}

// setTimes sets the times of an open file, whatever its name is by now.
func setTimes(fd int, atime, mtime int64) error {
	times := [2]unix.Timespec{unix.NsecToTimespec(atime), unix.NsecToTimespec(mtime)}
	if _, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times[0])), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// utf8Name makes a name fit for protobuf, whose strings are UTF-8; names of Linux need not be.
func utf8Name(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }
