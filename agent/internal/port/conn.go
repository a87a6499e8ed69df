package port

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// ahead is the most that one read of the driver returns: the host fills buffers of one page. A frame's header and a frame's end
// are read together with what follows them, or every frame would cost two more system calls.
const ahead = 4096

// Conn is the line during one host connection. Deadlines are not supported and ignored.
type Conn struct {
	port  *Port
	token string
	// Only sync lines came so far: the host repeats them until it has seen the answer.
	greeting bool
	pending  []byte
	// Where pending lies once the greeting is over.
	buffer [ahead]byte
	lost   atomic.Bool
	closed sync.Once
	gone   chan struct{}
}

// Lost tells whether the line has failed or was closed: the host has gone or a new one has come.
func (c *Conn) Lost() bool { return c.lost.Load() }

// Done is closed when the connection was closed.
func (c *Conn) Done() <-chan struct{} { return c.gone }

// Read skips repetitions of this connection's own sync line before the first other byte.
func (c *Conn) Read(into []byte) (int, error) {
	c.port.reading.Lock()
	defer c.port.reading.Unlock()
	for {
		if c.isClosed() {
			return 0, net.ErrClosed
		}
		if len(c.pending) > 0 && (!c.greeting || !couldBeLine(c.pending[:min(len(c.pending), lineBytes)])) {
			c.greeting = false
			n := copy(into, c.pending)
			if c.pending = c.pending[n:]; len(c.pending) == 0 {
				c.pending = nil
			}
			return n, nil
		}
		if token, ok := parseLine(c.pending); ok {
			if token != c.token {
				c.port.stale = c.pending
				c.pending = nil
				c.lost.Store(true)
				return 0, errResync
			}
			c.pending = c.pending[lineBytes:]
			continue
		}
		target := into
		if c.greeting || len(into) < ahead {
			target = c.buffer[:]
		}
		n, err := c.port.device.Read(target)
		if err != nil {
			c.lost.Store(true)
			return 0, err
		}
		switch {
		case c.greeting:
			c.pending = append(c.pending, target[:n]...)
		case len(into) < ahead:
			// Everything before it was handed out.
			c.pending = target[:n]
		default:
			return n, nil
		}
	}
}

func (c *Conn) Write(data []byte) (int, error) {
	c.port.writing.Lock()
	defer c.port.writing.Unlock()
	if c.isClosed() {
		return 0, net.ErrClosed
	}
	n, err := c.port.device.Write(data)
	if err != nil {
		c.lost.Store(true)
	}
	return n, err
}

// Close ends the connection, not the line: whoever reads or writes now is interrupted.
func (c *Conn) Close() error {
	c.closed.Do(func() {
		c.lost.Store(true)
		close(c.gone)
		past := time.Unix(1, 0)
		c.port.device.SetReadDeadline(past)
		c.port.device.SetWriteDeadline(past)
	})
	return nil
}

func (c *Conn) isClosed() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

type address struct{}

func (address) Network() string { return "port" }
func (address) String() string  { return "host" }

// LocalAddr and the following make it a net.Conn.
func (c *Conn) LocalAddr() net.Addr                { return address{} }
func (c *Conn) RemoteAddr() net.Addr               { return address{} }
func (c *Conn) SetDeadline(time.Time) error        { return nil }
func (c *Conn) SetReadDeadline(time.Time) error    { return nil }
func (c *Conn) SetWriteDeadline(t time.Time) error { return nil }
