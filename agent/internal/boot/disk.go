package boot

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Disk is a mounted ext4 file system, held by its top directory: that of the writable layer has no path any more.
type Disk struct {
	Serial string
	device string
	top    *os.File
}

func openDisk(serial, device, path string) (*Disk, error) {
	top, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &Disk{Serial: serial, device: device, top: top}, nil
}

// ioctls of <linux/fs.h> and ext4.
const (
	ioFreeze     = 0xC0045877
	ioThaw       = 0xC0045878
	ext4ResizeFS = 0x40086610
)

func (d *Disk) ioctl(request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, d.top.Fd(), request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}

// Freeze flushes the file system and blocks writers. It is no error when it is frozen already.
func (d *Disk) Freeze() error {
	var none int32
	if err := d.ioctl(ioFreeze, unsafe.Pointer(&none)); err != nil && err != unix.EBUSY {
		return fmt.Errorf("freeze %s: %w", d.Serial, err)
	}
	return nil
}

// Thaw lets writers go on. It is no error when it is not frozen.
func (d *Disk) Thaw() error {
	var none int32
	if err := d.ioctl(ioThaw, unsafe.Pointer(&none)); err != nil && err != unix.EINVAL {
		return fmt.Errorf("thaw %s: %w", d.Serial, err)
	}
	return nil
}

// Usage returns the size of the file system and what the user can still write, in bytes.
func (d *Disk) Usage() (total, available uint64, err error) {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(d.top.Fd()), &stat); err != nil {
		return 0, 0, err
	}
	return stat.Blocks * uint64(stat.Bsize), stat.Bavail * uint64(stat.Bsize), nil
}

// grow makes the mounted file system as large as its disk.
func (d *Disk) grow() error {
	device, err := os.Open(d.device)
	if err != nil {
		return err
	}
	defer device.Close()
	size, err := deviceSize(device)
	if err != nil {
		return err
	}
	return d.growTo(size)
}

// growTo makes the mounted file system as large as its disk, whose size is known.
func (d *Disk) growTo(size uint64) error {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(d.top.Fd()), &stat); err != nil {
		return err
	}
	blocks := size / uint64(stat.Bsize)
	// Statfs leaves out what the file system needs for itself, so near equality means that it is full-size already.
	if blocks <= stat.Blocks+stat.Blocks/8 && size < stat.Blocks*uint64(stat.Bsize)+(256<<20) {
		return nil
	}
	return d.ioctl(ext4ResizeFS, unsafe.Pointer(&blocks))
}

func deviceSize(device *os.File) (uint64, error) {
	var size uint64
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, device.Fd(), unix.BLKGETSIZE64, uintptr(unsafe.Pointer(&size))); errno != 0 {
		return 0, errno
	}
	return size, nil
}

// Sync flushes the file system.
func (d *Disk) Sync() error { return unix.Syncfs(int(d.top.Fd())) }

// readOnly makes the file system read-only and thereby consistent on disk.
func (d *Disk) readOnly() error {
	path := fmt.Sprintf("/proc/self/fd/%d", d.top.Fd())
	return errors.Join(d.Sync(), unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
}
