// Package process starts programs in the sandbox, limits their memory, and keeps their exit status.
package process

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/environment"
	"caisson/agent/internal/failure"
	"caisson/agent/internal/identity"
	"caisson/agent/internal/stream"
)

// keepEnded bounds the exit statuses that are kept for callers who ask late.
const keepEnded = 100_000

// Process is a program that the host asked for.
type Process struct {
	pid int
	// Under the table's lock; nil once it was given back, as another process may then have it.
	group *cgroup
	// Kills for memory before the start: in the group, and in the whole sandbox.
	oomAt        uint64
	sandboxOomAt uint64
	terminal     *os.File
	stdin        *stdinPipe
	streamIDs    []uint64
	// Set under the table's lock when it was reaped; from then on its pid may belong to another.
	reaped bool
	done   chan struct{}
	result *agentv1.WaitResponse
}

// Table knows all processes the host asked for. As PID 1 it also reaps what others left behind.
type Table struct {
	streams *stream.Registry
	env     *environment.Environment
	users   identity.Directory
	// Ready fails while the machine has no root file system; set before the first call.
	Ready func() error
	// Not nil in a virtual machine.
	groups   *cgroups
	watching atomic.Uint64
	overhead sync.Once
	taken    uint64
	sizes    sizes
	// Development mode: everything runs as the user who started the agent, in this directory.
	ownHome string

	// How many were registered; changed under the lock, with a signal to `started`.
	starts atomic.Uint64

	mu       sync.Mutex
	started  *sync.Cond
	starting int
	running  int
	byPid    map[int]*Process
	// Ends of children whose start has not returned yet.
	early map[int]exit
	ended []ending
}

type ending struct {
	pid     int
	process *Process
}

type exit struct {
	status syscall.WaitStatus
	usage  syscall.Rusage
}

// NewTable makes a table and begins to reap. It reaps every child of this process, so nothing else may wait for children.
// With `ownHome` processes keep the agent's user and start there, for development outside of a virtual machine.
func NewTable(streams *stream.Registry, env *environment.Environment, ownHome string) *Table {
	t := newTable(streams, env, ownHome)
	go t.reap()
	return t
}

func newTable(streams *stream.Registry, env *environment.Environment, ownHome string) *Table {
	t := &Table{
		streams: streams, env: env, ownHome: ownHome,
		byPid: map[int]*Process{}, early: map[int]exit{}, sizes: newSizes(),
	}
	t.started = sync.NewCond(&t.mu)
	return t
}

// find returns a process by its pid. ESRCH when it never was or is long gone.
func (t *Table) find(pid uint32) (*Process, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if process := t.byPid[int(pid)]; process != nil {
		return process, nil
	}
	return nil, failure.Errno(unix.ESRCH, "there is no process %d", pid)
}

// Running counts the processes the host started that have not ended.
func (t *Table) Running() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.running
}

// begin announces a start, so that an end that comes before the start has returned is kept.
func (t *Table) begin() {
	t.mu.Lock()
	t.starting++
	t.mu.Unlock()
}

// register ends what begin began. `process` is nil when the start failed.
func (t *Table) register(process *Process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.registerLocked(process)
}

func (t *Table) registerLocked(process *Process) {
	t.starting--
	if process != nil {
		t.byPid[process.pid] = process
		t.running++
		t.starts.Add(1)
		t.started.Signal()
		if early, there := t.early[process.pid]; there {
			t.end(process, early)
		}
	}
	if t.starting == 0 && len(t.early) > 0 {
		clear(t.early)
	}
}

// signal sends a signal to what the process was started for. SIGTERM and SIGKILL reach everything in its control group, also what has a
// process group or a session of its own; other signals reach the process group, as from a terminal. ESRCH when the process has ended;
// SIGKILL still ends what it left behind.
func (t *Table) signal(process *Process, number syscall.Signal) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if group := process.group; group != nil {
		switch number {
		case syscall.SIGKILL:
			if group.killFor(process) {
				return nil
			}
		case syscall.SIGTERM:
			if !process.reaped {
				group.signalOthers(process.pid, number)
			}
		}
	}
	if process.reaped {
		return failure.Errno(unix.ESRCH, "there is no process %d", process.pid)
	}
	return failure.From(syscall.Kill(-process.pid, number))
}
