package control_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
)

func TestTunnelIntoTheSandbox(t *testing.T) {
	h := connectHost(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		line, _ := bufio.NewReader(conn).ReadString('\n')
		io.WriteString(conn, "heard "+line)
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	reader, writer := io.Pipe()
	response, err := h.client.Transport.RoundTrip(&http.Request{Method: http.MethodConnect, URL: &url.URL{Host: "localhost:" + port}, Host: "localhost:" + port, Body: reader, Header: http.Header{}})
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", response, err)
	}
	io.WriteString(writer, "hello\n")
	got, err := io.ReadAll(response.Body)
	if err != nil || string(got) != "heard hello\n" {
		t.Errorf("%q %v", got, err)
	}
}

func TestTunnelToNowhere(t *testing.T) {
	h := connectHost(t)
	// Port 1 of localhost: nobody listens. A name: no host serves the egress port of this agent.
	for _, target := range []string{"127.0.0.1:1", "example.com:443"} {
		response, err := h.client.Transport.RoundTrip(&http.Request{Method: http.MethodConnect, URL: &url.URL{Host: target}, Host: target, Header: http.Header{}})
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusBadGateway || response.Header.Get("Caisson-Reason") == "" {
			t.Errorf("%s: %d %q", target, response.StatusCode, response.Header.Get("Caisson-Reason"))
		}
	}
}
