package stream

import (
	"net"
	"sync/atomic"
	"syscall"
)

// Conn is a connection whose two directions end for themselves, as those of TCP and UNIX sockets do.
type Conn interface {
	net.Conn
	syscall.Conn
	CloseRead() error
	CloseWrite() error
}

type halves struct {
	conn Conn
	open atomic.Int32
}

func (h *halves) done() {
	if h.open.Add(-1) == 0 {
		h.conn.Close()
	}
}

type connSource struct {
	*FileSource
	closed atomic.Bool
	halves *halves
}

func (s *connSource) Close() error {
	if s.closed.CompareAndSwap(false, true) {
		s.halves.conn.CloseRead()
		s.halves.done()
	}
	return nil
}

type connSink struct {
	Conn
	halves *halves
}

// Close ends what the peer reads. A stream that broke off ends the whole connection.
func (s *connSink) Close(cause error) error {
	defer s.halves.done()
	if cause != nil {
		return s.Conn.Close()
	}
	return s.CloseWrite()
}

// OfConn makes both streams of a connection. It is closed when both were.
func OfConn(conn Conn) (Source, Sink, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	both := &halves{conn: conn}
	both.open.Store(2)
	source := &connSource{FileSource: &FileSource{file: conn, raw: raw}, halves: both}
	return source, &connSink{Conn: conn, halves: both}, nil
}
