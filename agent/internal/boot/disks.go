package boot

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"caisson/agent/internal/failure"
)

// lastFound are the names of disks by serial, where to look first.
var lastFound sync.Map

// findDisk returns the device of the disk with that serial. ENODEV when there is none.
func findDisk(serial string) (string, error) {
	if serial == "" {
		return "", failure.Errno(unix.EINVAL, "the disk serial is empty")
	}
	if name, there := lastFound.Load(serial); there && diskSerial(filepath.Join("/sys/block", name.(string))) == serial {
		return filepath.Join("/dev", name.(string)), nil
	}
	disks, err := os.ReadDir("/sys/block")
	if err != nil {
		return "", err
	}
	for _, disk := range disks {
		if diskSerial(filepath.Join("/sys/block", disk.Name())) == serial {
			lastFound.Store(serial, disk.Name())
			return filepath.Join("/dev", disk.Name()), nil
		}
	}
	return "", failure.Errno(unix.ENODEV, "no disk has the serial %q", serial)
}

// diskSerial reads the serial of a virtio-blk disk, or of a SCSI disk from its vital product data.
func diskSerial(folder string) string {
	if content, err := os.ReadFile(filepath.Join(folder, "serial")); err == nil {
		return strings.TrimSpace(string(content))
	}
	// Page 0x80: a header of four bytes, then the serial.
	if content, err := os.ReadFile(filepath.Join(folder, "device/vpd_pg80")); err == nil && len(content) > 4 {
		return strings.Trim(string(content[4:]), " \x00")
	}
	return ""
}

// usable tells a disk from one whose driver is still looking at it: its node is there before it can be opened (ENXIO).
func usable(device string, bytes uint64) error {
	file, err := os.Open(device)
	if err != nil {
		return err
	}
	defer file.Close()
	size, err := deviceSize(file)
	if err == nil && (size == 0 || bytes != 0 && size != bytes) {
		return unix.ENXIO
	}
	return err
}

// waitDisk waits for a hot-plugged disk and its device node, and for it to have a size: that one, unless it is 0.
func waitDisk(ctx context.Context, serial string, bytes uint64) (string, error) {
	for pause := time.Millisecond; ; pause = min(pause*3/2, 50*time.Millisecond) {
		device, err := findDisk(serial)
		if err == nil {
			if err = usable(device, bytes); err == nil {
				return device, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(pause):
		}
	}
}
