package stream

import (
	"context"
	"errors"
	"io"
	"net/http"

	"caisson/agent/internal/session"
)

type output struct {
	source Source
	// It belongs to a process: when the whole connection is lost the process must not die of SIGPIPE, so the rest is read
	// and thrown away.
	survives bool
	forget   func()
}

// flushBelow is the buffer of net/http's response writer: larger writes pass it by, smaller ones wait for a flush.
const flushBelow = 4096

func (r *Registry) serveOutput(w http.ResponseWriter, request *http.Request, id uint64) {
	out := r.takeOutput(id)
	if out == nil {
		http.Error(w, "no such output stream, or it was read before", http.StatusNotFound)
		return
	}
	defer r.release()
	defer out.source.Close()
	if out.forget != nil {
		out.forget()
	}
	owner := session.From(request.Context())
	keep := func() bool { return out.survives && owner.Lost() }
	stop := context.AfterFunc(request.Context(), func() {
		if !keep() {
			out.source.Close()
		}
	})
	defer stop()

	w.Header().Set("Content-Type", "application/octet-stream")
	w.WriteHeader(http.StatusOK)
	http.NewResponseController(w).Flush()
	if !copyOut(w, out.source, keep) {
		// The host must be able to tell a broken stream from one that ended.
		panic(http.ErrAbortHandler)
	}
}

// copyOut copies until the end of the source and reports whether it came there.
func copyOut(w http.ResponseWriter, source Source, keep func() bool) bool {
	flusher := http.NewResponseController(w)
	discard := false
	for {
		data, release, err := source.Next()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		if !discard {
			_, err = w.Write(data)
			if err == nil && len(data) <= flushBelow {
				err = flusher.Flush()
			}
		}
		release()
		if err != nil {
			if !keep() {
				return false
			}
			discard = true
		}
	}
}
