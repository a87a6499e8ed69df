package process

import (
	"os"
	"sync"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/identity"
	"caisson/agent/internal/stream"
)

// stdio is both sides of a process's first three file descriptors.
type stdio struct {
	child    [3]uintptr
	close    []int
	stdin    *os.File
	stdout   *os.File
	stderr   *os.File
	terminal *os.File
}

// muchInput at a time shows that standard input is no terminal's, bytes. A quarter of what a pipe usually holds: it must not be
// full before it is enlarged.
const muchInput = 16 << 10

var openNull = sync.OnceValues(func() (*os.File, error) { return os.OpenFile("/dev/null", os.O_RDWR, 0) })

func (t *Table) openStdio(request *agentv1.SpawnRequest, user identity.User) (*stdio, error) {
	s := &stdio{}
	if request.Terminal != nil {
		return s, s.openTerminal(request.Terminal, user)
	}
	null, err := openNull()
	if err != nil {
		return nil, err
	}
	for i, wanted := range []struct {
		piped bool
		own   **os.File
	}{{request.Stdin, &s.stdin}, {request.Stdout, &s.stdout}, {request.Stderr, &s.stderr}} {
		if !wanted.piped {
			s.child[i] = null.Fd()
			continue
		}
		var ends [2]int
		if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
			s.closeChild()
			s.closeOwn()
			return nil, os.NewSyscallError("pipe2", err)
		}
		own, child := ends[0], ends[1]
		if i == 0 {
			own, child = ends[1], ends[0]
		}
		// Only the agent's end: for the program its standard streams must block as usual.
		unix.SetNonblock(own, true)
		*wanted.own = os.NewFile(uintptr(own), "pipe")
		s.child[i] = uintptr(child)
		s.close = append(s.close, child)
	}
	return s, nil
}

func (s *stdio) openTerminal(request *agentv1.Terminal, user identity.User) error {
	terminal, line, err := pty.Open()
	if err != nil {
		return err
	}
	defer line.Close()
	unix.Fchown(int(line.Fd()), int(user.UID), -1)
	if err := resize(terminal, request.Rows, request.Columns); err != nil {
		terminal.Close()
		return err
	}
	fd, err := unix.FcntlInt(line.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		terminal.Close()
		return err
	}
	unix.SetNonblock(fd, false)
	s.terminal = terminal
	s.child = [3]uintptr{uintptr(fd), uintptr(fd), uintptr(fd)}
	s.close = []int{fd}
	return nil
}

func resize(terminal *os.File, rows, columns uint32) error {
	return pty.Setsize(terminal, &pty.Winsize{Rows: uint16(min(rows, 4096)), Cols: uint16(min(columns, 4096))})
}

// closeChild closes the ends that the process has now.
func (s *stdio) closeChild() {
	for _, fd := range s.close {
		unix.Close(fd)
	}
	s.close = nil
}

// closeOwn closes the agent's ends when the start failed.
func (s *stdio) closeOwn() {
	for _, file := range []*os.File{s.stdin, s.stdout, s.stderr, s.terminal} {
		if file != nil {
			file.Close()
		}
	}
}

// offer makes streams of the agent's ends.
func (s *stdio) offer(streams *stream.Registry, process *Process, answer *agentv1.SpawnResponse) {
	defer func() {
		for _, id := range []uint64{answer.StdinStream, answer.StdoutStream, answer.StderrStream} {
			if id != 0 {
				process.streamIDs = append(process.streamIDs, id)
			}
		}
	}()
	if s.terminal != nil {
		if source, err := stream.OfFile(s.terminal); err == nil {
			answer.StdoutStream = streams.AddOutput(source, nil)
		}
		answer.StdinStream, _ = streams.AddInput(terminalSink{s.terminal}, nil)
		return
	}
	if s.stdin != nil {
		sink := &stdinPipe{FileSink: stream.FileSink{File: s.stdin}}
		answer.StdinStream, sink.input = streams.AddInput(sink, nil)
		process.stdin = sink
	}
	for _, out := range []struct {
		file *os.File
		id   *uint64
	}{{s.stdout, &answer.StdoutStream}, {s.stderr, &answer.StderrStream}} {
		if out.file == nil {
			continue
		}
		if source, err := stream.OfPipe(out.file); err == nil {
			*out.id = streams.AddOutput(source, nil)
		}
	}
}

// terminalSink leaves the terminal open when the input ends: its output goes on.
type terminalSink struct{ *os.File }

func (terminalSink) Close(error) error { return nil }

// stdinPipe is the writing end of a process's standard input.
type stdinPipe struct {
	stream.FileSink
	input *stream.Input
	grown bool
}

// Write makes the pipe large once much comes at a time: fewer switches between agent and program.
func (s *stdinPipe) Write(data []byte) (int, error) {
	if !s.grown && len(data) >= muchInput {
		s.grown = true
		stream.Grow(s.File)
	}
	return s.FileSink.Write(data)
}

// checkReader tells the host to stop once nobody has the other end open any more.
func (s *stdinPipe) checkReader() {
	raw, err := s.File.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd)}}
		if n, err := unix.Poll(poll, 0); err == nil && n == 1 && poll[0].Revents&unix.POLLERR != 0 {
			go s.input.ReaderGone()
		}
	})
}
