package socket

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// asUser does something with files with the rights of a user, on this thread alone. The kernel takes root's rights on files away with it.
func asUser(uid, gid int, work func() error) error {
	if uid < 0 {
		return work()
	}
	runtime.LockOSThread()
	unix.Setfsgid(gid)
	unix.Setfsuid(uid)
	err := work()
	unix.Setfsuid(0)
	unix.Setfsgid(0)
	if now, _ := unix.SetfsuidRetUid(-1); now == 0 {
		runtime.UnlockOSThread()
	}
	// Otherwise the thread ends with this goroutine.
	return err
}
