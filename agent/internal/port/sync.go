// Package port makes a net.Conn for each host connection on a virtio-serial port. The port stays open when the host process
// disconnects, and another host process can connect later.
//
// When a host connects, the port can still hold bytes of the earlier host, in both directions. So each connection starts with a
// handshake: the host repeats `CAISSON-SYNC <32 hexadecimal digits>\n` until it reads the same line back.
package port

import "bytes"

const (
	syncWord   = "CAISSON-SYNC "
	tokenBytes = 32
	lineBytes  = len(syncWord) + tokenBytes + 1
)

// parseLine returns the token of a complete sync line at the start of `data`.
func parseLine(data []byte) (token string, ok bool) {
	if len(data) < lineBytes || string(data[:len(syncWord)]) != syncWord || data[lineBytes-1] != '\n' {
		return "", false
	}
	digits := data[len(syncWord) : lineBytes-1]
	for _, digit := range digits {
		if (digit < '0' || digit > '9') && (digit < 'a' || digit > 'f') {
			return "", false
		}
	}
	return string(digits), true
}

// couldBeLine tells whether `data`, shorter than a line, can still become a sync line.
func couldBeLine(data []byte) bool {
	for i, b := range data {
		switch {
		case i < len(syncWord):
			if b != syncWord[i] {
				return false
			}
		case i < lineBytes-1:
			if (b < '0' || b > '9') && (b < 'a' || b > 'f') {
				return false
			}
		default:
			return b == '\n' && i == lineBytes-1
		}
	}
	return true
}

// finder looks for sync lines in a stream of stale bytes.
type finder struct {
	// The end of what was seen, short enough to be the beginning of a line.
	tail []byte
}

// feed takes the next bytes. When they complete at least one line, it returns the token of the last one and what follows it.
func (f *finder) feed(chunk []byte) (token string, rest []byte, found bool) {
	data := append(f.tail, chunk...)
	from := 0
	for {
		at := bytes.Index(data[from:], []byte(syncWord))
		if at < 0 {
			break
		}
		from += at
		if next, ok := parseLine(data[from:]); ok {
			token, found = next, true
			from += lineBytes
			rest = data[from:]
		} else {
			from++
		}
	}
	if found {
		f.tail = nil
		return token, rest, true
	}
	keep := min(len(data), lineBytes-1)
	f.tail = append([]byte(nil), data[len(data)-keep:]...)
	return "", nil, false
}
