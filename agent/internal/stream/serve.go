package stream

import (
	"net/http"
	"strconv"
)

// Handler serves /streams/{id}.
func (r *Registry) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /streams/{id}", func(w http.ResponseWriter, request *http.Request) {
		if id, ok := parseID(w, request); ok {
			r.serveOutput(w, request, id)
		}
	})
	mux.HandleFunc("PUT /streams/{id}", func(w http.ResponseWriter, request *http.Request) {
		if id, ok := parseID(w, request); ok {
			r.serveInput(w, request, id)
		}
	})
	return mux
}

func parseID(w http.ResponseWriter, request *http.Request) (uint64, bool) {
	id, err := strconv.ParseUint(request.PathValue("id"), 10, 64)
	if err != nil {
		http.Error(w, "a stream id is a number", http.StatusBadRequest)
	}
	return id, err == nil
}
