package port

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// Device is a line whose peers come and go. Read returns io.EOF while there is no peer.
type Device interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	// Revive blocks, after an io.EOF, until bytes of a new peer are there; an error when there will be none.
	Revive() error
}

// Port hands out one connection at a time.
type Port struct {
	device Device
	// Bytes that belong to the next handshake.
	stale []byte
	// The connection before: the next host's handshake may be among what it read and did not hand out.
	last *Conn
	// Held while the device is read or written, so that a connection that was closed has left before the next one starts.
	reading, writing sync.Mutex
}

// New makes a port of a device.
func New(device Device) *Port { return &Port{device: device} }

var errResync = errors.New("port: another host has connected")

// Accept waits for the handshake of the next host. The connection before must be closed.
func (p *Port) Accept() (*Conn, error) {
	p.reading.Lock()
	defer p.reading.Unlock()
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := errors.Join(p.device.SetReadDeadline(time.Time{}), p.device.SetWriteDeadline(time.Time{})); err != nil {
		return nil, err
	}
	var lines finder
	buffer := make([]byte, 4096)
	chunk := p.stale
	if p.last != nil && chunk == nil {
		chunk = p.last.pending
	}
	p.stale, p.last = nil, nil
	for {
		if token, rest, found := lines.feed(chunk); found {
			err := p.echo(token)
			if err == nil {
				p.last = &Conn{port: p, token: token, greeting: true, pending: append([]byte(nil), rest...), gone: make(chan struct{})}
				return p.last, nil
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				return nil, err
			}
		}
		n, err := p.device.Read(buffer)
		chunk = buffer[:n]
		if n > 0 {
			continue
		}
		if err == nil || errors.Is(err, io.EOF) {
			lines = finder{}
			if err := p.device.Revive(); err != nil {
				return nil, err
			}
			continue
		}
		return nil, err
	}
}

// echo answers a handshake. A host that has gone again must not hold up the next one, hence the deadline.
func (p *Port) echo(token string) error {
	if err := p.device.SetWriteDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	_, err := p.device.Write([]byte(syncWord + token + "\n"))
	return errors.Join(err, p.device.SetWriteDeadline(time.Time{}))
}
