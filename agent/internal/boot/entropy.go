package boot

import (
	"encoding/binary"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"caisson/agent/internal/failure"
)

// minEntropy is what makes two clones of one template independent, with a margin.
const minEntropy = 64

// Reseed mixes the host's random bytes into the kernel's generator and makes it use them at once.
func Reseed(entropy []byte) error {
	if len(entropy) < minEntropy || len(entropy) > 4096 {
		return failure.Errno(unix.EINVAL, "got %d bytes of entropy, need %d to 4096", len(entropy), minEntropy)
	}
	random, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer random.Close()
	// struct rand_pool_info: bits to credit, size in bytes, the bytes.
	info := make([]byte, 8, 8+len(entropy))
	binary.NativeEndian.PutUint32(info, uint32(len(entropy)*8))
	binary.NativeEndian.PutUint32(info[4:], uint32(len(entropy)))
	info = append(info, entropy...)
	defer clear(info)
	for _, call := range []struct {
		request  uintptr
		argument unsafe.Pointer
	}{{unix.RNDADDENTROPY, unsafe.Pointer(&info[0])}, {rndReseedCRNG, nil}} {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, random.Fd(), call.request, uintptr(call.argument)); errno != 0 {
			return os.NewSyscallError("reseed", errno)
		}
	}
	return nil
}

// rndReseedCRNG is RNDRESEEDCRNG of <linux/random.h>.
const rndReseedCRNG = 0x5207

// SetClock sets the wall clock.
func SetClock(unixNanos int64) error {
	if unixNanos <= 0 {
		return failure.Errno(unix.EINVAL, "the time %d ns is out of range", unixNanos)
	}
	now := unix.NsecToTimespec(unixNanos)
	return os.NewSyscallError("clock_settime", unix.ClockSettime(unix.CLOCK_REALTIME, &now))
}

// Uptime is read from the monotonic clock: /proc/uptime has too few digits.
func Uptime() time.Duration {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return time.Duration(now.Nano())
}
