package process

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// Everything the user runs is below this group; the agent stays outside.
	sandboxGroup = "/sys/fs/cgroup/sandbox"
	// Where programs go that are to outlive the process that started them: /usr/local/bin/detach writes to its cgroup.procs.
	detachedGroup = sandboxGroup + "/detached"
	// Groups kept ready, so that a start does not wait for mkdir.
	spareGroups = 8
)

// cgroup holds one process the host started and its descendants. Groups are used again once they are empty.
type cgroup struct {
	path string
	fd   int

	mu sync.Mutex
	// The process that it was taken for, until it is empty.
	owner *Process
}

// cgroups owns the groups below sandboxGroup.
type cgroups struct {
	mu      sync.Mutex
	next    int
	free    []freeGroup
	busy    []*cgroup
	filling bool
	// Kills for memory in the whole sandbox as last seen.
	seen atomic.Uint64
}

type freeGroup struct {
	*cgroup
	oomKills uint64
}

// UseCgroups mounts nothing: the version 2 hierarchy must be at /sys/fs/cgroup. From now on every start gets a group.
func (t *Table) UseCgroups() error {
	if err := os.MkdirAll(sandboxGroup, 0o755); err != nil {
		return err
	}
	// At the top also "cpu": a sandbox full of busy loops is then one competitor of the agent, not a thousand.
	for _, folder := range []struct{ path, controllers string }{
		{filepath.Dir(sandboxGroup), "+memory +pids +cpu"}, {sandboxGroup, "+memory"},
	} {
		for _, controller := range strings.Fields(folder.controllers) {
			if err := os.WriteFile(folder.path+"/cgroup.subtree_control", []byte(controller), 0); err != nil {
				log.Printf("enable cgroup controller %s: %v", controller, err)
			}
		}
	}
	if err := openDetached(); err != nil {
		log.Printf("make the group of detached programs: %v", err)
	}
	groups := &cgroups{}
	groups.fill()
	go groups.watch()
	t.groups = groups
	return nil
}

// openDetached makes the group for programs that no kill of their starter is to reach, and lets every user move there: for that the
// kernel asks for write access to it and to the nearest group above both.
func openDetached() error {
	if err := os.Mkdir(detachedGroup, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return errors.Join(os.Chmod(detachedGroup+"/cgroup.procs", 0o666), os.Chmod(sandboxGroup+"/cgroup.procs", 0o666))
}

// take returns a group for a start and how many kills for memory it has seen; nil when there is none, which only costs
// the start its own accounting.
func (g *cgroups) take(process *Process) (*cgroup, uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.free) < spareGroups/2 && !g.filling {
		g.filling = true
		go g.fill()
	}
	if len(g.free) > 0 {
		last := g.free[len(g.free)-1]
		g.free = g.free[:len(g.free)-1]
		last.own(process)
		return last.cgroup, last.oomKills
	}
	group, err := g.make()
	if err != nil {
		return nil, 0
	}
	group.own(process)
	return group, 0
}

// give takes a group back when its process has ended; descendants may still be in it.
func (g *cgroups) give(group *cgroup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if group.populated() {
		g.busy = append(g.busy, group)
		return
	}
	g.keep(group)
}

func (g *cgroups) keep(group *cgroup) {
	group.own(nil)
	if len(g.free) < spareGroups*4 {
		g.free = append(g.free, freeGroup{group, group.oomKills()})
		return
	}
	group.remove()
}

// fill looks for groups that have become empty and makes new ones if that is not enough.
func (g *cgroups) fill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.filling = false
	busy := g.busy
	g.busy = nil
	for _, group := range busy {
		if group.populated() {
			g.busy = append(g.busy, group)
		} else {
			g.keep(group)
		}
	}
	for len(g.free) < spareGroups {
		group, err := g.make()
		if err != nil {
			log.Printf("make cgroup: %v", err)
			return
		}
		g.free = append(g.free, freeGroup{group, 0})
	}
}

func (g *cgroups) make() (*cgroup, error) {
	g.next++
	path := filepath.Join(sandboxGroup, strconv.Itoa(g.next))
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &cgroup{path: path, fd: fd}, nil
}

// watch keeps the count of kills for memory in the whole sandbox, so that a start can remember it without reading a file.
func (g *cgroups) watch() {
	events := sandboxGroup + "/memory.events"
	g.seen.Store(oomKills(sandboxGroup))
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		log.Printf("watch %s: %v", events, err)
		return
	}
	changes := os.NewFile(uintptr(fd), "inotify")
	defer changes.Close()
	if _, err := unix.InotifyAddWatch(fd, events, unix.IN_MODIFY); err != nil {
		log.Printf("watch %s: %v", events, err)
		return
	}
	for buffer := make([]byte, 4096); ; {
		if _, err := changes.Read(buffer); err != nil {
			return
		}
		g.seen.Store(oomKills(sandboxGroup))
	}
}

// oomSince tells whether the kernel killed anything in the sandbox for memory since that many kills.
func (g *cgroups) oomSince(before uint64) bool { return oomKills(sandboxGroup) > before }

func (c *cgroup) own(process *Process) {
	c.mu.Lock()
	c.owner = process
	c.mu.Unlock()
}

// killFor kills all that is in the group, unless it no longer is that process's. It reports whether there was anything to kill.
func (c *cgroup) killFor(process *Process) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.owner == process && c.populated() && os.WriteFile(c.path+"/cgroup.kill", []byte("1"), 0) == nil
}

// signalOthers sends a signal to the members of the group that are not in the process group `pgid`. What they start meanwhile is
// reached by another round; the number of rounds is bounded, as a program may fork for ever.
func (c *cgroup) signalOthers(pgid int, number syscall.Signal) {
	reached := map[int]bool{}
	for range 3 {
		found := false
		for _, pid := range c.members() {
			if reached[pid] {
				continue
			}
			reached[pid], found = true, true
			if group, err := unix.Getpgid(pid); err == nil && group != pgid {
				syscall.Kill(pid, number)
			}
		}
		if !found {
			return
		}
	}
}

func (c *cgroup) oomKills() uint64 { return oomKills(c.path) }

func (c *cgroup) populated() bool {
	content, err := os.ReadFile(c.path + "/cgroup.events")
	return err == nil && bytes.Contains(content, []byte("populated 1"))
}

// usable tells whether the group is still there, as a group for processes.
func (c *cgroup) usable() bool {
	kind, err := os.ReadFile(c.path + "/cgroup.type")
	return err == nil && string(kind) == "domain\n"
}

func (c *cgroup) remove() {
	unix.Close(c.fd)
	os.Remove(c.path)
}

// members lists the processes in the group.
func (c *cgroup) members() []int {
	file, err := os.Open(c.path + "/cgroup.procs")
	if err != nil {
		return nil
	}
	defer file.Close()
	var pids []int
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if pid, err := strconv.Atoi(lines.Text()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func oomKills(group string) uint64 {
	content, err := os.ReadFile(group + "/memory.events")
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(content), "\n") {
		if count, found := strings.CutPrefix(line, "oom_kill "); found {
			kills, _ := strconv.ParseUint(count, 10, 64)
			return kills
		}
	}
	return 0
}
