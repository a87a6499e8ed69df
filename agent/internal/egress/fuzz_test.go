package egress

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sys/unix"

	"caisson/agent/internal/port"
)

// FuzzTunnel sends what a host may answer to a CONNECT, from the first byte of its HTTP/2 session.
func FuzzTunnel(f *testing.F) {
	answer := func(end bool, fields ...string) []byte {
		var out, block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		for i := 0; i < len(fields); i += 2 {
			encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		framer := http2.NewFramer(&out, nil)
		framer.WriteSettings()
		framer.WriteSettingsAck()
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end})
		if !end {
			framer.WriteData(1, true, []byte("bytes"))
		}
		return out.Bytes()
	}
	f.Add(answer(false, ":status", "200"))
	f.Add(answer(true, ":status", "403", "caisson-reason", "host-not-allowed: no"))
	f.Add(answer(true, ":status", "100"))
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		guest, host := net.Pipe()
		defer host.Close()
		defer guest.Close()
		tunnel := NewTunnel()
		served := make(chan struct{})
		go func() {
			tunnel.Serve(port.New(port.OfConn(guest)))
			close(served)
		}()
		host.SetDeadline(time.Now().Add(5 * time.Second))
		go host.Write([]byte(line))
		if _, err := io.ReadFull(host, make([]byte, len(line))); err != nil {
			t.Fatal(err)
		}
		asked := make(chan struct{})
		go func() {
			// The preface and the settings come first; what follows is the question, or the end.
			io.ReadFull(host, make([]byte, len(http2.ClientPreface)+9))
			close(asked)
			io.Copy(io.Discard, host)
		}()
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		defer cancel()
		go func() {
			<-asked
			time.Sleep(time.Millisecond)
			host.Write(said)
			host.Close()
		}()
		for tunnel.connected() == nil {
			select {
			case <-served:
				return
			case <-ctx.Done():
				t.Fatal("the host was not taken")
			case <-time.After(100 * time.Microsecond):
			}
		}
		if down, err := tunnel.Open(ctx, "echo.example:7", "198.18.0.2:7", http.NoBody); err == nil {
			io.Copy(io.Discard, down)
			down.Close()
		}
		host.Close()
		select {
		case <-served:
		case <-time.After(5 * time.Second):
			t.Fatal("the tunnel goes on without its line")
		}
		if ctx.Err() != nil {
			t.Fatal("it did not end")
		}
	})
}

// connected is nil while there is no host.
func (t *Tunnel) connected() *http2.ClientConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.host
}

// FuzzFlowOf reads packets that a program may send by hand.
func FuzzFlowOf(f *testing.F) {
	f.Add(synV4("198.18.0.1:40000", "198.18.0.2:443"))
	f.Add(synV6("[fdca:1550::1]:40000", "[fdca:1550::2]:443"))
	f.Add([]byte{0x4f, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, packet []byte) {
		got, err := flowOf(packet)
		if err == nil && (!got.from.IsValid() || !got.to.IsValid() || got.from.Addr().Is4() != got.to.Addr().Is4()) {
			t.Fatalf("%v", got)
		}
	})
}

func FuzzAddressOf(f *testing.F) {
	f.Add([]byte{2, 0, 1, 187, 198, 18, 0, 1}, true)
	f.Add([]byte{10, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 198, 18, 0, 1}, false)
	f.Fuzz(func(t *testing.T, bytes []byte, v4 bool) {
		var raw [unix.SizeofSockaddrInet6]byte
		copy(raw[:], bytes)
		target := addressOf(&raw, v4)
		if again, err := netip.ParseAddrPort(target.String()); err != nil || again != target || (v4 && !target.Addr().Is4()) || target.Addr().Is4In6() {
			t.Fatalf("%v %v", target, err)
		}
	})
}
