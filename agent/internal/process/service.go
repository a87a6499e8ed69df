package process

import (
	"context"
	"syscall"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/failure"
)

// Wait answers when the process has ended.
func (t *Table) Wait(ctx context.Context, request *connect.Request[agentv1.WaitRequest]) (*connect.Response[agentv1.WaitResponse], error) {
	process, err := t.find(request.Msg.Pid)
	if err != nil {
		return nil, err
	}
	select {
	case <-process.done:
		return connect.NewResponse(process.result), nil
	case <-ctx.Done():
		return nil, failure.From(ctx.Err())
	}
}

// Kill signals the process and what it started.
func (t *Table) Kill(_ context.Context, request *connect.Request[agentv1.KillRequest]) (*connect.Response[agentv1.Empty], error) {
	number := unix.SignalNum(request.Msg.Signal)
	if number == 0 {
		return nil, failure.Errno(unix.EINVAL, "there is no signal %q", request.Msg.Signal)
	}
	process, err := t.find(request.Msg.Pid)
	if err != nil {
		return nil, err
	}
	if err := t.signal(process, number); err != nil {
		return nil, err
	}
	return connect.NewResponse(&agentv1.Empty{}), nil
}

// ResizeTerminal sets the size of a process's terminal. ENOTTY when it has none.
func (t *Table) ResizeTerminal(_ context.Context, request *connect.Request[agentv1.ResizeTerminalRequest]) (*connect.Response[agentv1.Empty], error) {
	process, err := t.find(request.Msg.Pid)
	if err != nil {
		return nil, err
	}
	if process.terminal == nil {
		return nil, failure.Errno(unix.ENOTTY, "the process %d has no terminal", request.Msg.Pid)
	}
	if err := resize(process.terminal, request.Msg.Rows, request.Msg.Columns); err != nil {
		return nil, failure.From(err)
	}
	return connect.NewResponse(&agentv1.Empty{}), nil
}

func signalName(number syscall.Signal) string {
	if name := unix.SignalName(number); name != "" {
		return name
	}
	return number.String()
}
