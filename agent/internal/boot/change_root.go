package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"caisson/agent/internal/failure"
)

// nextRoot is where the next root is mounted: a directory that the base image has, in the root that is about to go.
const nextRoot = "/mnt"

// NextRoot says onto which disk to move.
type NextRoot struct {
	Serial string
	// Size of the disk. The file system is made as large.
	Bytes uint64
}

// afterwards is when the first commands have run and nobody waits for what a former root takes to be cleared away.
const afterwards = 10 * time.Second

// ChangeRoot moves the machine from its writable layer onto that of another disk. Nothing but the agent may run.
// After an error the machine is good for nothing.
func ChangeRoot(ctx context.Context, old *Disk, next NextRoot) (*Disk, error) {
	device, err := waitDisk(ctx, next.Serial, next.Bytes)
	if err != nil {
		return nil, err
	}
	folder := hiddenPath(nextFolder)
	if err := mountLayer(device, folder); err != nil {
		return nil, err
	}
	disk, err := openDisk(next.Serial, device, folder)
	if err != nil {
		return nil, failure.From(err)
	}
	if err := disk.growTo(next.Bytes); err != nil {
		return nil, failure.From(fmt.Errorf("grow the root disk: %w", err))
	}
	if err := layOver(hiddenPath(baseFolder), folder, nextRoot); err != nil {
		return nil, err
	}
	// What is open stays mounted, out of everybody's sight.
	former, err := os.OpenFile("/", unix.O_PATH, 0)
	if err != nil {
		return nil, failure.From(err)
	}
	if err := pivot(nextRoot); err != nil {
		return nil, err
	}
	if err := unix.Unmount(hiddenPath(diskFolder), unix.MNT_DETACH); err != nil {
		return nil, failure.From(fmt.Errorf("unmount the former layer: %w", err))
	}
	time.AfterFunc(afterwards, func() {
		former.Close()
		old.top.Close()
	})
	return disk, nil
}

func mountLayer(device, folder string) error {
	if err := unix.Mount(device, folder, "ext4", unix.MS_NOATIME, "discard"); err != nil {
		return failure.From(fmt.Errorf("mount the root disk: %w", err))
	}
	return nil
}

// pivot makes a mount the root and lets go of the former one. switchRoot cannot: that one is the kernel's own.
func pivot(root string) error {
	for _, top := range movedMounts {
		target := filepath.Join(root, top)
		if err := os.Mkdir(target, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return failure.From(err)
		}
		if err := unix.Mount(top, target, "", unix.MS_MOVE, ""); err != nil {
			return failure.From(fmt.Errorf("move %s: %w", top, err))
		}
	}
	if err := unix.Chdir(root); err != nil {
		return failure.From(err)
	}
	// The former root ends up on top of the new one and is then taken off it; see pivot_root(2).
	if err := unix.PivotRoot(".", "."); err != nil {
		return failure.From(fmt.Errorf("pivot the root: %w", err))
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return failure.From(fmt.Errorf("unmount the former root: %w", err))
	}
	return failure.From(unix.Chdir("/"))
}
