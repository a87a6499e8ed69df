package file

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/failure"
)

// Lock waits for an advisory lock on the whole file. It polls: a thread that sleeps in flock cannot be called back.
func (f *Files) Lock(ctx context.Context, request *connect.Request[agentv1.HandleLockRequest]) (*connect.Response[agentv1.Empty], error) {
	file, err := f.handle(request.Msg.Handle)
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_SH
	if request.Msg.Exclusive {
		how = unix.LOCK_EX
	}
	for pause := 2 * time.Millisecond; ; pause = min(pause*2, 50*time.Millisecond) {
		var blocked bool
		err := f.with(request.Msg.Handle, "lock", func(fd int) error {
			err := unix.Flock(fd, how|unix.LOCK_NB)
			if blocked = err == unix.EWOULDBLOCK || err == unix.EINTR; blocked {
				return nil
			}
			return err
		})
		if err != nil || !blocked {
			return done(err)
		}
		select {
		case <-ctx.Done():
			return nil, failure.From(ctx.Err())
		case <-file.closed:
			return nil, failure.Errno(unix.EBADF, "file handle %d was closed", request.Msg.Handle)
		case <-time.After(pause):
		}
	}
}

// Unlock gives a lock up.
func (f *Files) Unlock(_ context.Context, request *connect.Request[agentv1.HandleRequest]) (*connect.Response[agentv1.Empty], error) {
	return done(f.with(request.Msg.Handle, "unlock", func(fd int) error { return unix.Flock(fd, unix.LOCK_UN) }))
}
