package socket

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/failure"
)

// acceptPause is how long no connection is accepted after one could not be: file descriptors are used up.
const acceptPause = 100 * time.Millisecond

// Listen accepts connections until the host cancels the call.
func (s *Sockets) Listen(ctx context.Context, request *connect.Request[agentv1.ListenRequest], answers *connect.ServerStream[agentv1.ListenResponse]) error {
	listener, err := s.listen(request.Msg)
	if err != nil {
		return failure.From(err)
	}
	defer listener.Close()
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	if err := answers.Send(&agentv1.ListenResponse{Port: portOf(listener.Addr())}); err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return failure.From(ctx.Err())
		}
		if errors.Is(err, net.ErrClosed) {
			return failure.From(err)
		}
		if err != nil {
			time.Sleep(acceptPause)
			continue
		}
		streams, err := s.open(ctx, conn)
		if err != nil {
			continue
		}
		host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
		answer := &agentv1.ListenResponse{Connection: streams, PeerHost: host, PeerPort: portOf(conn.RemoteAddr())}
		if err := answers.Send(answer); err != nil {
			s.streams.Drop(streams.To)
			s.streams.Drop(streams.From)
			return err
		}
	}
}

func (s *Sockets) listen(request *agentv1.ListenRequest) (net.Listener, error) {
	if request.Path == "" {
		if err := s.ready(); err != nil {
			return nil, err
		}
		if request.Host != "" && net.ParseIP(request.Host) == nil {
			return nil, failure.Errno(unix.EADDRNOTAVAIL, "%q is not an IP address", request.Host)
		}
		return net.Listen("tcp", net.JoinHostPort(request.Host, strconv.Itoa(int(request.Port))))
	}
	if err := s.check(request.Path); err != nil {
		return nil, err
	}
	var listener net.Listener
	err := asUser(s.uid, s.gid, func() (err error) {
		if listener, err = net.Listen("unix", request.Path); err != nil {
			return err
		}
		// Until now nobody could connect who is not this user or root: the thread's umask is not its own to change.
		return os.Chmod(request.Path, 0o600)
	})
	if err != nil && listener != nil {
		listener.Close()
	}
	return listener, err
}

func portOf(address net.Addr) uint32 {
	if tcp, ok := address.(*net.TCPAddr); ok {
		return uint32(tcp.Port)
	}
	return 0
}
