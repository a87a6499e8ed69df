package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// Connections to the outside at once; more are reset.
	maxConnections = 1024
	copyBuffer     = 32 << 10
	// How long a program may go on sending to a side that has closed.
	drainTime = 2 * time.Second
)

var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// redirector carries the connections that the kernel redirected.
type redirector struct {
	names  *Names
	tunnel *Tunnel
	slots  chan struct{}
}

func (r *redirector) listen() error {
	// SO_ORIGINAL_DST is not available on multipath sockets.
	plain := net.ListenConfig{}
	plain.SetMultipathTCP(false)
	for _, at := range []struct{ network, address string }{{"tcp4", "0.0.0.0:"}, {"tcp6", "[::]:"}} {
		listener, err := plain.Listen(context.Background(), at.network, at.address+redirectPort)
		if err != nil {
			return err
		}
		go r.accept(listener.(*net.TCPListener))
	}
	return nil
}

func (r *redirector) accept(listener *net.TCPListener) {
	for {
		conn, err := listener.AcceptTCP()
		if err != nil {
			log.Printf("egress: accept: %v", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		select {
		case r.slots <- struct{}{}:
			go func() {
				defer func() { <-r.slots }()
				r.carry(conn)
			}()
		default:
			reset(conn)
		}
	}
}

// reset makes the program see a broken connection instead of an orderly end.
func reset(conn *net.TCPConn) {
	conn.SetLinger(0)
	conn.Close()
}

func (r *redirector) carry(conn *net.TCPConn) {
	target, err := originalTarget(conn)
	if err != nil || strconv.Itoa(int(target.Port())) == redirectPort {
		// Somebody connected to this port itself.
		reset(conn)
		return
	}
	host := target.Addr().String()
	name, done, synthetic := r.names.Use(target.Addr())
	defer done()
	if synthetic {
		if name == "" {
			reset(conn)
			return
		}
		host = name
	}
	up := &upstream{conn: conn, ended: make(chan struct{})}
	down, err := r.tunnel.Open(context.Background(), net.JoinHostPort(host, strconv.Itoa(int(target.Port()))), target.String(), up)
	if err != nil {
		opening := up.takeBack()
		var refusal *Refusal
		if errors.As(err, &refusal) {
			explanation{host, target.Port(), refusal}.give(conn, opening)
		} else {
			reset(conn)
		}
		return
	}
	up.granted()
	defer down.Close()
	buffer := copyBuffers.Get().(*[copyBuffer]byte)
	// Hide ReadFrom, which would allocate a buffer of its own.
	_, err = io.CopyBuffer(struct{ io.Writer }{conn}, down, buffer[:])
	copyBuffers.Put(buffer)
	if err != nil {
		reset(conn)
		return
	}
	conn.CloseWrite()
	<-up.ended
	if up.unwanted.Load() {
		// Closing with unread bytes would reset the connection, and with it what the program has not read yet.
		conn.SetReadDeadline(time.Now().Add(drainTime))
		io.Copy(io.Discard, conn)
	}
	conn.Close()
}

// upstream is what a program sends. It is read while the host still decides.
type upstream struct {
	conn  *net.TCPConn
	once  sync.Once
	ended chan struct{}
	// The other side takes no more, although the program may go on.
	unwanted atomic.Bool

	// Held while reading.
	reading sync.Mutex
	// What was read until the host has decided, nil afterwards.
	opening []byte
	decided atomic.Bool
}

func (u *upstream) Read(into []byte) (int, error) {
	u.reading.Lock()
	defer u.reading.Unlock()
	if u.unwanted.Load() {
		return 0, io.EOF
	}
	n, err := u.conn.Read(into)
	if u.decided.Load() {
		u.opening = nil
	} else {
		u.opening = append(u.opening, into[:min(n, maxOpening-len(u.opening))]...)
	}
	if err != nil {
		u.once.Do(func() { close(u.ended) })
		if !errors.Is(err, io.EOF) && !u.unwanted.Load() {
			// The other direction must not go on for nobody.
			u.conn.SetDeadline(time.Unix(1, 0))
		}
	}
	return n, err
}

// granted is called when the host has connected.
func (u *upstream) granted() { u.decided.Store(true) }

// takeBack ends the reading and returns how the program began. The connection is the caller's again.
func (u *upstream) takeBack() []byte {
	u.Close()
	u.reading.Lock()
	defer u.reading.Unlock()
	return u.opening
}

// Close is called when the tunnel wants no more.
func (u *upstream) Close() error {
	u.once.Do(func() {
		u.unwanted.Store(true)
		u.conn.SetReadDeadline(time.Unix(1, 0))
		close(u.ended)
	})
	return nil
}

// originalDst is SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST.
const originalDst = 80

// originalTarget asks the kernel where a redirected connection was going.
func originalTarget(conn *net.TCPConn) (netip.AddrPort, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	level := unix.SOL_IPV6
	if conn.LocalAddr().(*net.TCPAddr).IP.To4() != nil {
		level = unix.SOL_IP
	}
	var target netip.AddrPort
	var failed error
	err = raw.Control(func(fd uintptr) {
		// The only getter of x/sys whose buffer holds a socket address of either family.
		info, err := unix.GetsockoptIPv6MTUInfo(int(fd), level, originalDst)
		if err != nil {
			failed = err
			return
		}
		bytes := (*[unix.SizeofSockaddrInet6]byte)(unsafe.Pointer(&info.Addr))
		target = addressOf(bytes, level == unix.SOL_IP)
	})
	return target, errors.Join(err, failed)
}

// addressOf reads a sockaddr_in or a sockaddr_in6.
func addressOf(bytes *[unix.SizeofSockaddrInet6]byte, v4 bool) netip.AddrPort {
	port := binary.BigEndian.Uint16(bytes[2:4])
	if v4 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(bytes[4:8])), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(bytes[8:24])).Unmap(), port)
}
