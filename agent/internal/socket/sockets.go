// Package socket connects the host to UNIX sockets of the sandbox, and listens in the sandbox for the host.
package socket

import (
	"context"
	"net"
	"path/filepath"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/failure"
	"caisson/agent/internal/session"
	"caisson/agent/internal/stream"
)

const dialTimeout = 30 * time.Second

// Sockets is the service of the contract.
type Sockets struct {
	streams *stream.Registry
	// Negative: this process's own user, for development.
	uid, gid int
	ready    func() error
}

// New makes the service. Sockets are made and reached as the given user.
func New(streams *stream.Registry, uid, gid int, ready func() error) *Sockets {
	return &Sockets{streams: streams, uid: uid, gid: gid, ready: ready}
}

// ConnectUnix connects to a UNIX socket.
func (s *Sockets) ConnectUnix(ctx context.Context, request *connect.Request[agentv1.ConnectUnixRequest]) (*connect.Response[agentv1.SocketStreams], error) {
	if err := s.check(request.Msg.Path); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var conn net.Conn
	err := asUser(s.uid, s.gid, func() (err error) {
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, "unix", request.Msg.Path)
		return err
	})
	if err != nil {
		return nil, failure.From(err)
	}
	streams, err := s.open(ctx, conn)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(streams), nil
}

func (s *Sockets) check(path string) error {
	if err := s.ready(); err != nil {
		return err
	}
	// No abstract sockets: their names begin with a zero byte, which Go writes as @.
	if !filepath.IsAbs(path) {
		return failure.Errno(unix.EINVAL, "the path of a socket must be absolute")
	}
	return nil
}

// open offers both directions of a connection, which it owns from now on.
func (s *Sockets) open(ctx context.Context, conn net.Conn) (*agentv1.SocketStreams, error) {
	if err := s.streams.Room(2); err != nil {
		conn.Close()
		return nil, err
	}
	source, sink, err := stream.OfConn(conn.(stream.Conn))
	if err != nil {
		conn.Close()
		return nil, failure.From(err)
	}
	owner := session.From(ctx)
	from := s.streams.AddOutput(source, owner)
	to, _ := s.streams.AddInput(sink, owner)
	return &agentv1.SocketStreams{To: to, From: from}, nil
}
