package process

import (
	"log"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

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

func limit(total, taken uint64) {
	reserve := min(taken+total/kernelShare+reserveBytes, total/2)
	tasks := min(uint64(maxTasks), max(1024, total/(128<<10)))
	pages := total / uint64(os.Getpagesize())
	// As the kernel itself would choose (tcp_init_mem, eventpoll_init), but it does so once, from the memory of the template.
	tcp := max(pages/16, 128)
	for _, setting := range []struct{ path, value string }{
		{"/proc/sys/kernel/threads-max", number(tasks + 2*reserveTasks)},
		{"/proc/sys/kernel/pid_max", "4194304"},
		{"/proc/sys/fs/epoll/max_user_watches", number(total / 25 / epollItemBytes)},
		{"/proc/sys/net/ipv4/tcp_mem", number(tcp/4*3) + " " + number(tcp) + " " + number(tcp/4*6)},
		{sandboxGroup + "/memory.max", number(total - reserve)},
		{sandboxGroup + "/pids.max", number(tasks)},
	} {
		if err := os.WriteFile(setting.path, []byte(setting.value), 0); err != nil {
			log.Printf("set limit %s: %v", setting.path, err)
		}
	}
}

// epollItemBytes is what one watched file costs (struct epitem and struct eppoll_entry, EP_ITEM_COST of fs/eventpoll.c).
const epollItemBytes = 200

func number(value uint64) string { return strconv.FormatUint(value, 10) }

// memoryFileSystem is a tmpfs whose size is a share of the machine's memory, as a login of Debian has it.
type memoryFileSystem struct {
	path, mode string
	// Of the memory.
	part uint64
	// What the agent has set, bytes. 0 before the first time.
	size uint64
}

// sizes are the file systems in memory. The kernel works out a share once, when it mounts one, from the memory of the template.
type sizes []*memoryFileSystem

func newSizes() sizes {
	return sizes{{path: "/dev/shm", mode: "1777", part: 2}, {path: "/run", mode: "755", part: 5}}
}

const tmpfsMagic = 0x01021994

func (s sizes) follow(total uint64) {
	page := uint64(os.Getpagesize())
	for _, m := range s {
		var stat unix.Statfs_t
		if err := unix.Statfs(m.path, &stat); err != nil || stat.Type != tmpfsMagic {
			continue
		}
		if m.size != 0 && stat.Blocks*uint64(stat.Bsize) != m.size {
			// Somebody in the sandbox has chosen another.
			continue
		}
		size := total / m.part / page * page
		// An inode for two pages of memory, as the kernel does.
		options := "size=" + number(size) + ",nr_inodes=" + number(total/page/2) + ",mode=" + m.mode
		if err := unix.Mount("", m.path, "", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
			log.Printf("set the size of %s: %v", m.path, err)
			continue
		}
		m.size = size
	}
}
