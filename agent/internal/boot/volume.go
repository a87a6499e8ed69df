package boot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"caisson/agent/internal/failure"
	"caisson/agent/internal/identity"
)

// Disks are the writable layer and the volumes that are mounted.
type Disks struct {
	mu      sync.Mutex
	mounted map[string]*Disk
	paths   map[string]string
	thaw    map[string]*time.Timer
}

// NewDisks makes an empty set.
func NewDisks() *Disks {
	return &Disks{mounted: map[string]*Disk{}, paths: map[string]string{}, thaw: map[string]*time.Timer{}}
}

// Add takes in the writable layer.
func (d *Disks) Add(disk *Disk) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mounted[disk.Serial] = disk
}

// Replace takes in a writable layer in the place of another.
func (d *Disks) Replace(old, next *Disk) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.mounted, old.Serial)
	d.mounted[next.Serial] = next
}

// MountVolume waits for a disk and mounts it; the directory is made when missing.
func (d *Disks) MountVolume(ctx context.Context, serial, path string, readOnly bool) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) == "/" {
		return failure.Errno(unix.EINVAL, "the mount point %q must be an absolute path other than /", path)
	}
	device, err := waitDisk(ctx, serial, 0)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mounted[serial] != nil {
		return failure.Errno(unix.EBUSY, "the disk %q is already mounted", serial)
	}
	if err := makeMountPoint(path); err != nil {
		return failure.From(err)
	}
	flags, data := uintptr(unix.MS_NOATIME), "discard"
	if readOnly {
		flags, data = unix.MS_NOATIME|unix.MS_RDONLY, "noload"
	}
	err = unix.Mount(device, path, "ext4", flags, data)
	if err == unix.EINVAL && readOnly {
		// The files of a revision are an EROFS image.
		err = unix.Mount(device, path, "erofs", flags, "")
	}
	if err != nil {
		return failure.From(fmt.Errorf("mount volume %s at %s: %w", serial, path, err))
	}
	disk, err := openDisk(serial, device, path)
	if err != nil {
		unix.Unmount(path, 0)
		return failure.From(err)
	}
	if !readOnly {
		if err := disk.prepareVolume(path); err != nil {
			disk.top.Close()
			unix.Unmount(path, 0)
			return failure.From(err)
		}
	}
	d.mounted[serial], d.paths[serial] = disk, path
	return nil
}

func makeMountPoint(path string) error {
	var missing []string
	for at := filepath.Clean(path); ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); err == nil {
			break
		}
		missing = append(missing, at)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := os.Mkdir(missing[i], 0o755); err != nil {
			return err
		}
		if err := os.Chown(missing[i], int(identity.App.UID), int(identity.App.GID)); err != nil {
			return err
		}
	}
	return nil
}

// prepareVolume gives a freshly formatted volume to the user.
func (d *Disk) prepareVolume(path string) error {
	if err := d.grow(); err != nil {
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) > 1 || len(entries) == 1 && entries[0].Name() != "lost+found" {
		return err
	}
	return os.Chown(path, int(identity.App.UID), int(identity.App.GID))
}

// UnmountVolume flushes and unmounts. EBUSY while a process uses it.
func (d *Disks) UnmountVolume(serial string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	path, there := d.paths[serial]
	if !there {
		return failure.Errno(unix.EINVAL, "volume %q is not mounted", serial)
	}
	disk := d.mounted[serial]
	disk.Thaw()
	disk.top.Close()
	if err := unix.Unmount(path, 0); err != nil {
		if top, openErr := os.Open(path); openErr == nil {
			disk.top = top
		}
		return failure.From(fmt.Errorf("unmount %s: %w", path, err))
	}
	delete(d.mounted, serial)
	delete(d.paths, serial)
	return nil
}

// Freeze freezes disks until Thaw or for at most `limit`; all or none.
func (d *Disks) Freeze(serials []string, limit time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, serial := range serials {
		disk := d.mounted[serial]
		err := error(nil)
		if disk == nil {
			err = failure.Errno(unix.ENODEV, "disk %q is not mounted", serial)
		} else {
			err = disk.Freeze()
		}
		if err != nil {
			for _, frozen := range serials[:i] {
				d.release(frozen)
			}
			return failure.From(err)
		}
		if timer := d.thaw[serial]; timer != nil {
			timer.Stop()
		}
		d.thaw[serial] = time.AfterFunc(limit, func() { d.Thaw([]string{serial}) })
	}
	return nil
}

// Thaw ends a freeze.
func (d *Disks) Thaw(serials []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, serial := range serials {
		d.release(serial)
	}
}

func (d *Disks) release(serial string) {
	if timer := d.thaw[serial]; timer != nil {
		timer.Stop()
		delete(d.thaw, serial)
	}
	if disk := d.mounted[serial]; disk != nil {
		disk.Thaw()
	}
}

// Shutdown unmounts the volumes that nobody uses and leaves every file system consistent on its disk.
func (d *Disks) Shutdown() error {
	d.mu.Lock()
	serials := make([]string, 0, len(d.paths))
	for serial := range d.paths {
		serials = append(serials, serial)
	}
	d.mu.Unlock()
	for _, serial := range serials {
		d.UnmountVolume(serial)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var first error
	for serial, disk := range d.mounted {
		d.release(serial)
		// Refused while files are open for writing: then it is at least flushed.
		if disk.readOnly() != nil {
			if err := disk.Sync(); err != nil && first == nil {
				first = failure.From(err)
			}
		}
	}
	return first
}
