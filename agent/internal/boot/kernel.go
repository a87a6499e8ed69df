package boot

import (
	"log"
	"os"
)

// kernelSettings are those that systemd or a package makes on a Debian machine, and those that a sandbox's only tenant needs wider: what
// they allow costs memory of the sandbox alone.
var kernelSettings = []struct{ path, value string }{
	// `python3 -m http.server 80` as the user.
	{"net/ipv4/ip_unprivileged_port_start", "0"},
	// ping without privileges.
	{"net/ipv4/ping_group_range", "0 2147483647"},
	// connect() gives up after 35 s instead of 131 s: the node gives up before.
	{"net/ipv4/tcp_syn_retries", "4"},
	// Search engines refuse to start with less than 262144; the value is that of Debian 13.
	{"vm/max_map_count", "1048576"},
	// Editors and bundlers watch every file of a tree.
	{"fs/inotify/max_user_watches", "524288"},
	{"fs/inotify/max_user_instances", "1024"},
	{"fs/inotify/max_queued_events", "65536"},
	// Databases.
	{"fs/aio-max-nr", "1048576"},
	// The number of open files is bounded by memory and by the limits of each process.
	{"fs/file-max", "9223372036854775807"},
	// Every container has a key ring.
	{"kernel/keys/maxkeys", "10000"},
	{"kernel/keys/maxbytes", "1000000"},
	{"net/netfilter/nf_conntrack_max", "262144"},
	// The kernel's own choice is half of the threads that fit into the template's memory.
	{"user/max_user_namespaces", "16384"},
	{"user/max_mnt_namespaces", "16384"},
	{"user/max_pid_namespaces", "16384"},
	{"user/max_net_namespaces", "16384"},
	{"user/max_ipc_namespaces", "16384"},
	{"user/max_uts_namespaces", "16384"},
	{"user/max_cgroup_namespaces", "16384"},
	{"user/max_time_namespaces", "16384"},
}

// settleKernel makes the settings. A kernel that lacks one still boots.
func settleKernel() {
	for _, setting := range kernelSettings {
		if err := os.WriteFile("/proc/sys/"+setting.path, []byte(setting.value), 0); err != nil {
			log.Printf("boot: set %s: %v", setting.path, err)
		}
	}
}

// deviceModes are those that udev gives on a Debian machine (50-udev-default.rules) and the kernel alone does not. Nothing behind these
// devices belongs to anybody but the sandbox.
var deviceModes = map[string]os.FileMode{
	"/dev/fuse": 0o666, "/dev/net/tun": 0o666,
	"/dev/null": 0o666, "/dev/zero": 0o666, "/dev/full": 0o666, "/dev/random": 0o666, "/dev/urandom": 0o666, "/dev/tty": 0o666,
	"/dev/rtc0": 0o644,
}

// openDevices lets users use the devices that they may use on a Debian machine.
func openDevices() {
	for path, mode := range deviceModes {
		if err := os.Chmod(path, mode); err != nil && !os.IsNotExist(err) {
			log.Printf("boot: %v", err)
		}
	}
}
