// Package stream carries bytes between the host and pipes, terminals and files: `GET /streams/{id}` and `PUT /streams/{id}`.
// HTTP/2 flow control limits the rate: a source is read only when the host can receive the bytes.
package stream

import (
	"sync"

	"golang.org/x/sys/unix"

	"caisson/agent/internal/failure"
	"caisson/agent/internal/session"
)

// maxOpen bounds the streams that exist at once; each holds a file descriptor.
const maxOpen = 16384

// Registry knows all streams that have not ended.
type Registry struct {
	mu      sync.Mutex
	next    uint64
	outputs map[uint64]*output
	inputs  map[uint64]*Input
	active  int
}

// NewRegistry makes an empty registry.
func NewRegistry() *Registry {
	return &Registry{outputs: map[uint64]*output{}, inputs: map[uint64]*Input{}}
}

// Open counts the streams that have not ended.
func (r *Registry) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.outputs) + len(r.inputs) + r.active
}

// Room fails with EMFILE when there are too many streams to add `more`.
func (r *Registry) Room(more int) error {
	if r.Open()+more > maxOpen {
		return failure.Errno(unix.EMFILE, "more than %d open streams", maxOpen)
	}
	return nil
}

// AddOutput offers a source for one reader and owns it from now on.
// With a session the source is closed when that ends before the reader came; without, it waits for the next host.
func (r *Registry) AddOutput(source Source, owner *session.Session) uint64 {
	out := &output{source: source, survives: owner == nil}
	r.mu.Lock()
	r.next++
	id := r.next
	r.outputs[id] = out
	r.mu.Unlock()
	if owner != nil {
		out.forget = owner.OnEnd(func() {
			if r.takeOutput(id) != nil {
				source.Close()
				r.release()
			}
		})
	}
	return id
}

// AddInput offers a sink for one writer. With a session it is closed when that ends before the writer came.
func (r *Registry) AddInput(sink Sink, owner *session.Session) (uint64, *Input) {
	in := &Input{sink: sink, done: make(chan struct{})}
	r.mu.Lock()
	r.next++
	id := r.next
	r.inputs[id] = in
	r.mu.Unlock()
	if owner != nil {
		in.forget = owner.OnEnd(func() {
			if r.takeInput(id) != nil {
				in.finish(errAbandoned)
				r.release()
			}
		})
	}
	return id, in
}

// Drop closes a stream that nobody has begun to read or write.
func (r *Registry) Drop(id uint64) {
	if in := r.takeInput(id); in != nil {
		in.finish(errAbandoned)
		r.release()
	}
	if out := r.takeOutput(id); out != nil {
		out.source.Close()
		r.release()
	}
}

func (r *Registry) takeOutput(id uint64) *output {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.outputs[id]
	if out != nil {
		delete(r.outputs, id)
		r.active++
	}
	return out
}

func (r *Registry) takeInput(id uint64) *Input {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.inputs[id]
	if in != nil {
		delete(r.inputs, id)
		r.active++
	}
	return in
}

func (r *Registry) release() {
	r.mu.Lock()
	r.active--
	r.mu.Unlock()
}
