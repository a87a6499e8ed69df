package control

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"caisson/agent/internal/session"
)

// Dialer connects to `host:port` as a program in the sandbox would.
type Dialer func(ctx context.Context, address string) (net.Conn, error)

// dialTimeout bounds a connection to a port inside of the sandbox or, through the egress port, outside.
const dialTimeout = 30 * time.Second

// Tunnel serves CONNECT requests.
func Tunnel(dial Dialer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		ctx, cancel := context.WithTimeout(request.Context(), dialTimeout)
		conn, err := dial(ctx, request.Host)
		cancel()
		if err != nil {
			w.Header().Set("caisson-reason", oneLine(err.Error()))
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer conn.Close()
		forget := session.From(request.Context()).OnEnd(func() { conn.Close() })
		defer forget()
		stop := context.AfterFunc(request.Context(), func() { conn.Close() })
		defer stop()
		w.WriteHeader(http.StatusOK)
		flusher := http.NewResponseController(w)
		if flusher.Flush() != nil {
			return
		}
		go func() {
			buffer := make([]byte, 32<<10)
			// Hide ReadFrom: it would allocate a buffer of its own.
			_, err := io.CopyBuffer(struct{ io.Writer }{conn}, request.Body, buffer)
			if half, ok := conn.(interface{ CloseWrite() error }); ok && err == nil {
				half.CloseWrite()
			}
		}()
		buffer := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buffer)
			if n > 0 {
				if _, failed := w.Write(buffer[:n]); failed != nil {
					return
				}
				if flusher.Flush() != nil {
					return
				}
			}
			if err == io.EOF {
				return
			}
			if err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	})
}

func oneLine(text string) string {
	clean := []byte(text)
	for i, b := range clean {
		if b < ' ' || b > '~' {
			clean[i] = ' '
		}
	}
	return string(clean[:min(len(clean), 500)])
}
