package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"caisson/agent/internal/port"
)

const line = "CAISSON-SYNC 0123456789abcdef0123456789abcdef\n"

// serveHost is a host that echoes what goes to echo.example and refuses everything else.
func serveHost(t *testing.T, conn net.Conn) {
	t.Helper()
	go conn.Write([]byte(line))
	echo := make([]byte, len(line))
	if _, err := io.ReadFull(conn, echo); err != nil || string(echo) != line {
		t.Errorf("handshake: %q %v", echo, err)
		return
	}
	(&http2.Server{}).ServeConn(conn, &http2.ServeConnOpts{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != "echo.example:7" || r.Header.Get("Caisson-Address") != "198.18.0.2:7" {
			w.Header().Set("Caisson-Reason", "policy")
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.WriteHeader(http.StatusOK)
		flusher := http.NewResponseController(w)
		flusher.Flush()
		for buffer := make([]byte, 1024); ; {
			n, err := r.Body.Read(buffer)
			w.Write(buffer[:n])
			flusher.Flush()
			if err != nil {
				return
			}
		}
	})})
}

func connected(t *testing.T) (*Tunnel, net.Conn) {
	t.Helper()
	guest, host := net.Pipe()
	tunnel := NewTunnel()
	go tunnel.Serve(port.New(port.OfConn(guest)))
	go serveHost(t, host)
	t.Cleanup(func() { host.Close(); guest.Close() })
	for range 500 {
		tunnel.mu.Lock()
		ready := tunnel.host != nil
		tunnel.mu.Unlock()
		if ready {
			return tunnel, host
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("no host")
	return nil, nil
}

func TestBytesGoBothWaysAndEndOneAfterTheOther(t *testing.T) {
	tunnel, _ := connected(t)
	down, err := tunnel.Open(context.Background(), "echo.example:7", "198.18.0.2:7", io.NopCloser(strings.NewReader("there and back")))
	if err != nil {
		t.Fatal(err)
	}
	defer down.Close()
	if got, err := io.ReadAll(down); err != nil || string(got) != "there and back" {
		t.Errorf("%q %v", got, err)
	}
}

func TestARefusalSaysWhy(t *testing.T) {
	tunnel, _ := connected(t)
	_, err := tunnel.Open(context.Background(), "evil.example:443", "198.18.0.3:443", http.NoBody)
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Status != http.StatusForbidden || refusal.Reason != "policy" {
		t.Errorf("error %v", err)
	}
}

func TestWithoutAHostConnectionsFailAtOnce(t *testing.T) {
	if _, err := NewTunnel().Open(context.Background(), "a.example:1", "", http.NoBody); !errors.Is(err, ErrNoHost) {
		t.Errorf("error %v", err)
	}
	tunnel, host := connected(t)
	reader, writer := io.Pipe()
	defer writer.Close()
	down, err := tunnel.Open(context.Background(), "echo.example:7", "198.18.0.2:7", reader)
	if err != nil {
		t.Fatal(err)
	}
	host.Close()
	if _, err := io.ReadAll(down); err == nil {
		t.Error("a connection whose host has gone ended as if it were complete")
	}
}
