package boot

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// Places in the initramfs, out of the sandbox's sight after its root was moved over them.
	hiddenFolder = "/caisson"
	baseFolder   = hiddenFolder + "/base"
	diskFolder   = hiddenFolder + "/disk"
	rootFolder   = hiddenFolder + "/root"
	nextFolder   = hiddenFolder + "/next"
	procFolder   = hiddenFolder + "/proc"

	baseSerial = "base"
)

// Template brings the machine to the point where it is saved: everything that all clones share.
//
// It must not read /proc/sys/kernel/random/boot_id: the kernel makes that at the first look, and all clones would have one.
func Template() error {
	if err := mountSystem(); err != nil {
		return err
	}
	if err := loadModules(); err != nil {
		return fmt.Errorf("load modules: %w", err)
	}
	if err := errors.Join(raiseLimits(), quietKernel()); err != nil {
		return err
	}
	settleKernel()
	openDevices()
	for _, folder := range []string{baseFolder, diskFolder, rootFolder, nextFolder} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	if err := mountWholeProc(procFolder); err != nil {
		return err
	}
	base, err := findDisk(baseSerial)
	if err != nil {
		return fmt.Errorf("base image: %w", err)
	}
	if err := unix.Mount(base, baseFolder, "erofs", unix.MS_RDONLY|unix.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("mount base image: %w", err)
	}
	return nil
}

// rlimitNproc is RLIMIT_NPROC, which package syscall leaves out.
const rlimitNproc = 6

// raiseLimits sets what the kernel gives PID 1 to what a login gives: children inherit it.
func raiseLimits() error {
	syscall.Umask(0o022)
	return errors.Join(
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 65536, Max: 1 << 20}),
		// The sandbox's cgroup bounds processes; the kernel's guess comes from the template's memory.
		syscall.Setrlimit(rlimitNproc, &syscall.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}),
		os.WriteFile("/proc/sys/kernel/core_pattern", []byte("core"), 0),
	)
}

// quietKernel lets an idle machine sleep: by default the kernel looks for memory to compact twice a second, and sums up
// statistics every second.
func quietKernel() error {
	return errors.Join(
		os.WriteFile("/proc/sys/vm/compaction_proactiveness", []byte("0"), 0),
		os.WriteFile("/proc/sys/vm/stat_interval", []byte("10"), 0),
	)
}
