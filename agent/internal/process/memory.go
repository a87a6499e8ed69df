package process

import (
	"bufio"
	"context"
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
				t.sizes.follow(memory.Total)
			}
			time.Sleep(wait)
		}
	}()
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
