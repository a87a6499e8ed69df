package boot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"caisson/agent/internal/failure"
)

// MountRoot mounts the writable disk, lays it over the base image and makes the result the root of the machine.
// After an error the machine is good for nothing.
func MountRoot(serial string, grow bool) (*Disk, error) {
	device, err := findDisk(serial)
	if err != nil {
		return nil, err
	}
	// discard gives deleted blocks back to the host's sparse image.
	if err := unix.Mount(device, diskFolder, "ext4", unix.MS_NOATIME, "discard"); err != nil {
		return nil, failure.From(fmt.Errorf("mount the writable layer: %w", err))
	}
	disk, err := openDisk(serial, device, diskFolder)
	if err != nil {
		return nil, err
	}
	if grow {
		if err := disk.grow(); err != nil {
			return nil, failure.From(fmt.Errorf("grow the writable layer: %w", err))
		}
	}
	if hidden, err = os.Open(hiddenFolder); err != nil {
		return nil, failure.From(err)
	}
	if err := layOver(baseFolder, diskFolder, rootFolder); err != nil {
		return nil, err
	}
	return disk, switchRoot()
}

// hidden is hiddenFolder, which has no path any more once the root was switched.
var hidden *os.File

// hiddenPath leads to a place in hiddenFolder all the same.
func hiddenPath(folder string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", hidden.Fd(), filepath.Base(folder))
}

// layOver mounts the root file system: the writable layer of a disk over the base image.
func layOver(lower, disk, target string) error {
	upper, work := filepath.Join(disk, "upper"), filepath.Join(disk, "work")
	// redirect_dir lets rename(2) move directories of the base image.
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,redirect_dir=on", lower, upper, work)
	err := unix.Mount("overlay", target, "overlay", unix.MS_NOATIME, options)
	if errors.Is(err, os.ErrNotExist) {
		// A new disk.
		for _, folder := range []string{upper, work} {
			if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
				return failure.From(err)
			}
		}
		err = unix.Mount("overlay", target, "overlay", unix.MS_NOATIME, options)
	}
	if err != nil {
		return failure.From(fmt.Errorf("mount the writable layer over the base image: %w", err))
	}
	if err := checkShell(target); err != nil {
		return err
	}
	mountEngines(disk, target)
	return nil
}

// checkShell tells a root file system from a disk that only looks like one.
func checkShell(target string) error {
	root, err := unix.Open(target, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return failure.From(err)
	}
	defer unix.Close(root)
	shell, err := unix.Openat2(root, "bin/sh", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return failure.From(fmt.Errorf("the root file system has no /bin/sh: %w", err))
	}
	return unix.Close(shell)
}

// switchRoot moves the mounts of the template into the new root and makes it /, as switch_root(8) does.
func switchRoot() error {
	for _, top := range movedMounts {
		target := filepath.Join(rootFolder, top)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return failure.From(err)
		}
		if err := unix.Mount(top, target, "", unix.MS_MOVE, ""); err != nil {
			return failure.From(fmt.Errorf("move %s: %w", top, err))
		}
	}
	if err := unix.Chdir(rootFolder); err != nil {
		return failure.From(err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return failure.From(fmt.Errorf("move the root: %w", err))
	}
	// All threads share one root and one working directory.
	return failure.From(errors.Join(unix.Chroot("."), unix.Chdir("/")))
}
