package control_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"

	"caisson/agent/gen/agentv1"
	"caisson/agent/gen/agentv1/agentv1connect"
	"caisson/agent/internal/start"
)

// host is the other end of the control port.
type host struct {
	client      *http.Client
	conn        net.Conn
	machine     agentv1connect.MachineClient
	processes   agentv1connect.ProcessesClient
	environment agentv1connect.EnvironmentClient
	files       agentv1connect.FilesClient
}

var (
	agentOnce sync.Once
	agentPath string
	agentHome string
)

// startAgent runs one agent per test binary: it reaps all children, so there cannot be two.
func startAgent(t testing.TB) {
	agentOnce.Do(func() {
		folder, err := os.MkdirTemp("", "agent-test-")
		if err != nil {
			t.Fatal(err)
		}
		agentPath, agentHome = filepath.Join(folder, "control.sock"), filepath.Join(folder, "home")
		os.Mkdir(agentHome, 0o755)
		go func() {
			err := start.Development([]string{"--listen", "unix:" + agentPath, "--home", agentHome})
			panic(err)
		}()
		for range 100 {
			if _, err := os.Stat(agentPath); err == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatal("the agent does not listen")
	})
}

func connectHost(t testing.TB) *host {
	t.Helper()
	startAgent(t)
	conn, err := net.Dial("unix", agentPath)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	token := make([]byte, 16)
	rand.Read(token)
	line := "CAISSON-SYNC " + hex.EncodeToString(token) + "\n"
	// Stale bytes and repetitions are part of every handshake.
	if _, err := conn.Write([]byte("stale\x00bytes" + line + line)); err != nil {
		t.Fatal(err)
	}
	echo := make([]byte, len(line))
	if _, err := io.ReadFull(conn, echo); err != nil || string(echo) != line {
		t.Fatalf("echo %q, %v", echo, err)
	}
	conn.Write([]byte(line[:20]))
	conn.Write([]byte(line[20:]))
	transport := &http2.Transport{AllowHTTP: true, MaxReadFrameSize: 1 << 20}
	session, err := transport.NewClientConn(conn)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: session}
	const base = "http://agent"
	h := &host{
		client: client, conn: conn,
		machine:     agentv1connect.NewMachineClient(client, base),
		processes:   agentv1connect.NewProcessesClient(client, base),
		environment: agentv1connect.NewEnvironmentClient(client, base),
		files:       agentv1connect.NewFilesClient(client, base),
	}
	h.machine.Personalize(context.Background(), connect.NewRequest(&agentv1.PersonalizeRequest{}))
	h.machine.Configure(context.Background(), connect.NewRequest(&agentv1.ConfigureRequest{}))
	return h
}

func (h *host) stream(t testing.TB, method string, id uint64, body io.Reader) *http.Response {
	t.Helper()
	request, err := http.NewRequest(method, "http://agent/streams/"+itoa(id), body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := h.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func (h *host) spawn(t testing.TB, request *agentv1.SpawnRequest) *agentv1.SpawnResponse {
	t.Helper()
	answer, err := h.processes.Spawn(context.Background(), connect.NewRequest(request))
	if err != nil {
		t.Fatal(err)
	}
	return answer.Msg
}

func (h *host) wait(t testing.TB, pid uint32) *agentv1.WaitResponse {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	answer, err := h.processes.Wait(ctx, connect.NewRequest(&agentv1.WaitRequest{Pid: pid}))
	if err != nil {
		t.Fatal(err)
	}
	return answer.Msg
}

func (h *host) output(t testing.TB, id uint64) string {
	t.Helper()
	response := h.stream(t, http.MethodGet, id, nil)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func errno(t testing.TB, err error) string {
	t.Helper()
	wire, ok := err.(*connect.Error)
	if !ok {
		t.Fatalf("not a Connect error: %v", err)
	}
	for _, detail := range wire.Details() {
		if value, err := detail.Value(); err == nil {
			if operation, ok := value.(*agentv1.OperationError); ok {
				return operation.Errno
			}
		}
	}
	return ""
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

func TestOutputAndExitStatus(t *testing.T) {
	h := connectHost(t)
	started := h.spawn(t, &agentv1.SpawnRequest{Command: "sh", Args: []string{"-c", "echo out; echo err >&2; exit 3"}, Stdout: true, Stderr: true})
	if got := h.output(t, started.StdoutStream); got != "out\n" {
		t.Errorf("stdout %q", got)
	}
	if got := h.output(t, started.StderrStream); got != "err\n" {
		t.Errorf("stderr %q", got)
	}
	for range 3 {
		if got := h.wait(t, started.Pid); got.Code != 3 || got.Signal != "" {
			t.Errorf("result %v", got)
		}
	}
}

func TestInputReachesTheProcess(t *testing.T) {
	h := connectHost(t)
	started := h.spawn(t, &agentv1.SpawnRequest{Command: "wc", Args: []string{"-c"}, Stdin: true, Stdout: true})
	response := h.stream(t, http.MethodPut, started.StdinStream, bytes.NewReader(make([]byte, 3<<20)))
	if response.StatusCode != http.StatusNoContent {
		t.Errorf("status %d", response.StatusCode)
	}
	if got := strings.TrimSpace(h.output(t, started.StdoutStream)); got != "3145728" {
		t.Errorf("counted %q", got)
	}
}

// A usual pipe takes 64 KiB.
func TestMuchInputFindsRoomBeforeItIsRead(t *testing.T) {
	h := connectHost(t)
	started := h.spawn(t, &agentv1.SpawnRequest{Command: "sleep", Args: []string{"1000"}, Stdin: true})
	taken := make(chan int, 1)
	go func() {
		taken <- h.stream(t, http.MethodPut, started.StdinStream, bytes.NewReader(make([]byte, 512<<10))).StatusCode
	}()
	select {
	case status := <-taken:
		if status != http.StatusNoContent {
			t.Errorf("status %d", status)
		}
	case <-time.After(10 * time.Second):
		t.Error("the input waits for its reader")
	}
	h.processes.Kill(context.Background(), connect.NewRequest(&agentv1.KillRequest{Pid: started.Pid, Signal: "SIGKILL"}))
	h.wait(t, started.Pid)
}

func TestInputOfAProcessThatEnded(t *testing.T) {
	h := connectHost(t)
	started := h.spawn(t, &agentv1.SpawnRequest{Command: "true", Stdin: true})
	reader, writer := io.Pipe()
	defer writer.Close()
	// Nothing is ever written: the agent must notice by itself that nobody reads.
	if response := h.stream(t, http.MethodPut, started.StdinStream, reader); response.StatusCode != http.StatusGone {
		t.Errorf("status %d", response.StatusCode)
	}
}

func TestKillEndsThePipeline(t *testing.T) {
	h := connectHost(t)
	started := h.spawn(t, &agentv1.SpawnRequest{Command: "sh", Args: []string{"-c", "sleep 1000 | sleep 1000"}, Stdout: true})
	_, err := h.processes.Kill(context.Background(), connect.NewRequest(&agentv1.KillRequest{Pid: started.Pid, Signal: "SIGTERM"}))
	if err != nil {
		t.Fatal(err)
	}
	if got := h.wait(t, started.Pid); got.Code != 143 || got.Signal != "SIGTERM" {
		t.Errorf("result %v", got)
	}
	if got := h.output(t, started.StdoutStream); got != "" {
		t.Errorf("output %q", got)
	}
	_, err = h.processes.Kill(context.Background(), connect.NewRequest(&agentv1.KillRequest{Pid: started.Pid, Signal: "SIGTERM"}))
	if errno(t, err) != "ESRCH" {
		t.Errorf("second kill: %v", err)
	}
	_, err = h.processes.Kill(context.Background(), connect.NewRequest(&agentv1.KillRequest{Pid: started.Pid, Signal: "SIGNONE"}))
	if errno(t, err) != "EINVAL" {
		t.Errorf("unknown signal: %v", err)
	}
}

func TestProgramsThatCannotStart(t *testing.T) {
	h := connectHost(t)
	for _, bad := range []struct {
		request *agentv1.SpawnRequest
		errno   string
	}{
		{&agentv1.SpawnRequest{Command: "no-such-program"}, "ENOENT"},
		{&agentv1.SpawnRequest{Command: "/no/such/program"}, "ENOENT"},
		{&agentv1.SpawnRequest{Command: ""}, "ENOENT"},
		{&agentv1.SpawnRequest{Command: "true", Cwd: "/no/such/place"}, "ENOENT"},
		{&agentv1.SpawnRequest{Command: "true", Cwd: "/etc/passwd"}, "ENOTDIR"},
		{&agentv1.SpawnRequest{Command: "/etc/passwd"}, "EACCES"},
		{&agentv1.SpawnRequest{Command: "true", Args: []string{"a\x00b"}}, "EINVAL"},
		{&agentv1.SpawnRequest{Command: "true", Env: map[string]string{"A=B": "c"}}, "EINVAL"},
	} {
		_, err := h.processes.Spawn(context.Background(), connect.NewRequest(bad.request))
		if err == nil || errno(t, err) != bad.errno {
			t.Errorf("%v: %v, want %s", bad.request, err, bad.errno)
		}
	}
}

func TestEnvironmentOfAProcess(t *testing.T) {
	h := connectHost(t)
	ctx := context.Background()
	if _, err := h.environment.Set(ctx, connect.NewRequest(&agentv1.EnvSetRequest{Key: "COLOUR", Value: "red"})); err != nil {
		t.Fatal(err)
	}
	show := func(request *agentv1.SpawnRequest) string {
		request.Command, request.Args, request.Stdout = "/bin/sh", []string{"-c", "echo $COLOUR $SHAPE"}, true
		return h.output(t, h.spawn(t, request).StdoutStream)
	}
	if got := show(&agentv1.SpawnRequest{Env: map[string]string{"SHAPE": "round"}}); got != "red round\n" {
		t.Errorf("laid over: %q", got)
	}
	if got := show(&agentv1.SpawnRequest{Env: map[string]string{"SHAPE": "round"}, ClearEnv: true}); got != "round\n" {
		t.Errorf("cleared: %q", got)
	}
	if _, err := h.environment.Delete(ctx, connect.NewRequest(&agentv1.EnvDeleteRequest{Key: "COLOUR"})); err != nil {
		t.Fatal(err)
	}
	answer, err := h.environment.Get(ctx, connect.NewRequest(&agentv1.EnvGetRequest{Key: "COLOUR"}))
	if err != nil || answer.Msg.Value != nil {
		t.Errorf("deleted: %v %v", answer, err)
	}
}

func TestTerminal(t *testing.T) {
	h := connectHost(t)
	started := h.spawn(t, &agentv1.SpawnRequest{
		Command: "sh", Args: []string{"-c", "stty size; tty >/dev/null && read line && echo got $line; echo $TERM"},
		Terminal: &agentv1.Terminal{Rows: 33, Columns: 99, Type: "vt100"},
	})
	h.stream(t, http.MethodPut, started.StdinStream, strings.NewReader("hello\n"))
	got := h.output(t, started.StdoutStream)
	for _, want := range []string{"33 99\r\n", "got hello\r\n", "vt100\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}

func TestASlowReaderHoldsTheWriterBack(t *testing.T) {
	h := connectHost(t)
	counter := filepath.Join(agentHome, "written")
	started := h.spawn(t, &agentv1.SpawnRequest{
		Command: "sh", Args: []string{"-c", "i=0; while [ $i -lt 400 ]; do head -c 1048576 /dev/zero; i=$((i+1)); echo $i > " + counter + "; done"}, Stdout: true,
	})
	response := h.stream(t, http.MethodGet, started.StdoutStream, nil)
	time.Sleep(500 * time.Millisecond)
	first, _ := os.ReadFile(counter)
	time.Sleep(300 * time.Millisecond)
	second, _ := os.ReadFile(counter)
	if string(first) != string(second) || strings.TrimSpace(string(second)) == "400" {
		t.Errorf("the writer went on without a reader: %s then %s MiB", first, second)
	}
	n, err := io.Copy(io.Discard, response.Body)
	if err != nil || n != 400<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestResettingAnOutputEndsItsWriter(t *testing.T) {
	h := connectHost(t)
	started := h.spawn(t, &agentv1.SpawnRequest{Command: "yes", Stdout: true})
	response := h.stream(t, http.MethodGet, started.StdoutStream, nil)
	io.ReadFull(response.Body, make([]byte, 100))
	response.Body.Close()
	if got := h.wait(t, started.Pid); got.Signal != "SIGPIPE" {
		t.Errorf("result %v", got)
	}
}

func TestProcessesSurviveTheirHost(t *testing.T) {
	first := connectHost(t)
	reading := first.spawn(t, &agentv1.SpawnRequest{Command: "sh", Args: []string{"-c", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done; exit 7"}, Stdout: true})
	unread := first.spawn(t, &agentv1.SpawnRequest{Command: "echo", Args: []string{"kept"}, Stdout: true})
	response := first.stream(t, http.MethodGet, reading.StdoutStream, nil)
	io.ReadFull(response.Body, make([]byte, 2))
	first.conn.Close()
	second := connectHost(t)
	if got := second.wait(t, reading.Pid); got.Code != 7 {
		t.Errorf("the process died with its host: %v", got)
	}
	if got := second.output(t, unread.StdoutStream); got != "kept\n" {
		t.Errorf("unread output %q", got)
	}
}

func TestManyCallsAtOnce(t *testing.T) {
	h := connectHost(t)
	var group sync.WaitGroup
	for range 200 {
		group.Add(1)
		go func() {
			defer group.Done()
			started := h.spawn(t, &agentv1.SpawnRequest{Command: "echo", Args: []string{"hi"}, Stdout: true})
			if got := h.output(t, started.StdoutStream); got != "hi\n" {
				t.Errorf("output %q", got)
			}
			if got := h.wait(t, started.Pid); got.Code != 0 {
				t.Errorf("result %v", got)
			}
		}()
	}
	group.Wait()
}

func TestWaitListening(t *testing.T) {
	h := connectHost(t)
	ended := h.spawn(t, &agentv1.SpawnRequest{Command: "sleep", Args: []string{"0.2"}})
	answer, err := h.processes.WaitListening(context.Background(), connect.NewRequest(&agentv1.WaitListeningRequest{Pid: ended.Pid}))
	if err != nil || answer.Msg.Port != 0 {
		t.Errorf("a process that ended: %v %v", answer, err)
	}
	server := h.spawn(t, &agentv1.SpawnRequest{Command: "python3", Args: []string{"-c", "import socket,time\ns=socket.create_server(('127.0.0.1',0))\nprint(s.getsockname()[1],flush=True)\ntime.sleep(60)"}, Stdout: true})
	answer, err = h.processes.WaitListening(context.Background(), connect.NewRequest(&agentv1.WaitListeningRequest{Pid: server.Pid}))
	if err != nil {
		t.Fatal(err)
	}
	h.processes.Kill(context.Background(), connect.NewRequest(&agentv1.KillRequest{Pid: server.Pid, Signal: "SIGKILL"}))
	if got := strings.TrimSpace(h.output(t, server.StdoutStream)); got != itoa(uint64(answer.Msg.Port)) {
		t.Errorf("port %d, the server says %s", answer.Msg.Port, got)
	}
}
