package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Sink is where the bytes of an input stream go.
type Sink interface {
	io.Writer
	// Close is called once: with nil after the last byte, or with what broke the stream off.
	Close(cause error) error
}

// Input is an input stream.
type Input struct {
	sink   Sink
	forget func()
	once   sync.Once
	done   chan struct{}
	err    error

	mu   sync.Mutex
	stop func()
	gone bool
}

var (
	errAbandoned = errors.New("the host cancelled the stream")
	errGone      = errors.New("the reader has closed")
)

// Wait blocks until all was written and the sink is closed, or the stream failed.
func (in *Input) Wait(ctx context.Context) error {
	select {
	case <-in.done:
		return in.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ReaderGone makes the writer stop: nobody will read any more.
func (in *Input) ReaderGone() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.gone = true
	if in.stop != nil {
		in.stop()
	}
}

func (in *Input) finish(cause error) {
	in.once.Do(func() {
		if err := in.sink.Close(cause); cause == nil {
			cause = err
		}
		in.err = cause
		close(in.done)
	})
}

func (in *Input) begin(stop func()) (gone bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.stop = stop
	return in.gone
}

func (r *Registry) serveInput(w http.ResponseWriter, request *http.Request, id uint64) {
	in := r.takeInput(id)
	if in == nil {
		http.Error(w, "no such input stream, or it was written before", http.StatusNotFound)
		return
	}
	defer r.release()
	if in.forget != nil {
		in.forget()
	}
	body := http.NewResponseController(w)
	var err error
	if in.begin(func() { body.SetReadDeadline(time.Unix(1, 0)) }) {
		err = errGone
	} else {
		// A write that waits for a slow reader must end when the host resets the stream.
		interrupt := context.AfterFunc(request.Context(), func() { in.finish(errAbandoned) })
		err = copyIn(in.sink, request.Body)
		interrupt()
	}
	in.begin(nil)
	switch {
	case err == nil:
		in.finish(nil)
		if in.err != nil {
			http.Error(w, in.err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, errGone), errors.Is(err, unix.EPIPE), errors.Is(err, os.ErrDeadlineExceeded):
		in.finish(errGone)
		w.WriteHeader(http.StatusGone)
	default:
		in.finish(err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func copyIn(sink Sink, body io.Reader) error {
	full := false
	for {
		data, release := takeBuffer(full)
		n, readErr := body.Read(data)
		full = full || n == len(data)
		var writeErr error
		if n > 0 {
			_, writeErr = sink.Write(data[:n])
		}
		release()
		switch {
		case writeErr != nil:
			return writeErr
		case readErr == io.EOF:
			return nil
		case errors.Is(readErr, os.ErrDeadlineExceeded):
			return readErr
		case readErr != nil:
			return fmt.Errorf("%w: %w", errAbandoned, readErr)
		}
	}
}

// FileSink writes to a pipe or file and closes it.
type FileSink struct{ *os.File }

// Close closes the file whatever the cause: the reader sees the end.
func (s FileSink) Close(error) error { return s.File.Close() }
