package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// Connections to the outside at once, begun ones included. The first packets of more are dropped, and come again.
	maxConnections = 1024
	copyBuffer     = 32 << 10
	// How long a program may go on sending to a side that has closed.
	drainTime = 2 * time.Second
)

var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// redirector carries the connections that the kernel redirected.
type redirector struct {
	names *Names
	// Asks the host to connect (Tunnel.Open).
	open  func(ctx context.Context, authority, address string, up io.ReadCloser) (io.ReadCloser, error)
	slots chan struct{}

	mu       sync.Mutex
	attempts map[flow]*attempt
}

func newRedirector(names *Names, tunnel *Tunnel) *redirector {
	return &redirector{names: names, open: tunnel.Open, slots: make(chan struct{}, maxConnections), attempts: map[flow]*attempt{}}
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
	go r.dropGivenUp()
	queue, err := openQueue()
	if err != nil {
		return err
	}
	go serveAgain(queue, openQueue, func(queue *packetQueue, id uint32, packet []byte) {
		answer := func(verdict verdict) { queue.answer(id, verdict) }
		if f, err := flowOf(packet); err == nil {
			r.begin(f, answer)
		} else {
			answer(noHost)
		}
	})
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
		go r.hand(conn)
	}
}

// reset makes the program see a broken connection instead of an orderly end.
func reset(conn *net.TCPConn) {
	conn.SetLinger(0)
	conn.Close()
}

func (r *redirector) hand(conn *net.TCPConn) {
	target, err := originalTarget(conn)
	from := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	if err != nil || !r.take(flow{from, target}, conn) {
		// Somebody connected to this port itself.
		reset(conn)
	}
}

// carry copies both ways until both have ended.
func carry(conn *net.TCPConn, up *upstream, down io.Reader) {
	buffer := copyBuffers.Get().(*[copyBuffer]byte)
	// Hide ReadFrom, which would allocate a buffer of its own.
	_, err := io.CopyBuffer(struct{ io.Writer }{conn}, down, buffer[:])
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

// upstream is what a program sends. The host connects before there is a program's connection.
type upstream struct {
	attached chan struct{}
	ended    chan struct{}
	once     sync.Once
	// The other side takes no more, although the program may go on.
	unwanted atomic.Bool

	mu   sync.Mutex
	conn *net.TCPConn
}

func newUpstream() *upstream {
	return &upstream{attached: make(chan struct{}), ended: make(chan struct{})}
}

// attach is called once, with the program's connection.
func (u *upstream) attach(conn *net.TCPConn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.conn = conn
	if u.unwanted.Load() {
		conn.SetReadDeadline(time.Unix(1, 0))
	}
	close(u.attached)
}

func (u *upstream) Read(into []byte) (int, error) {
	select {
	case <-u.attached:
	case <-u.ended:
	}
	if u.unwanted.Load() {
		return 0, io.EOF
	}
	n, err := u.conn.Read(into)
	if err != nil {
		u.once.Do(func() { close(u.ended) })
		if !errors.Is(err, io.EOF) && !u.unwanted.Load() {
			// The other direction must not go on for nobody.
			u.conn.SetDeadline(time.Unix(1, 0))
		}
	}
	return n, err
}

// Close is called when the tunnel wants no more.
func (u *upstream) Close() error {
	u.once.Do(func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.unwanted.Store(true)
		if u.conn != nil {
			u.conn.SetReadDeadline(time.Unix(1, 0))
		}
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
