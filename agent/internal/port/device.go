package port

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// OpenVirtio opens the virtio-serial port of that name. Ports are numbered by the order of the devices, so the name in
// sysfs is the only thing to go by.
func OpenVirtio(name string) (Device, error) {
	names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return nil, err
	}
	for _, file := range names {
		content, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(content)) != name {
			continue
		}
		path := filepath.Join("/dev", filepath.Base(filepath.Dir(file)))
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open port %s: %w", name, err)
		}
		// Non-blocking, so that the runtime's poller takes it and a waiting read costs no thread.
		device := os.NewFile(uintptr(fd), path)
		raw, err := device.SyscallConn()
		if err != nil {
			return nil, err
		}
		return &virtio{File: device, raw: raw}, nil
	}
	return nil, fmt.Errorf("there is no virtio-serial port %q", name)
}

type virtio struct {
	*os.File
	raw syscall.RawConn
}

// Revive sleeps in the poller: the driver wakes it when the first bytes of a new host arrive.
func (v *virtio) Revive() error {
	return v.raw.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		if err != nil {
			return err != unix.EINTR
		}
		// Without a host the driver reports input as well, because a read would not block.
		return n > 0 && poll[0].Revents&unix.POLLIN != 0 && poll[0].Revents&unix.POLLHUP == 0
	})
}

// OfConn makes a device with a single peer of a connection; it is for development and tests.
func OfConn(conn net.Conn) Device { return single{conn} }

type single struct{ net.Conn }

func (single) Revive() error { return io.EOF }
