package process

import (
	"bufio"
	"context"
	"log"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Memory is what the kernel says about the machine's memory, in bytes.
type Memory struct{ Total, Available uint64 }

// ReadMemory reads /proc/meminfo.
func ReadMemory() (Memory, error) {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return Memory{}, err
	}
	defer file.Close()
	var memory Memory
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		kibibytes, _ := strconv.ParseUint(fields[1], 10, 64)
		switch fields[0] {
		case "MemTotal:":
			memory.Total = kibibytes << 10
		case "MemAvailable:":
			memory.Available = kibibytes << 10
			return memory, nil
		}
	}
	return memory, nil
}

const (
	// Memory that only the agent and the kernel may use, so that a greedy sandbox can still be looked into and ended.
	reserveBytes = 16 << 20
	// Plugged-in memory costs the kernel this part of it for its own books.
	kernelShare = 64
	// Processes and threads likewise.
	reserveTasks = 512
	// A program of a sandbox has that many at most, whatever the memory.
	maxTasks = 16384
)

// WatchMemory keeps the sandbox's limits in step with the machine's memory, which is plugged in while it runs. Each call
// begins to look often again.
func (t *Table) WatchMemory() {
	if t.groups == nil {
		return
	}
	turn := t.watching.Add(1)
	go func() {
		var last uint64
		// What the kernel and the agent have taken is not the sandbox's to use up.
		t.overhead.Do(func() {
			if memory, err := ReadMemory(); err == nil {
				t.taken = memory.Total - memory.Available
			}
		})
		// Memory comes within a second of a restore or a claim; later changes are rare.
		for wait := 50 * time.Millisecond; wait < time.Minute && t.watching.Load() == turn; wait += wait / 4 {
			if memory, err := ReadMemory(); err == nil && memory.Total != last {
				last = memory.Total
				limit(memory.Total, t.taken)
			}
			time.Sleep(wait)
		}
	}()
}

func limit(total, taken uint64) {
	reserve := min(taken+total/kernelShare+reserveBytes, total/2)
	tasks := min(uint64(maxTasks), max(1024, total/(128<<10)))
	for _, setting := range []struct{ path, value string }{
		{"/proc/sys/kernel/threads-max", strconv.FormatUint(tasks+2*reserveTasks, 10)},
		{"/proc/sys/kernel/pid_max", "4194304"},
		{sandboxGroup + "/memory.max", strconv.FormatUint(total-reserve, 10)},
		{sandboxGroup + "/pids.max", strconv.FormatUint(tasks, 10)},
	} {
		if err := os.WriteFile(setting.path, []byte(setting.value), 0); err != nil {
			log.Printf("set limit %s: %v", setting.path, err)
		}
	}
}

// EndAll ends every process but the agent: politely first, then not.
func (t *Table) EndAll(ctx context.Context) {
	syscall.Kill(-1, syscall.SIGTERM)
	for range 20 {
		if t.groups == nil || !(&cgroup{path: sandboxGroup}).populated() || ctx.Err() != nil {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	syscall.Kill(-1, syscall.SIGKILL)
	time.Sleep(10 * time.Millisecond)
}
