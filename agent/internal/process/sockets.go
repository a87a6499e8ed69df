package process

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// stateListen is TCP_LISTEN in the kernel's table. The tables are read here and not by prometheus/procfs, which keeps every field of
// every socket: the host asks many times a second, often on an emulated processor.
const stateListen = "0A"

// listeningPort returns a TCP port that one of the processes listens on, or 0.
func listeningPort(pids []int) uint16 {
	if len(pids) == 0 {
		return 0
	}
	listening := map[string]uint16{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		readListening(table, listening)
	}
	if len(listening) == 0 {
		return 0
	}
	for _, pid := range pids {
		folder := "/proc/" + strconv.Itoa(pid) + "/fd"
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			target, err := os.Readlink(filepath.Join(folder, entry.Name()))
			if err != nil {
				continue
			}
			if inode, found := strings.CutPrefix(target, "socket:["); found {
				if port := listening[strings.TrimSuffix(inode, "]")]; port != 0 {
					return port
				}
			}
		}
	}
	return 0
}

// readListening adds the listening sockets of a table: inode to port.
func readListening(table string, into map[string]uint16) {
	file, err := os.Open(table)
	if err != nil {
		return
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != stateListen {
			continue
		}
		colon := strings.LastIndexByte(fields[1], ':')
		if port, err := strconv.ParseUint(fields[1][colon+1:], 16, 16); err == nil {
			into[fields[9]] = uint16(port)
		}
	}
}

// members lists the process and its descendants: its cgroup, or without one the sessions it began.
func (t *Table) members(process *Process) []int {
	if process.group != nil {
		return process.group.members()
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var pids []int
	for _, stat := range stats {
		content, err := os.ReadFile(stat)
		if err != nil {
			continue
		}
		// The name is in parentheses and may contain anything.
		rest := string(content[strings.LastIndexByte(string(content), ')')+1:])
		if fields := strings.Fields(rest); len(fields) > 3 && fields[3] == strconv.Itoa(process.pid) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
