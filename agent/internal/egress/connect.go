package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// How long a program may take to take up a connection that the host has made: it may have given up meanwhile.
const abandonTime = 10 * time.Second

// flow says who connects to whom, as the first packet of a connection does.
type flow struct{ from, to netip.AddrPort }

// verdict is the answer to the first packet of a connection.
type verdict int

const (
	// The connection is redirected to the agent.
	admit verdict = iota
	// Nobody answers. The program sends the packet again, until its time is over (ETIMEDOUT).
	drop
	// ECONNREFUSED, ENETUNREACH, EHOSTUNREACH.
	refuse
	noNetwork
	noHost
)

// errnos are the names that the host uses (packages/egress/src/worker/errno.ts).
var errnos = map[string]verdict{"ECONNREFUSED": refuse, "ENETUNREACH": noNetwork, "EHOSTUNREACH": noHost, "ETIMEDOUT": drop}

// attempt is a connection that a program has begun and that the kernel holds until the host has connected.
type attempt struct {
	up    *upstream
	began time.Time
	// Ends the asking.
	cancel context.CancelFunc
	// Guarded by the redirector: whether the host has connected.
	granted bool
	// Gets the program's connection.
	accepted chan *net.TCPConn
}

// begin decides about the first packet of a connection. It calls `answer` once, perhaps later, and does not block.
func (r *redirector) begin(f flow, answer func(verdict)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.attempts[f]; known != nil {
		// Sent again: the program's first packet was lost, or another program has got its port.
		if known.granted {
			answer(admit)
		} else {
			answer(drop)
		}
		return
	}
	select {
	case r.slots <- struct{}{}:
	default:
		answer(drop)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	one := &attempt{up: newUpstream(), began: time.Now(), cancel: cancel, accepted: make(chan *net.TCPConn, 1)}
	r.attempts[f] = one
	go func() {
		defer func() { <-r.slots }()
		defer cancel()
		r.connect(ctx, f, one, answer)
	}()
}

func (r *redirector) connect(ctx context.Context, f flow, one *attempt, answer func(verdict)) {
	host := f.to.Addr().String()
	name, done, synthetic := r.names.Use(f.to.Addr())
	defer done()
	if synthetic {
		host = name
	}
	if host == "" {
		r.forget(f)
		answer(noHost)
		return
	}
	down, err := r.open(ctx, net.JoinHostPort(host, strconv.Itoa(int(f.to.Port()))), f.to.String(), one.up)
	if err != nil {
		one.up.Close()
		r.forget(f)
		answer(verdictOf(err))
		return
	}
	defer down.Close()
	r.mu.Lock()
	one.granted = true
	r.mu.Unlock()
	answer(admit)
	if conn := r.wait(f, one); conn != nil {
		one.up.attach(conn)
		carry(conn, one.up, down)
	} else {
		one.up.Close()
	}
}

// wait returns the program's connection, or nil if the program has given up.
func (r *redirector) wait(f flow, one *attempt) *net.TCPConn {
	timer := time.NewTimer(abandonTime)
	defer timer.Stop()
	select {
	case conn := <-one.accepted:
		return conn
	case <-timer.C:
	}
	r.forget(f)
	select {
	case conn := <-one.accepted:
		return conn
	default:
		return nil
	}
}

func (r *redirector) forget(f flow) {
	r.mu.Lock()
	delete(r.attempts, f)
	r.mu.Unlock()
}

// take hands a connection to its attempt; false if there is none.
func (r *redirector) take(f flow, conn *net.TCPConn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key, one := r.grantedFor(f)
	if one == nil {
		return false
	}
	delete(r.attempts, key)
	one.accepted <- conn
	return true
}

// grantedFor returns the granted attempt of a connection. Two programs can use one source port at once for different hosts. Redirected,
// both connections go to the same port, so the kernel gives the second one another source port, under which there is no attempt. All attempts
// to one target are alike: the one that has waited longest is returned then. Its own connection will get another one.
func (r *redirector) grantedFor(f flow) (flow, *attempt) {
	if exact := r.attempts[f]; exact != nil && exact.granted {
		return f, exact
	}
	var key flow
	var found *attempt
	for other, one := range r.attempts {
		if other.to == f.to && one.granted && (found == nil || one.began.Before(found.began)) {
			key, found = other, one
		}
	}
	return key, found
}

func verdictOf(err error) verdict {
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		if known, ok := errnos[refusal.Errno]; ok {
			return known
		}
		return refuse
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return drop
	default:
		// Nobody serves the egress port at the moment.
		return noNetwork
	}
}
