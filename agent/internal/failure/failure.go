// Package failure converts errors of system calls to the errors of the contract.
package failure

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
)

// codes maps the errors whose meaning Connect has a word for; everything else is "unknown" and told apart by its errno.
var codes = map[unix.Errno]connect.Code{
	unix.ENOENT:    connect.CodeNotFound,
	unix.ESRCH:     connect.CodeNotFound,
	unix.EEXIST:    connect.CodeAlreadyExists,
	unix.EACCES:    connect.CodePermissionDenied,
	unix.EPERM:     connect.CodePermissionDenied,
	unix.EINVAL:    connect.CodeInvalidArgument,
	unix.EBADF:     connect.CodeInvalidArgument,
	unix.E2BIG:     connect.CodeInvalidArgument,
	unix.EMFILE:    connect.CodeResourceExhausted,
	unix.EAGAIN:    connect.CodeResourceExhausted,
	unix.ENOMEM:    connect.CodeResourceExhausted,
	unix.ENOSPC:    connect.CodeResourceExhausted,
	unix.ETIMEDOUT: connect.CodeDeadlineExceeded,
}

// From wraps an error for the wire: the errno of a failed system call goes along as an OperationError.
// Errors that are already Connect errors, and nil, pass unchanged.
func From(err error) error {
	if err == nil {
		return nil
	}
	var wire *connect.Error
	if errors.As(err, &wire) {
		return wire
	}
	if errors.Is(err, context.Canceled) {
		return connect.NewError(connect.CodeCanceled, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return connect.NewError(connect.CodeDeadlineExceeded, err)
	}
	number, known := number(err)
	if !known {
		return connect.NewError(connect.CodeInternal, err)
	}
	return build(number, err.Error())
}

// Errno makes the error that a failed system call would have given.
func Errno(number unix.Errno, format string, args ...any) error {
	return build(number, fmt.Sprintf(format, args...)+": "+number.Error())
}

// State says that a call does not fit the state of the machine.
func State(format string, args ...any) error {
	return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf(format, args...))
}

func build(number unix.Errno, message string) error {
	code, known := codes[number]
	if !known {
		code = connect.CodeUnknown
	}
	wire := connect.NewError(code, errors.New(message))
	name := unix.ErrnoName(number)
	if name == "" {
		name = fmt.Sprintf("E%d", int(number))
	}
	detail, err := connect.NewErrorDetail(&agentv1.OperationError{Errno: name, Message: message})
	if err == nil {
		wire.AddDetail(detail)
	}
	return wire
}

func number(err error) (unix.Errno, bool) {
	var number unix.Errno
	switch {
	case errors.As(err, &number):
		return number, true
	case errors.Is(err, fs.ErrNotExist):
		return unix.ENOENT, true
	case errors.Is(err, fs.ErrExist):
		return unix.EEXIST, true
	case errors.Is(err, fs.ErrPermission):
		return unix.EACCES, true
	case errors.Is(err, fs.ErrClosed):
		return unix.EBADF, true
	case errors.Is(err, os.ErrDeadlineExceeded):
		return unix.ETIMEDOUT, true
	}
	return 0, false
}
