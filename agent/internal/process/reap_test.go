package process

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"syscall"
	"testing"
	"time"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/environment"
	"caisson/agent/internal/stream"
)

// The reaper finds no children, and before it can go to sleep one is started and registered: it must not sleep through its end.
func TestAStartThatOvertakesTheReaper(t *testing.T) {
	table := newTable(stream.NewRegistry(), environment.New(nil), t.TempDir())
	table.mu.Lock()
	go table.reap()
	// Time enough for it to see that there are none.
	time.Sleep(200 * time.Millisecond)
	table.starting++
	pid, err := forkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	process := &Process{pid: pid, done: make(chan struct{})}
	table.registerLocked(process)
	table.mu.Unlock()
	select {
	case <-process.done:
	case <-time.After(10 * time.Second):
		t.Fatal("its end was never seen")
	}
}

// A client that never reads must not hold the pipes of what it ran for ever; one that began to read gets everything, however slowly.
func TestUnreadStreamsEnd(t *testing.T) {
	before := unusedStream
	unusedStream = 300 * time.Millisecond
	defer func() { unusedStream = before }()
	streams := stream.NewRegistry()
	table := NewTable(streams, environment.New(nil), t.TempDir())
	table.Ready = func() error { return nil }
	server := httptest.NewServer(streams.Handler())
	defer server.Close()

	unread, err := table.start(&agentv1.SpawnRequest{Command: "echo", Args: []string{"nobody"}, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	slow, err := table.start(&agentv1.SpawnRequest{Command: "head", Args: []string{"-c", "3000000", "/dev/zero"}, Stdout: true})
	if err != nil {
		t.Fatal(err)
	}
	running, err := table.start(&agentv1.SpawnRequest{Command: "sh", Args: []string{"-c", "sleep 1; echo late"}, Stdout: true})
	if err != nil {
		t.Fatal(err)
	}
	get := func(id uint64) *http.Response {
		response, err := http.Get(server.URL + "/streams/" + strconv.FormatUint(id, 10))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		return response
	}
	reading := get(slow.StdoutStream)
	time.Sleep(700 * time.Millisecond)
	if response := get(unread.StdoutStream); response.StatusCode != http.StatusNotFound {
		t.Errorf("the unread output is still there: %d", response.StatusCode)
	}
	if n, err := io.Copy(io.Discard, reading.Body); n != 3000000 || err != nil {
		t.Errorf("the slow reader got %d bytes: %v", n, err)
	}
	if text, err := io.ReadAll(get(running.StdoutStream).Body); string(text) != "late\n" {
		t.Errorf("the output of a running process: %q, %v", text, err)
	}
	for range 100 {
		if streams.Open() == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d streams are left", streams.Open())
}
