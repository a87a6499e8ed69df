// Package session links a call to the host connection that it came on. What belongs to a connection ends with it.
package session

import (
	"context"
	"sync"
)

// Session is one host connection on the control port, from its handshake to its end.
type Session struct {
	lost func() bool

	mu    sync.Mutex
	ended bool
	next  uint64
	ends  map[uint64]func()
}

type key struct{}

// New makes a session. `lost` reports whether its line has failed.
func New(lost func() bool) *Session {
	return &Session{lost: lost, ends: map[uint64]func(){}}
}

// With returns a context that carries the session.
func (s *Session) With(ctx context.Context) context.Context {
	return context.WithValue(ctx, key{}, s)
}

// From returns the session of a call. Calls that came without one get a session that never ends.
func From(ctx context.Context) *Session {
	if s, ok := ctx.Value(key{}).(*Session); ok {
		return s
	}
	return New(func() bool { return false })
}

// Lost tells a call that was cancelled because the whole connection went away from one that the host cancelled.
func (s *Session) Lost() bool { return s.lost() }

// OnEnd runs `end` when the session ends, or at once when it has; the returned function forgets it.
func (s *Session) OnEnd(end func()) (forget func()) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		end()
		return func() {}
	}
	s.next++
	id := s.next
	s.ends[id] = end
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		delete(s.ends, id)
		s.mu.Unlock()
	}
}

// End ends the session and releases everything that was tied to it.
func (s *Session) End() {
	s.mu.Lock()
	s.ended = true
	ends := s.ends
	s.ends = map[uint64]func(){}
	s.mu.Unlock()
	for _, end := range ends {
		end()
	}
}
