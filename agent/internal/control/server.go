// Package control serves the contract on the control port, to one host connection at a time.
package control

import (
	"context"
	"net/http"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"

	"caisson/agent/gen/agentv1/agentv1connect"
	"caisson/agent/internal/port"
	"caisson/agent/internal/session"
)

const (
	// A waiting call per process and up to three streams; far above what a sandbox needs.
	maxStreams = 8192
	// Buffered per upload until its reader takes it. What is under way while the processors have other things to do must fit, or
	// the host waits for the guest: 512 KiB cost a quarter of the throughput.
	uploadWindow = 2 << 20
	// So many stalled uploads fit in the connection's window before they hold up others.
	stalledUploads = 32
	// Frames that the host may send.
	maxFrame = 256 << 10
	// The largest call is a write of 16 MiB.
	maxMessage = 17 << 20
	// System calls on a file system of the user's making may hang, each with a thread; Go gives up at 10,000 threads.
	maxFileCalls = 1024
)

// Services is what the control port offers.
type Services struct {
	Machine     agentv1connect.MachineHandler
	Processes   agentv1connect.ProcessesHandler
	Environment agentv1connect.EnvironmentHandler
	Files       agentv1connect.FilesHandler
	Sockets     agentv1connect.SocketsHandler
	Streams     http.Handler
	Connect     http.Handler
}

// Handler routes RPCs, byte streams and tunnels.
func (s Services) Handler() http.Handler {
	options := []connect.HandlerOption{
		connect.WithReadMaxBytes(maxMessage),
		// Compression would only cost time: the bytes never leave the machine.
		connect.WithCompression("gzip", nil, nil),
	}
	mux := http.NewServeMux()
	mux.Handle(agentv1connect.NewMachineHandler(s.Machine, options...))
	mux.Handle(agentv1connect.NewProcessesHandler(s.Processes, options...))
	mux.Handle(agentv1connect.NewEnvironmentHandler(s.Environment, options...))
	mux.Handle(agentv1connect.NewSocketsHandler(s.Sockets, options...))
	path, files := agentv1connect.NewFilesHandler(s.Files, options...)
	mux.Handle(path, limited(files, maxFileCalls))
	mux.Handle("/streams/", s.Streams)
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Method == http.MethodConnect {
			s.Connect.ServeHTTP(w, request)
			return
		}
		mux.ServeHTTP(w, request)
	})
}

// limited lets that many calls run at once; the others wait for as long as their caller does.
func limited(handler http.Handler, calls int) http.Handler {
	slots := make(chan struct{}, calls)
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			handler.ServeHTTP(w, request)
		case <-request.Context().Done():
		}
	})
}

// Serve serves hosts until the line ends.
func Serve(line *port.Port, handler http.Handler) error {
	server := &http2.Server{
		MaxConcurrentStreams:         maxStreams,
		MaxReadFrameSize:             maxFrame,
		MaxUploadBufferPerStream:     uploadWindow,
		MaxUploadBufferPerConnection: uploadWindow * stalledUploads,
	}
	for {
		conn, err := line.Accept()
		if err != nil {
			return err
		}
		host := session.New(conn.Lost)
		server.ServeConn(conn, &http2.ServeConnOpts{
			Context: host.With(context.Background()),
			Handler: handler,
		})
		conn.Close()
		host.End()
	}
}
