package control_test

import (
	"io"
	"net/http"
	"testing"

	"caisson/agent/gen/agentv1"
)

const benchBytes = 64 << 20

func BenchmarkOutput(b *testing.B) {
	h := connectHost(b)
	b.SetBytes(benchBytes)
	for range b.N {
		started := h.spawn(b, &agentv1.SpawnRequest{Command: "head", Args: []string{"-c", itoa(benchBytes), "/dev/zero"}, Stdout: true})
		response := h.stream(b, http.MethodGet, started.StdoutStream, nil)
		if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, response.Body, make([]byte, 256<<10)); n != benchBytes || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkInput(b *testing.B) {
	h := connectHost(b)
	b.SetBytes(benchBytes)
	for range b.N {
		started := h.spawn(b, &agentv1.SpawnRequest{Command: "sh", Args: []string{"-c", "cat >/dev/null"}, Stdin: true})
		response := h.stream(b, http.MethodPut, started.StdinStream, io.LimitReader(zeros{}, benchBytes))
		if response.StatusCode != http.StatusNoContent {
			b.Fatal(response.StatusCode)
		}
	}
}

type zeros struct{}

func (zeros) Read(into []byte) (int, error) { clear(into); return len(into), nil }

func BenchmarkSpawnAndWait(b *testing.B) {
	h := connectHost(b)
	for range b.N {
		h.wait(b, h.spawn(b, &agentv1.SpawnRequest{Command: "true"}).Pid)
	}
}
