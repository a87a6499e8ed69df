// Package boot starts the machine as PID 1. First it prepares the template that all clones share. Then it gives each clone its own
// root file system, identity and trust anchors.
package boot

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

type mount struct {
	source, target, kind string
	flags                uintptr
	data                 string
	mode                 os.FileMode
}

// systemMounts are made once, in the template, and moved into the sandbox's root later.
var systemMounts = []mount{
	{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "", 0o555},
	{"sysfs", "/sys", "sysfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "", 0o555},
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755", 0o755},
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666", 0o755},
	{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777", 0o1777},
	{"mqueue", "/dev/mqueue", "mqueue", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "", 0o1777},
	{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755,size=20%", 0o755},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "nsdelegate", 0o755},
}

// movedMounts are the tops of systemMounts; the others come along.
var movedMounts = []string{"/proc", "/sys", "/dev", "/run"}

// optionalMounts may be missing in a kernel.
var optionalMounts = map[string]bool{"/dev/mqueue": true}

func mountSystem() error {
	for _, m := range systemMounts {
		if err := os.MkdirAll(m.target, m.mode); err != nil && !optionalMounts[m.target] {
			return err
		}
		err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data)
		// The kernel may have mounted devtmpfs already.
		if err != nil && err != unix.EBUSY && !optionalMounts[m.target] {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	for link, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1",
		"/dev/stderr": "/proc/self/fd/2", "/dev/ptmx": "pts/ptmx",
	} {
		os.Remove(link)
		if err := os.Symlink(target, link); err != nil {
			return err
		}
	}
	return os.MkdirAll("/run/lock", 0o1777)
}
