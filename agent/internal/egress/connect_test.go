package egress

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

func synV4(from, to string) []byte {
	source, target := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	packet := append([]byte{0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0}, source.Addr().AsSlice()...)
	return tcp(append(packet, target.Addr().AsSlice()...), source.Port(), target.Port())
}

func synV6(from, to string) []byte {
	source, target := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	packet := append([]byte{0x60, 0, 0, 0, 0, 20, 6, 64}, source.Addr().AsSlice()...)
	return tcp(append(packet, target.Addr().AsSlice()...), source.Port(), target.Port())
}

func tcp(packet []byte, from, to uint16) []byte {
	packet = binary.BigEndian.AppendUint16(packet, from)
	packet = binary.BigEndian.AppendUint16(packet, to)
	return append(packet, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0)
}

func TestFlowOf(t *testing.T) {
	for _, one := range []struct{ from, to string }{
		{"198.18.0.1:40000", "198.18.0.2:443"}, {"[fdca:1550::1]:40001", "[fdca:1550::2]:80"},
	} {
		make := synV4
		if one.from[0] == '[' {
			make = synV6
		}
		packet := make(one.from, one.to)
		got, err := flowOf(packet)
		if err != nil || got.from.String() != one.from || got.to.String() != one.to {
			t.Errorf("%v %v", got, err)
		}
		if _, err := flowOf(packet[:len(packet)-17]); err == nil {
			t.Error("a cut packet was read")
		}
	}
	udp := synV4("198.18.0.1:1", "198.18.0.2:2")
	udp[9] = 17
	if _, err := flowOf(udp); err == nil {
		t.Error("UDP was taken for TCP")
	}
}

// opener stands for the tunnel.
type opener func(up io.ReadCloser) (io.ReadCloser, error)

func redirecting(open opener, slots int) *redirector {
	return &redirector{
		names: NewNames(), slots: make(chan struct{}, slots), attempts: map[flow]*attempt{},
		open: func(_ context.Context, _, _ string, up io.ReadCloser) (io.ReadCloser, error) { return open(up) },
	}
}

func flowTo(t *testing.T, from uint16) flow {
	t.Helper()
	got, err := flowOf(synV4(netip.AddrPortFrom(netip.MustParseAddr("198.18.0.1"), from).String(), "203.0.113.9:443"))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func answerOf(t *testing.T, r *redirector, f flow) verdict {
	t.Helper()
	answer := make(chan verdict, 2)
	r.begin(f, func(v verdict) { answer <- v })
	select {
	case v := <-answer:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("no answer")
		return 0
	}
}

func TestAFailureOfTheHostIsTheProgramsFailure(t *testing.T) {
	for _, one := range []struct {
		err  error
		want verdict
	}{
		{&Refusal{403, "host-not-allowed: no", "ECONNREFUSED"}, refuse},
		{&Refusal{502, "upstream-unreachable: no", "ECONNREFUSED"}, refuse},
		{&Refusal{502, "upstream-unreachable: no", "EHOSTUNREACH"}, noHost},
		{&Refusal{502, "upstream-unreachable: no", "ENETUNREACH"}, noNetwork},
		{&Refusal{502, "upstream-unreachable: no", "ETIMEDOUT"}, drop},
		{&Refusal{502, "from an older host", ""}, refuse},
		{ErrNoHost, noNetwork},
		{errors.New("the line was cut"), noNetwork},
		{context.Canceled, drop},
	} {
		r := redirecting(func(io.ReadCloser) (io.ReadCloser, error) { return nil, one.err }, 1)
		f := flowTo(t, 40000)
		if got := answerOf(t, r, f); got != one.want {
			t.Errorf("%v: %v, not %v", one.err, got, one.want)
		}
		if _, known := r.attempts[f]; known {
			t.Errorf("%v: the attempt is kept", one.err)
		}
	}
}

func TestAnAddressWithoutANameIsNotReachable(t *testing.T) {
	r := redirecting(func(io.ReadCloser) (io.ReadCloser, error) { t.Error("the host was asked"); return nil, ErrNoHost }, 1)
	f := flowTo(t, 40000)
	f.to = netip.MustParseAddrPort("198.18.77.77:80")
	if got := answerOf(t, r, f); got != noHost {
		t.Errorf("%v", got)
	}
}

func TestAConnectionIsAdmittedWhenTheHostHasConnected(t *testing.T) {
	connected := make(chan struct{})
	sent := make(chan []byte, 1)
	r := redirecting(func(up io.ReadCloser) (io.ReadCloser, error) {
		go func() {
			all, _ := io.ReadAll(up)
			sent <- all
		}()
		<-connected
		return io.NopCloser(bytes.NewReader([]byte("welcome"))), nil
	}, 1)
	f := flowTo(t, 40000)
	answer := make(chan verdict, 1)
	r.begin(f, func(v verdict) { answer <- v })
	if got := answerOf(t, r, f); got != drop {
		t.Errorf("a repeated packet got %v while the host connects", got)
	}
	if got := answerOf(t, r, flowTo(t, 40001)); got != drop {
		t.Errorf("beyond the bound: %v", got)
	}
	select {
	case v := <-answer:
		t.Fatalf("%v before the host has connected", v)
	case <-time.After(50 * time.Millisecond):
	}
	close(connected)
	if got := <-answer; got != admit {
		t.Fatalf("%v", got)
	}
	if got := answerOf(t, r, f); got != admit {
		t.Errorf("a repeated packet got %v afterwards", got)
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	program, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if !r.take(f, conn.(*net.TCPConn)) {
		t.Fatal("the connection is not known")
	}
	program.Write([]byte("request"))
	program.(*net.TCPConn).CloseWrite()
	program.SetDeadline(time.Now().Add(10 * time.Second))
	if got, err := io.ReadAll(program); err != nil || string(got) != "welcome" {
		t.Errorf("%q %v", got, err)
	}
	if got := <-sent; string(got) != "request" {
		t.Errorf("%q", got)
	}
	if r.take(f, conn.(*net.TCPConn)) {
		t.Error("it is known twice")
	}
}

func TestAReaderDoesNotWaitForAProgramThatNeverComes(t *testing.T) {
	up := newUpstream()
	read := make(chan error, 1)
	go func() {
		_, err := up.Read(make([]byte, 1))
		read <- err
	}()
	up.Close()
	if err := <-read; err != io.EOF {
		t.Errorf("%v", err)
	}
}

func TestAProgramThatGivesUpIsNoticed(t *testing.T) {
	r := redirecting(nil, 2)
	r.open = func(ctx context.Context, _, _ string, _ io.ReadCloser) (io.ReadCloser, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	answer := make(chan verdict, 1)
	f := flowTo(t, 40000)
	r.begin(f, func(v verdict) { answer <- v })
	if found := r.waiting(time.Now().Add(-time.Hour)); len(found) != 0 {
		t.Errorf("%d attempts are old", len(found))
	}
	found := r.waiting(time.Now().Add(time.Second))
	if len(found) != 1 {
		t.Fatalf("%d attempts", len(found))
	}
	r.giveUp(found, map[uint16]bool{40000: true})
	select {
	case got := <-answer:
		t.Fatalf("%v although the program is connecting", got)
	case <-time.After(50 * time.Millisecond):
	}
	r.giveUp(found, nil)
	if got := <-answer; got != drop {
		t.Errorf("%v", got)
	}
}

func TestAConnectionThatTheHostHasMadeIsNotGivenUp(t *testing.T) {
	var asking context.Context
	r := redirecting(nil, 1)
	r.open = func(ctx context.Context, _, _ string, _ io.ReadCloser) (io.ReadCloser, error) {
		asking = ctx
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	f := flowTo(t, 40000)
	if got := answerOf(t, r, f); got != admit {
		t.Fatalf("%v", got)
	}
	// It was among the waiting ones before the host had connected.
	r.giveUp(map[flow]*attempt{f: r.attempts[f]}, nil)
	if err := asking.Err(); err != nil {
		t.Errorf("the connection was broken off: %v", err)
	}
}

func TestProgramsThatGiveUpTogetherCauseFewResets(t *testing.T) {
	ended := 0
	waiting := map[flow]*attempt{}
	for index := range uint16(2 * mostGivenUp) {
		waiting[flowTo(t, 40000+index)] = &attempt{cancel: func() { ended++ }}
	}
	redirecting(nil, 1).giveUp(waiting, nil)
	if ended != mostGivenUp {
		t.Errorf("%d were ended", ended)
	}
}

func TestConnectingPorts(t *testing.T) {
	file := t.TempDir() + "/tcp"
	text := "  sl  local_address rem_address   st tx_queue\n" +
		"   0: 0100007F:0016 00000000:0000 0A 00000000:00000000\n" +
		"   1: 010012C6:9C40 020012C6:01BB 02 00000001:00000000\n   2: bad\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ports, err := connectingPorts(file)
	if err != nil || len(ports) != 1 || !ports[40000] {
		t.Errorf("%v %v", ports, err)
	}
}

func TestAConnectionWithAnotherSourcePortGetsAnAttemptToItsTarget(t *testing.T) {
	r := redirecting(nil, 4)
	add := func(f flow, granted bool, began int64) *attempt {
		one := &attempt{granted: granted, began: time.Unix(began, 0), accepted: make(chan *net.TCPConn, 1)}
		r.attempts[f] = one
		return one
	}
	elsewhere := flowTo(t, 40000)
	elsewhere.to = netip.MustParseAddrPort("203.0.113.10:443")
	add(elsewhere, true, 1)
	add(flowTo(t, 40001), false, 2)
	late := add(flowTo(t, 40003), true, 4)
	early := add(flowTo(t, 40002), true, 3)
	for _, one := range []struct {
		port uint16
		want *attempt
	}{
		// The kernel's choice may be the port of an attempt that the host has not granted yet.
		{40001, early}, {50000, late}, {50001, nil},
	} {
		conn := &net.TCPConn{}
		if taken := r.take(flowTo(t, one.port), conn); taken != (one.want != nil) {
			t.Errorf("%d: %v", one.port, taken)
		} else if taken && (len(one.want.accepted) != 1 || <-one.want.accepted != conn) {
			t.Errorf("%d: not the expected attempt", one.port)
		}
	}
	if len(r.attempts) != 2 {
		t.Errorf("%d attempts are left", len(r.attempts))
	}
}
