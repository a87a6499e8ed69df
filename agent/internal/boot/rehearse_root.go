package boot

import (
	"context"
	"errors"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"caisson/agent/internal/failure"
)

// RehearseRoot does with a disk that is thrown away what ChangeRoot will do with an owner's, and leaves the machine on the root
// that it has; in the other, `inside` does what follows a change. The second time finds what the first has left, as in a root that
// has been in use.
func RehearseRoot(ctx context.Context, next NextRoot, inside func() error) error {
	device, err := waitDisk(ctx, next.Serial, next.Bytes)
	if err != nil {
		return err
	}
	folder := hiddenPath(nextFolder)
	for range 2 {
		if err := mountLayer(device, folder); err != nil {
			return err
		}
		err := rehearseOver(folder, inside)
		if err := errors.Join(err, unix.Unmount(folder, 0), waitReleased(ctx, device)); err != nil {
			return failure.From(err)
		}
	}
	return nil
}

func rehearseOver(folder string, inside func() error) error {
	if err := layOver(hiddenPath(baseFolder), folder, nextRoot); err != nil {
		return err
	}
	change := func() error {
		if err := pivot(nextRoot); err != nil {
			return err
		}
		return inside()
	}
	// Detached, as the folders of container engines are mounted in it.
	return errors.Join(inOwnNamespace(change), unix.Unmount(nextRoot, unix.MNT_DETACH))
}

// inOwnNamespace runs a function on a thread that has its own copy of all mounts, root and working directory, and then ends.
func inOwnNamespace(action func() error) error {
	result := make(chan error, 1)
	var run func()
	run = func() {
		// Never unlocked: so the thread ends with its goroutine.
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread would stay.
			defer runtime.UnlockOSThread()
			done := make(chan struct{})
			go func() { defer close(done); run() }()
			<-done
			return
		}
		err := os.NewSyscallError("unshare", unix.Unshare(unix.CLONE_NEWNS|unix.CLONE_FS))
		if err == nil {
			err = action()
		}
		result <- err
	}
	go run()
	return <-result
}

// waitReleased waits until no mount, of whatever namespace, uses a disk any more.
func waitReleased(ctx context.Context, device string) error {
	for {
		file, err := os.OpenFile(device, os.O_RDONLY|unix.O_EXCL, 0)
		if err == nil {
			return file.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}
