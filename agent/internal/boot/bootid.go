package boot

import (
	"crypto/rand"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	bootIDFile = "/proc/sys/kernel/random/boot_id"
	ownBootID  = "/run/.boot-id"
)

// freshBootID lays an identifier of this machine's own over the kernel's: that one is made at the first look, and a program
// that ran in the template may have looked.
func freshBootID() error {
	var id [16]byte
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	text := fmt.Sprintf("%x-%x-%x-%x-%x\n", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	if err := os.WriteFile(ownBootID, []byte(text), 0o444); err != nil {
		return err
	}
	// The template has one already, and nothing can be mounted over a file that was removed. EINVAL: there is none.
	if err := unix.Unmount(bootIDFile, unix.MNT_DETACH); err != nil && err != unix.EINVAL {
		return os.NewSyscallError("unmount boot_id", err)
	}
	// The mount keeps the file; its name is in nobody's way.
	defer os.Remove(ownBootID)
	return os.NewSyscallError("mount boot_id", unix.Mount(ownBootID, bootIDFile, "", unix.MS_BIND, ""))
}

// mountWholeProc mounts /proc a second time, out of the sandbox's sight. A user namespace may mount its own /proc, as every container
// without root does, only where one is mounted that nothing covers (mount_too_revealing in the kernel's fs/namespace.c). freshBootID
// covers a part of the visible one.
func mountWholeProc(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.NewSyscallError("mount a second /proc", unix.Mount("proc", folder, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""))
}
