package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"

	"caisson/agent/internal/failure"
)

var (
	machineID = regexp.MustCompile(`^[0-9a-f]{32}$`)
	hostname  = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`)
)

// Personal makes a clone tell itself from its siblings.
func Personal(id string) error {
	return errors.Join(failure.From(freshBootID()), Identify(id), failure.From(putHosts("sandbox")))
}

// Identify writes the files by which this machine is known, and removes what an earlier life left in a root that was saved. The
// host's name, and the file that it is in, come with the owner.
func Identify(id string) error {
	if !machineID.MatchString(id) {
		return failure.Errno(unix.EINVAL, "the machine id is not 32 hexadecimal digits")
	}
	keys, _ := filepath.Glob("/etc/ssh/ssh_host_*")
	for _, stale := range append(keys, "/var/lib/dbus/machine-id", "/etc/.updated", "/var/.updated") {
		os.Remove(stale)
	}
	return failure.From(errors.Join(
		put("/etc/machine-id", id+"\n", 0o444),
		put("/etc/resolv.conf", "nameserver 127.0.0.53\noptions timeout:5 attempts:2\n", 0o644),
	))
}

// SetHostname names the machine.
func SetHostname(name string) error {
	if !hostname.MatchString(name) {
		return failure.Errno(unix.EINVAL, "the hostname %q is not valid", name)
	}
	return failure.From(errors.Join(
		os.NewSyscallError("sethostname", unix.Sethostname([]byte(name))),
		put("/etc/hostname", name+"\n", 0o644),
		putHosts(name),
	))
}

const (
	hostsFile  = "/etc/hosts"
	hostsBegin = "# Written by Caisson, line by line at each start:"
)

// More than this is no table of hosts.
const maxHosts = 1 << 20

// putHosts writes the agent's lines at the top of /etc/hosts and keeps what the user added.
func putHosts(name string) error {
	old, err := content(hostsFile, maxHosts)
	if err != nil {
		return err
	}
	return put(hostsFile, hosts(old, name), 0o644)
}

// hosts is the table with the agent's lines of now.
func hosts(old []byte, name string) string {
	var kept []byte
	if bytes.HasPrefix(old, []byte(hostsBegin)) {
		lines := bytes.SplitAfterN(old, []byte("\n"), 4)
		if len(lines) == 4 {
			kept = lines[3]
		}
	}
	return fmt.Sprintf("%s\n127.0.0.1 localhost %s\n::1 localhost ip6-localhost ip6-loopback %s\n%s", hostsBegin, name, name, kept)
}

// content is empty when there is no file, or something else in its place: what blocks or never ends must not hold up a start.
func content(path string, limit int64) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ELOOP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > limit {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(file, limit))
}

// put writes a file unless it has that content; a symbolic link in its place is replaced.
func put(path, content string, mode os.FileMode) error {
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
		return overwrite(path, info.Size(), content)
	} else if err == nil {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), mode)
}

// overwrite gives a file other content in its place: a file that is emptied first is written to the disk at once (auto_da_alloc of
// ext4), and that is waited for. Opening for writing copies a file of the base image up, so a file with that content is left alone.
func overwrite(path string, size int64, content string) error {
	if size == int64(len(content)) {
		if old, err := os.ReadFile(path); err == nil && string(old) == content {
			return nil
		}
	}
	file, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteString(content); err != nil {
		return err
	}
	if size <= int64(len(content)) {
		return nil
	}
	return file.Truncate(int64(len(content)))
}
