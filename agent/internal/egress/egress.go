package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"
)

// Start sets up network, rules, resolver and listeners. It belongs into the template: a restored machine then has all of it.
func Start() (*Tunnel, error) {
	tunnel := NewTunnel()
	names := NewNames()
	carrier := newRedirector(names, tunnel)
	if err := plumb(); err != nil {
		return nil, err
	}
	if err := errors.Join(NewResolver(names, tunnel).listen(), carrier.listen(), setRules()); err != nil {
		return nil, err
	}
	return tunnel, nil
}

// Dial connects to `host:port` on behalf of the host: inside of the machine, or through the tunnel with the name as it is.
func (t *Tunnel) Dial(ctx context.Context, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if local := localAddresses(host); local != nil {
		var dialer net.Dialer
		for _, one := range local {
			var conn net.Conn
			if conn, err = dialer.DialContext(ctx, "tcp", net.JoinHostPort(one, port)); err == nil {
				return conn, nil
			}
		}
		return nil, err
	}
	inward, outward := io.Pipe()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	down, err := t.Open(ctx, address, address, inward)
	if err != nil {
		cancel()
		return nil, err
	}
	return &tunnelConn{down: down, up: outward, cancel: cancel}, nil
}

func localAddresses(host string) []string {
	name := Canonical(host)
	if isLocal(name) {
		return []string{"127.0.0.1", "::1"}
	}
	if address, err := netip.ParseAddr(name); err == nil && address.Unmap().IsLoopback() {
		return []string{name}
	}
	return nil
}

// tunnelConn is a connection to the outside that the host itself asked for.
type tunnelConn struct {
	down   io.ReadCloser
	up     *io.PipeWriter
	cancel context.CancelFunc
}

func (c *tunnelConn) Read(into []byte) (int, error)  { return c.down.Read(into) }
func (c *tunnelConn) Write(data []byte) (int, error) { return c.up.Write(data) }
func (c *tunnelConn) CloseWrite() error              { return c.up.Close() }

func (c *tunnelConn) Close() error {
	c.cancel()
	c.up.CloseWithError(net.ErrClosed)
	return c.down.Close()
}

func (c *tunnelConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *tunnelConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *tunnelConn) SetDeadline(time.Time) error      { return nil }
func (c *tunnelConn) SetReadDeadline(time.Time) error  { return nil }
func (c *tunnelConn) SetWriteDeadline(time.Time) error { return nil }
