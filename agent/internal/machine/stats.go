package machine

import (
	"context"
	"os"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/failure"
	"caisson/agent/internal/process"
)

// Stats answers what the sandbox uses.
func (m *Machine) Stats(context.Context, *connect.Request[agentv1.Empty]) (*connect.Response[agentv1.StatsResponse], error) {
	memory, err := process.ReadMemory()
	if err != nil {
		return nil, failure.From(err)
	}
	answer := &agentv1.StatsResponse{
		MemoryTotalBytes: memory.Total, MemoryAvailableBytes: memory.Available,
		Processes: uint32(m.processes.Running()), OpenStreams: uint32(m.streams.Open()),
		AgentRssBytes: residentBytes(),
	}
	m.mu.Lock()
	root := m.root
	m.mu.Unlock()
	if root != nil {
		if answer.DiskTotalBytes, answer.DiskAvailableBytes, err = root.Usage(); err != nil {
			return nil, failure.From(err)
		}
	}
	return connect.NewResponse(answer), nil
}

func residentBytes() uint64 {
	content, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	if fields := strings.Fields(string(content)); len(fields) > 1 {
		pages, _ := strconv.ParseUint(fields[1], 10, 64)
		return pages * uint64(os.Getpagesize())
	}
	return 0
}

const (
	maxWarmUpCommands = 32
)

// WarmUp runs programs one after the other and ignores what becomes of them.
func (m *Machine) WarmUp(ctx context.Context, request *connect.Request[agentv1.WarmUpRequest]) (*connect.Response[agentv1.Empty], error) {
	if err := m.Ready(); err != nil {
		return nil, err
	}
	for _, command := range request.Msg.Commands[:min(len(request.Msg.Commands), maxWarmUpCommands)] {
		if len(command.Argv) == 0 {
			continue
		}
		started, err := m.processes.Spawn(ctx, connect.NewRequest(&agentv1.SpawnRequest{Command: command.Argv[0], Args: command.Argv[1:]}))
		if err != nil {
			continue
		}
		pid := started.Msg.Pid
		if _, err := m.processes.Wait(ctx, connect.NewRequest(&agentv1.WaitRequest{Pid: pid})); err != nil {
			m.processes.Kill(context.WithoutCancel(ctx), connect.NewRequest(&agentv1.KillRequest{Pid: pid, Signal: "SIGKILL"}))
			return nil, failure.From(err)
		}
	}
	return done(nil)
}
