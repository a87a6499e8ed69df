// Command raw-port is the init of a guest that does nothing but move bytes over one virtio-serial port as fast as the port
// allows: the yardstick for everything that Caisson puts on top. 'w' and a size in 8 bytes: it writes so much. 'r' and a size:
// it reads so much and answers 'k'.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"
)

const buffer = 64 << 10

func main() {
	if err := run(); err != nil {
		fmt.Println("raw-port:", err)
	}
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

func run() error {
	for path, kind := range map[string]string{"/proc": "proc", "/sys": "sysfs", "/dev": "devtmpfs"} {
		if err := syscall.Mount(kind, path, kind, 0, ""); err != nil && err != syscall.EBUSY {
			return fmt.Errorf("mount %s: %w", path, err)
		}
	}
	order, err := os.ReadFile("/lib/modules/caisson/load-order")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(order)) {
		// Some need hardware that this machine does not have.
		if err := load(filepath.Join("/lib/modules/caisson", name)); err != nil {
			fmt.Println("raw-port: module", name, err)
		}
	}
	port, err := open("caisson.raw")
	if err != nil {
		return err
	}
	request := make([]byte, 9)
	for {
		if _, err := io.ReadFull(port, request); err != nil {
			return err
		}
		size := int64(binary.BigEndian.Uint64(request[1:]))
		switch request[0] {
		case 'w':
			err = write(port, size)
		case 'r':
			err = read(port, size)
		default:
			return fmt.Errorf("unknown request %q", request[0])
		}
		if err != nil {
			return err
		}
	}
}

func write(port *os.File, size int64) error {
	chunk := make([]byte, buffer)
	for size > 0 {
		n, err := port.Write(chunk[:min(size, buffer)])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}

func read(port *os.File, size int64) error {
	chunk := make([]byte, buffer)
	for size > 0 {
		n, err := port.Read(chunk[:min(size, buffer)])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	_, err := port.Write([]byte("k"))
	return err
}

func load(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	const finitModule = 313 // x86-64
	none := []byte{0}
	if _, _, errno := syscall.Syscall(finitModule, file.Fd(), uintptr(unsafe.Pointer(&none[0])), 0); errno != 0 && errno != syscall.EEXIST {
		return errno
	}
	return nil
}

func open(name string) (*os.File, error) {
	for {
		found, err := filepath.Glob("/sys/class/virtio-ports/*/name")
		if err != nil {
			return nil, err
		}
		for _, path := range found {
			if content, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(content)) == name {
				// Blocking, so that the runtime's poller stays out of the measurement.
				fd, err := syscall.Open("/dev/"+filepath.Base(filepath.Dir(path)), syscall.O_RDWR, 0)
				if err == nil {
					return os.NewFile(uintptr(fd), name), nil
				}
			}
		}
	}
}
