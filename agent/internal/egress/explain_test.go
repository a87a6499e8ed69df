package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

var denied = &Refusal{http.StatusForbidden, "host-not-allowed: The network policy of this sandbox does not allow evil.example:80."}

// refused is a program's side of a connection that was accepted, read from while the host decided, and then refused.
func refused(t *testing.T, refusal *Refusal) net.Conn {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	program, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		up := &upstream{conn: conn.(*net.TCPConn), ended: make(chan struct{})}
		taken := make(chan struct{})
		go func() {
			// As the transport does: a read that took something, and one that waits when the answer comes.
			io.Copy(io.Discard, up)
			close(taken)
		}()
		time.Sleep(50 * time.Millisecond)
		opening := up.takeBack()
		<-taken
		explanation{"evil.example", 80, refusal}.give(conn.(*net.TCPConn), opening)
	}()
	t.Cleanup(func() {
		program.Close()
		<-done
	})
	program.SetDeadline(time.Now().Add(10 * time.Second))
	return program
}

func TestARefusedRequestIsAnswered(t *testing.T) {
	for _, parts := range [][]string{
		{"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"},
		{"PRI * HTTP/1.1\r\n\r\n"},
		{"G", "ET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"},
		{"POST /x HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("x", 200000)},
	} {
		program := refused(t, denied)
		go func() {
			for _, part := range parts {
				program.Write([]byte(part))
				time.Sleep(100 * time.Millisecond)
			}
		}()
		text, err := io.ReadAll(program)
		if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 403 Forbidden\r\n") ||
			!strings.HasSuffix(string(text), "\r\n\r\n"+`{"error":"egress_refused","host":"evil.example","rule":"host-not-allowed",`+
				`"message":"The network policy of this sandbox does not allow evil.example:80."}`+"\n") {
			t.Errorf("%.20q: %q %v", parts, text, err)
		}
	}
}

func TestARefusedRequestInHTTP2IsAnswered(t *testing.T) {
	program := refused(t, denied)
	transport := &http2.Transport{AllowHTTP: true, DialTLSContext: func(context.Context, string, string, *tls.Config) (net.Conn, error) {
		return program, nil
	}}
	response, err := (&http.Client{Transport: transport}).Post("http://evil.example/service/method", "application/grpc", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusForbidden || !bytes.Contains(body, []byte(`"rule":"host-not-allowed"`)) {
		t.Errorf("%d %s %v", response.StatusCode, body, err)
	}
}

func TestRefusedTLSEndsWithAnAlert(t *testing.T) {
	for _, one := range []struct {
		refusal *Refusal
		alert   tls.AlertError
	}{
		{denied, alertAccessDenied},
		{&Refusal{http.StatusBadGateway, "name-not-found: evil.example has no address"}, alertUnrecognizedName},
		{&Refusal{http.StatusBadGateway, "proxy-error: "}, alertInternalError},
	} {
		began := time.Now()
		err := tls.Client(refused(t, one.refusal), &tls.Config{ServerName: "evil.example"}).Handshake()
		var alert *net.OpError
		if !errors.As(err, &alert) || alert.Err.Error() != one.alert.Error() {
			t.Errorf("error %v, not %v", err, one.alert)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v", took)
		}
	}
}

func TestWhatElseIsRefusedIsReset(t *testing.T) {
	for name, words := range map[string]string{
		"bytes": "\x00hello", "a word": "hello\r\n", "a long word": strings.Repeat("A", 100), "nothing": "",
	} {
		program := refused(t, denied)
		program.Write([]byte(words))
		began := time.Now()
		if text, err := io.ReadAll(program); !errors.Is(err, syscall.ECONNRESET) || len(text) > 0 {
			t.Errorf("%s: %q %v", name, text, err)
		}
		if took := time.Since(began); took > webPatience+time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}
