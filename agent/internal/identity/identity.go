// Package identity looks up users and groups in the sandbox's /etc/passwd and /etc/group.
//
// It does not use moby/sys/user: that library reads a user or group number which is no number as 0, which is root. Here such a line
// is skipped, as by the C library.
package identity

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"caisson/agent/internal/failure"
)

// User is who a process runs as.
type User struct {
	Name   string
	UID    uint32
	GID    uint32
	Groups []uint32
	Home   string
	Shell  string
}

// App is the user of every sandbox image; what the agent creates belongs to it.
var App = User{Name: "app", UID: 1000, GID: 1000, Groups: []uint32{1000}, Home: "/home/app", Shell: "/bin/bash"}

// Directory answers look-ups from memory for as long as the two files do not change.
type Directory struct {
	mu    sync.Mutex
	stamp [2]stamp
	users map[string]User
}

type stamp struct {
	modified time.Time
	size     int64
}

const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
	// A larger file is not read.
	maxFileBytes = 1 << 20
)

// Lookup finds a user by name or number. ENOENT when there is none.
func (d *Directory) Lookup(name string) (User, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := [2]stamp{stampOf(passwdFile), stampOf(groupFile)}
	if d.users == nil || now != d.stamp {
		d.stamp = now
		d.users = parse(content(passwdFile), content(groupFile))
	}
	if user, there := d.users[name]; there {
		return user, nil
	}
	if number, err := strconv.ParseUint(name, 10, 32); err == nil {
		for _, user := range d.users {
			if user.UID == uint32(number) {
				return user, nil
			}
		}
	}
	if name == App.Name {
		return App, nil
	}
	return User{}, failure.Errno(unix.ENOENT, "there is no user %q", name)
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

// parse makes the directory of the contents of the two files.
func parse(passwd, group []byte) map[string]User {
	users := map[string]User{}
	for _, fields := range records(passwd, 7) {
		uid, err1 := strconv.ParseUint(fields[2], 10, 32)
		gid, err2 := strconv.ParseUint(fields[3], 10, 32)
		if err1 != nil || err2 != nil {
			continue
		}
		users[fields[0]] = User{Name: fields[0], UID: uint32(uid), GID: uint32(gid), Groups: []uint32{uint32(gid)}, Home: fields[5], Shell: fields[6]}
	}
	for _, fields := range records(group, 4) {
		gid, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil {
			continue
		}
		for _, member := range strings.Split(fields[3], ",") {
			if user, there := users[member]; there && user.GID != uint32(gid) {
				user.Groups = append(user.Groups, uint32(gid))
				users[member] = user
			}
		}
	}
	return users
}

// content is empty when the path is not a regular file of limited size: root in the sandbox can put anything there, also a file that
// blocks or never ends.
func content(path string) []byte {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxFileBytes {
		return nil
	}
	bytes, _ := io.ReadAll(io.LimitReader(file, maxFileBytes))
	return bytes
}

// records stops at a line of more than 64 KiB.
func records(content []byte, width int) [][]string {
	var all [][]string
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		if fields := strings.Split(lines.Text(), ":"); len(fields) >= width {
			all = append(all, fields)
		}
	}
	return all
}
