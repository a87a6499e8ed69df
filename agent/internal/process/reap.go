package process

import (
	"log"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
)

// unusedStream is how long a stream of an ended process waits for its writer or reader, holding a file descriptor. The host opens
// them as soon as it has their names, however slow its own client is: one that has not begun by then never will.
var unusedStream = time.Minute

// reap waits for children for ever. A thread that sleeps in waitid answers sooner than SIGCHLD through the runtime.
func (t *Table) reap() {
	for {
		before := t.starts.Load()
		var info unix.Siginfo
		// WNOWAIT leaves the zombie, and with it the pid, until the table is locked: no signal can hit a successor.
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil)
		t.mu.Lock()
		switch err {
		case nil:
			t.reapOne()
		case unix.EINTR:
		case unix.ECHILD:
			// Orphans only come from children, so there is nothing to reap until the next start; which may have come since.
			for t.starts.Load() == before {
				t.started.Wait()
			}
		default:
			log.Printf("waitid: %v", err)
			t.mu.Unlock()
			time.Sleep(time.Second)
			t.mu.Lock()
		}
		t.mu.Unlock()
	}
}

func (t *Table) reapOne() {
	var got exit
	pid, err := syscall.Wait4(-1, &got.status, syscall.WNOHANG, &got.usage)
	if err != nil || pid <= 0 {
		return
	}
	process := t.byPid[pid]
	switch {
	case process != nil && !process.reaped:
		t.end(process, got)
	case t.starting > 0:
		t.early[pid] = got
	}
}

// end marks a process as reaped, with the table locked, and lets its result be worked out.
func (t *Table) end(process *Process, got exit) {
	process.reaped = true
	t.running--
	t.ended = append(t.ended, ending{process.pid, process})
	if len(t.ended) > keepEnded {
		oldest := t.ended[0]
		t.ended = t.ended[1:]
		if t.byPid[oldest.pid] == oldest.process {
			delete(t.byPid, oldest.pid)
		}
	}
	go t.conclude(process, got)
}

// conclude works out the result and wakes those who wait for it.
func (t *Table) conclude(process *Process, got exit) {
	result := &agentv1.WaitResponse{
		CpuMicros: uint64(microseconds(got.usage.Utime) + microseconds(got.usage.Stime)),
	}
	if got.status.Signaled() {
		result.Code = 128 + int32(got.status.Signal())
		result.Signal = signalName(got.status.Signal())
	} else {
		result.Code = int32(got.status.ExitStatus())
	}
	killed := result.Code == 128+int32(syscall.SIGKILL)
	if t.groups != nil {
		switch {
		case result.Code != 0 && process.group != nil && process.group.oomKills() > process.oomAt:
			result.Oom = agentv1.WaitResponse_OOM_HIGH_CONFIDENCE
		case killed && t.groups.oomSince(process.sandboxOomAt):
			result.Oom = agentv1.WaitResponse_OOM_LOW_CONFIDENCE
		}
	}
	process.result = result
	close(process.done)
	if process.stdin != nil {
		process.stdin.checkReader()
	}
	if len(process.streamIDs) > 0 {
		time.AfterFunc(unusedStream, func() {
			for _, id := range process.streamIDs {
				t.streams.Drop(id)
			}
		})
	}
	if process.group != nil {
		t.groups.give(process.group)
	}
}

func microseconds(t syscall.Timeval) int64 { return t.Sec*1_000_000 + int64(t.Usec) }
