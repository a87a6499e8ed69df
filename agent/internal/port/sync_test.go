package port

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	tokenA = "0123456789abcdef0123456789abcdef"
	tokenB = "fedcba9876543210fedcba9876543210"
	lineA  = syncWord + tokenA + "\n"
	lineB  = syncWord + tokenB + "\n"
)

func TestFinderSeesTheLastLineWhateverTheChunks(t *testing.T) {
	for _, one := range []struct{ input, token, rest string }{
		{lineA, tokenA, ""},
		{"\x00\x01stale" + lineA, tokenA, ""},
		{lineA + lineB + "PRI", tokenB, "PRI"},
		{"CAISSON-SYNC CAISSON-SYNC " + lineA, tokenA, ""},
		{syncWord + strings.ToUpper(tokenA) + "\n" + lineB, tokenB, ""},
		{syncWord + tokenA + "\r\n", "", ""},
		{syncWord + tokenA[:31] + "\n", "", ""},
		{strings.Repeat("CAISSON", 100), "", ""},
	} {
		var whole finder
		token, rest, found := whole.feed([]byte(one.input))
		if token != one.token || string(rest) != one.rest || found != (one.token != "") {
			t.Errorf("%q at once: %q %q", one.input, token, rest)
		}
		var split finder
		token = ""
		for i := range one.input {
			if next, _, found := split.feed([]byte{one.input[i]}); found {
				token = next
			}
		}
		if token != one.token {
			t.Errorf("%q byte by byte: %q", one.input, token)
		}
	}
}

// pair makes a port and the host's end of its line.
func pair(t *testing.T) (*Port, net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ends := [2]net.Conn{}
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "end")
		ends[i], err = net.FileConn(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i].SetDeadline(time.Now().Add(10 * time.Second))
	}
	t.Cleanup(func() { ends[0].Close(); ends[1].Close() })
	return New(OfConn(ends[0])), ends[1]
}

func expect(t *testing.T, from io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(from, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func TestHandshakeSkipsStaleBytesAndRepetitions(t *testing.T) {
	port, host := pair(t)
	go host.Write([]byte("old frames" + lineA))
	conn, err := port.Accept()
	if err != nil {
		t.Fatal(err)
	}
	expect(t, host, lineA)
	go func() {
		host.Write([]byte(lineA + lineA[:10]))
		time.Sleep(20 * time.Millisecond)
		host.Write([]byte(lineA[10:] + "CAISSON but no handshake"))
	}()
	expect(t, conn, "CAISSON but no handshake")
	// After the first other byte a line is data like any other.
	go host.Write([]byte(lineA))
	expect(t, conn, lineA)
}

func TestAnotherHostEndsTheConnectionBefore(t *testing.T) {
	port, host := pair(t)
	go host.Write([]byte(lineA))
	first, err := port.Accept()
	if err != nil {
		t.Fatal(err)
	}
	expect(t, host, lineA)
	go host.Write([]byte(lineB))
	if _, err := first.Read(make([]byte, 10)); !errors.Is(err, errResync) || !first.Lost() {
		t.Fatalf("read of the first host: %v", err)
	}
	first.Close()
	second, err := port.Accept()
	if err != nil {
		t.Fatal(err)
	}
	expect(t, host, lineB)
	go host.Write([]byte("hello"))
	expect(t, second, "hello")
	if _, err := first.Write([]byte("late")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write of the first host: %v", err)
	}
}

func TestCloseInterruptsReadAndWrite(t *testing.T) {
	port, host := pair(t)
	go host.Write([]byte(lineA))
	conn, err := port.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() { _, err := conn.Read(make([]byte, 10)); ended <- err }()
	go func() { _, err := conn.Write(make([]byte, 64<<20)); ended <- err }()
	time.Sleep(20 * time.Millisecond)
	conn.Close()
	for range 2 {
		select {
		case err := <-ended:
			if err == nil {
				t.Error("no error after Close")
			}
		case <-time.After(5 * time.Second):
			t.Fatal("still waiting after Close")
		}
	}
}

func FuzzFinder(f *testing.F) {
	for _, seed := range []string{lineA, lineA + lineB, "x" + lineA[:30] + lineB, syncWord + syncWord, ""} {
		f.Add([]byte(seed), 7)
	}
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		step = max(1, step%64)
		var at finder
		var last string
		for from := 0; from < len(data); from += step {
			if token, _, found := at.feed(data[from:min(from+step, len(data))]); found {
				if !strings.Contains(string(data), syncWord+token+"\n") {
					t.Fatalf("token %q is not in the input", token)
				}
				last = token
			}
		}
		if i := strings.LastIndex(string(data), "\n"); last == "" && i >= lineBytes-1 {
			if _, ok := parseLine(data[i-lineBytes+1 : i+1]); ok {
				t.Fatalf("missed the line at %d", i)
			}
		}
	})
}
