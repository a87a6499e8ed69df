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
	reserveBytes = 48 << 20
	// Processes and threads likewise.
	reserveTasks = 512
	// A program of a sandbox has that many at most, whatever the memory.
	maxTasks = 16384
)

// WatchMemory keeps the sandbox's limits in step with the machine's memory, which is plugged in while it runs.
func (t *Table) WatchMemory() {
	if t.groups == nil || t.watching.Swap(true) {
		return
	}
	go func() {
		defer t.watching.Store(false)
		var last uint64
		// Memory comes within a second of a restore or a claim; later changes are rare.
		for wait := 50 * time.Millisecond; wait < time.Minute; wait += wait / 4 {
			if memory, err := ReadMemory(); err == nil && memory.Total != last {
				last = memory.Total
				limit(memory.Total)
			}
			time.Sleep(wait)
		}
	}()
}

func limit(total uint64) {
	tasks := min(uint64(maxTasks), max(1024, total/(128<<10)))
	for _, setting := range []struct{ path, value string }{
		{"/proc/sys/kernel/threads-max", strconv.FormatUint(tasks+2*reserveTasks, 10)},
		{"/proc/sys/kernel/pid_max", "4194304"},
		{sandboxGroup + "/memory.max", strconv.FormatUint(total-min(reserveBytes, total/4), 10)},
		{sandboxGroup + "/pids.max", strconv.FormatUint(tasks, 10)},
	} {
		if err := os.WriteFile(setting.path, []byte(setting.value), 0); err != nil {
			log.Printf("limit %s: %v", setting.path, err)
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
