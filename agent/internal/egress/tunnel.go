package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"caisson/agent/internal/port"
)

const (
	// How long the host may take to connect to the other side. Programs wait as long (tcp_syn_retries).
	openTimeout = 35 * time.Second
	maxFrame    = 64 << 10
)

// ErrNoHost is returned while no host serves the egress port.
var ErrNoHost = errors.New("no egress proxy is connected")

// Refusal says why the host did not connect.
type Refusal struct {
	Status int
	Reason string
	// What connect() fails with.
	Errno string
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s (%d)", r.Reason, r.Status) }

// Tunnel opens connections through the egress port.
type Tunnel struct {
	transport *http2.Transport

	mu   sync.Mutex
	host *http2.ClientConn
}

// NewTunnel makes a tunnel without a host.
func NewTunnel() *Tunnel {
	transport := newTransport()
	transport.AllowHTTP = true
	transport.DisableCompression = true
	transport.MaxReadFrameSize = maxFrame
	return &Tunnel{transport: transport}
}

// Serve lets one host after the other carry the connections, until the line ends.
func (t *Tunnel) Serve(line *port.Port) error {
	for {
		conn, err := line.Accept()
		if err != nil {
			return err
		}
		host, err := t.transport.NewClientConn(conn)
		if err != nil {
			log.Printf("egress: %v", err)
			conn.Close()
			continue
		}
		t.set(host)
		<-conn.Done()
		t.set(nil)
		host.Close()
		conn.Close()
	}
}

func (t *Tunnel) set(host *http2.ClientConn) {
	t.mu.Lock()
	t.host = host
	t.mu.Unlock()
}

// Open asks the host to connect. `up` is sent to the other side until it ends; what comes back is the other direction.
// Closing the answer, or the end of `ctx`, breaks the connection off.
func (t *Tunnel) Open(ctx context.Context, authority, address string, up io.ReadCloser) (io.ReadCloser, error) {
	t.mu.Lock()
	host := t.host
	t.mu.Unlock()
	if host == nil {
		return nil, ErrNoHost
	}
	ctx, cancel := context.WithCancel(ctx)
	timeout := time.AfterFunc(openTimeout, cancel)
	defer timeout.Stop()
	request := (&http.Request{
		Method: http.MethodConnect, URL: &url.URL{Host: authority}, Host: authority,
		Header: http.Header{"Caisson-Address": {address}, "User-Agent": {""}},
		Body:   up, ContentLength: -1,
	}).WithContext(ctx)
	response, err := host.RoundTrip(request)
	if err != nil {
		cancel()
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		cancel()
		response.Body.Close()
		return nil, &Refusal{response.StatusCode, response.Header.Get("Caisson-Reason"), response.Header.Get("Caisson-Errno")}
	}
	return &answer{response.Body, cancel}, nil
}

type answer struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (a *answer) Close() error {
	a.cancel()
	return a.ReadCloser.Close()
}
