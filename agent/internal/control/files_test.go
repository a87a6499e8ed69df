package control_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"caisson/agent/gen/agentv1"
)

var ctx = context.Background()

func req[T any](message *T) *connect.Request[T] { return connect.NewRequest(message) }

// folder makes a directory of the test's own in the sandbox's home; relative paths start there.
func folder(t *testing.T) string {
	t.Helper()
	startAgent(t)
	path, err := os.MkdirTemp(agentHome, "t")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSmallAndLargeContent(t *testing.T) {
	h := connectHost(t)
	dir := filepath.Base(folder(t))
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	name := dir + "/file"
	write := &agentv1.WriteFileRequest{Path: name, Create: true}
	begun, err := h.files.WriteFileBegin(ctx, req(write))
	if err != nil {
		t.Fatal(err)
	}
	put := h.stream(t, http.MethodPut, begun.Msg.Stream, bytes.NewReader(large))
	if put.StatusCode != http.StatusNoContent {
		t.Fatalf("status %d", put.StatusCode)
	}
	if _, err := h.files.WriteFileFinish(ctx, req(&agentv1.WriteFileFinishRequest{Stream: begun.Msg.Stream})); err != nil {
		t.Fatal(err)
	}
	read := func(limit uint32) []byte {
		answer, err := h.files.ReadFile(ctx, req(&agentv1.ReadFileRequest{Path: name, InlineLimit: limit}))
		if err != nil {
			t.Fatal(err)
		}
		if id := answer.Msg.GetStream(); id != 0 {
			return []byte(h.output(t, id))
		}
		return answer.Msg.GetData()
	}
	for _, limit := range []uint32{0, 1 << 20, 1 << 21, 1 << 22} {
		if got := read(limit); !bytes.Equal(got, large) {
			t.Errorf("limit %d: %d bytes of %d", limit, len(got), len(large))
		}
	}
	h.files.WriteFile(ctx, req(&agentv1.WriteFileRequest{Path: name, Data: []byte("short")}))
	h.files.WriteFile(ctx, req(&agentv1.WriteFileRequest{Path: name, Data: []byte("er"), Append: true}))
	if got := read(100); string(got) != "shorter" {
		t.Errorf("content %q", got)
	}
}

func TestFilesThatHaveNoSize(t *testing.T) {
	h := connectHost(t)
	answer, err := h.files.ReadFile(ctx, req(&agentv1.ReadFileRequest{Path: "/proc/self/status", InlineLimit: 1 << 16}))
	if err != nil || !bytes.Contains(answer.Msg.GetData(), []byte("Umask:")) {
		t.Errorf("%d bytes, %v", len(answer.Msg.GetData()), err)
	}
}

func TestErrorsOfFiles(t *testing.T) {
	h := connectHost(t)
	dir := folder(t)
	os.WriteFile(dir+"/file", []byte("x"), 0o644)
	os.MkdirAll(dir+"/full/inner", 0o755)
	for name, one := range map[string]struct {
		call  func() error
		errno string
	}{
		"read missing": {func() error {
			_, err := h.files.ReadFile(ctx, req(&agentv1.ReadFileRequest{Path: dir + "/no"}))
			return err
		}, "ENOENT"},
		"read directory": {func() error { _, err := h.files.ReadFile(ctx, req(&agentv1.ReadFileRequest{Path: dir})); return err }, "EISDIR"},
		"create new": {func() error {
			_, err := h.files.WriteFile(ctx, req(&agentv1.WriteFileRequest{Path: dir + "/file", CreateNew: true}))
			return err
		}, "EEXIST"},
		"write not create": {func() error {
			_, err := h.files.WriteFile(ctx, req(&agentv1.WriteFileRequest{Path: dir + "/no"}))
			return err
		}, "ENOENT"},
		"list file": {func() error {
			_, err := h.files.ReadDir(ctx, req(&agentv1.PathRequest{Path: dir + "/file"}))
			return err
		}, "ENOTDIR"},
		"remove full": {func() error {
			_, err := h.files.Remove(ctx, req(&agentv1.RemoveRequest{Path: dir + "/full"}))
			return err
		}, "ENOTEMPTY"},
		"remove missing": {func() error {
			_, err := h.files.Remove(ctx, req(&agentv1.RemoveRequest{Path: dir + "/no", Recursive: true}))
			return err
		}, "ENOENT"},
		"mkdir existing": {func() error { _, err := h.files.Mkdir(ctx, req(&agentv1.MkdirRequest{Path: dir})); return err }, "EEXIST"},
		"mkdir over a file": {func() error {
			_, err := h.files.Mkdir(ctx, req(&agentv1.MkdirRequest{Path: dir + "/file", Recursive: true}))
			return err
		}, "EEXIST"},
		"copy onto itself": {func() error {
			_, err := h.files.CopyFile(ctx, req(&agentv1.TwoPathsRequest{From: dir + "/file", To: dir + "/file"}))
			return err
		}, "EINVAL"},
		"long path": {func() error {
			_, err := h.files.Stat(ctx, req(&agentv1.StatRequest{Path: strings.Repeat("a", 5000)}))
			return err
		}, "ENAMETOOLONG"},
		"zero byte":        {func() error { _, err := h.files.Stat(ctx, req(&agentv1.StatRequest{Path: "a\x00b"})); return err }, "EINVAL"},
		"open for nothing": {func() error { _, err := h.files.Open(ctx, req(&agentv1.OpenRequest{Path: dir + "/file"})); return err }, "EINVAL"},
		"closed handle":    {func() error { _, err := h.files.Close(ctx, req(&agentv1.HandleRequest{Handle: 999999})); return err }, "EBADF"},
		"upload unknown": {func() error {
			_, err := h.files.WriteFileFinish(ctx, req(&agentv1.WriteFileFinishRequest{Stream: 999999}))
			return err
		}, "EBADF"},
		"bad prefix": {func() error {
			_, err := h.files.MakeTempDir(ctx, req(&agentv1.MakeTempRequest{Prefix: "../"}))
			return err
		}, "EINVAL"},
	} {
		if err := one.call(); err == nil || errno(t, err) != one.errno {
			t.Errorf("%s: %v, want %s", name, err, one.errno)
		}
	}
	if content, _ := os.ReadFile(dir + "/file"); string(content) != "x" {
		t.Errorf("the file is now %q", content)
	}
}

func TestTreeOperations(t *testing.T) {
	h := connectHost(t)
	dir := folder(t)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(h.files.Mkdir(ctx, req(&agentv1.MkdirRequest{Path: dir + "/a/b/c", Recursive: true})))
	must(h.files.Mkdir(ctx, req(&agentv1.MkdirRequest{Path: dir + "/a/b/c", Recursive: true})))
	mode := uint32(0o640)
	must(h.files.WriteFile(ctx, req(&agentv1.WriteFileRequest{Path: dir + "/a/f", Create: true, Data: []byte("data"), Mode: &mode})))
	must(h.files.CopyFile(ctx, req(&agentv1.TwoPathsRequest{From: dir + "/a/f", To: dir + "/copy"})))
	must(h.files.Rename(ctx, req(&agentv1.TwoPathsRequest{From: dir + "/copy", To: dir + "/moved"})))
	must(h.files.Symlink(ctx, req(&agentv1.TwoPathsRequest{From: "moved", To: dir + "/soft"})))
	must(h.files.Link(ctx, req(&agentv1.TwoPathsRequest{From: dir + "/moved", To: dir + "/hard"})))
	must(h.files.Utime(ctx, req(&agentv1.UtimeRequest{Path: dir + "/moved", AtimeNanos: 1_000_000_007, MtimeNanos: 2_000_000_009})))
	must(h.files.Truncate(ctx, req(&agentv1.TruncateRequest{Path: dir + "/a/f", Length: 2})))
	info, err := h.files.Stat(ctx, req(&agentv1.StatRequest{Path: dir + "/soft"}))
	must(info, err)
	if m := info.Msg; m.Mode != syscall.S_IFREG|0o640 || m.Size != 4 || m.Nlink != 2 || m.AtimeNanos != 1_000_000_007 || m.MtimeNanos != 2_000_000_009 {
		t.Errorf("stat %v", m)
	}
	link, err := h.files.Stat(ctx, req(&agentv1.StatRequest{Path: dir + "/soft", NoFollow: true}))
	must(link, err)
	if link.Msg.Mode&syscall.S_IFMT != syscall.S_IFLNK {
		t.Errorf("lstat %v", link.Msg)
	}
	text, err := h.files.ReadLink(ctx, req(&agentv1.PathRequest{Path: dir + "/soft"}))
	must(text, err)
	real, err := h.files.RealPath(ctx, req(&agentv1.PathRequest{Path: dir + "/soft"}))
	must(real, err)
	if text.Msg.Path != "moved" || real.Msg.Path != dir+"/moved" {
		t.Errorf("link %q, real path %q", text.Msg.Path, real.Msg.Path)
	}
	must(h.files.Remove(ctx, req(&agentv1.RemoveRequest{Path: dir + "/a", Recursive: true})))
	list, err := h.files.ReadDir(ctx, req(&agentv1.PathRequest{Path: dir}))
	must(list, err)
	if len(list.Msg.Entries) != 3 {
		t.Errorf("left: %v", list.Msg.Entries)
	}
	temporary, err := h.files.MakeTempFile(ctx, req(&agentv1.MakeTempRequest{Dir: dir, Prefix: "p", Suffix: ".s"}))
	must(temporary, err)
	if made, err := os.Stat(temporary.Msg.Path); err != nil || made.Mode() != 0o600 || !strings.HasSuffix(made.Name(), ".s") {
		t.Errorf("temporary %v %v", made, err)
	}
}

func TestUmaskAppliesToFilesAndProcesses(t *testing.T) {
	h := connectHost(t)
	dir := folder(t)
	mask := uint32(0o077)
	before, err := h.files.Umask(ctx, req(&agentv1.UmaskRequest{Mask: &mask}))
	if err != nil {
		t.Fatal(err)
	}
	defer h.files.Umask(ctx, req(&agentv1.UmaskRequest{Mask: &before.Msg.Previous}))
	now, _ := h.files.Umask(ctx, req(&agentv1.UmaskRequest{}))
	h.files.WriteFile(ctx, req(&agentv1.WriteFileRequest{Path: dir + "/f", Create: true}))
	info, err := os.Stat(dir + "/f")
	if err != nil || info.Mode() != 0o600 || now.Msg.Previous != 0o077 {
		t.Errorf("mode %v, umask %o, %v", info.Mode(), now.Msg.Previous, err)
	}
	started := h.spawn(t, &agentv1.SpawnRequest{Command: "sh", Args: []string{"-c", "umask"}, Stdout: true})
	if got := h.output(t, started.StdoutStream); strings.TrimLeft(got, "0") != "77\n" {
		t.Errorf("umask of a process: %q", got)
	}
}

func TestHandles(t *testing.T) {
	h := connectHost(t)
	name := folder(t) + "/f"
	opened, err := h.files.Open(ctx, req(&agentv1.OpenRequest{Path: name, Read: true, Write: true, Create: true}))
	if err != nil {
		t.Fatal(err)
	}
	id := opened.Msg.Handle
	if written, err := h.files.Write(ctx, req(&agentv1.HandleWriteRequest{Handle: id, Data: []byte("hello world")})); err != nil || written.Msg.Written != 11 {
		t.Errorf("write %v %v", written, err)
	}
	h.files.HandleTruncate(ctx, req(&agentv1.HandleTruncateRequest{Handle: id, Length: 5}))
	if at, err := h.files.Seek(ctx, req(&agentv1.HandleSeekRequest{Handle: id, Offset: -4, Whence: agentv1.HandleSeekRequest_WHENCE_END})); err != nil || at.Msg.Position != 1 {
		t.Errorf("seek %v %v", at, err)
	}
	if read, err := h.files.Read(ctx, req(&agentv1.HandleReadRequest{Handle: id, Length: 100})); err != nil || string(read.Msg.Data) != "ello" || read.Msg.Eof {
		t.Errorf("read %v %v", read, err)
	}
	if read, err := h.files.Read(ctx, req(&agentv1.HandleReadRequest{Handle: id, Length: 100})); err != nil || !read.Msg.Eof {
		t.Errorf("read at the end %v %v", read, err)
	}
	h.files.HandleUtime(ctx, req(&agentv1.HandleUtimeRequest{Handle: id, MtimeNanos: 3_000_000_001}))
	if info, err := h.files.HandleStat(ctx, req(&agentv1.HandleRequest{Handle: id})); err != nil || info.Msg.Size != 5 || info.Msg.MtimeNanos != 3_000_000_001 {
		t.Errorf("stat %v %v", info, err)
	}
	if _, err := h.files.Sync(ctx, req(&agentv1.HandleSyncRequest{Handle: id, DataOnly: true})); err != nil {
		t.Error(err)
	}
	if _, err := h.files.Close(ctx, req(&agentv1.HandleRequest{Handle: id})); err != nil {
		t.Error(err)
	}
	if _, err := h.files.Read(ctx, req(&agentv1.HandleReadRequest{Handle: id, Length: 1})); errno(t, err) != "EBADF" {
		t.Errorf("read after close: %v", err)
	}
}

func TestALockWaitsForTheOtherAndCanBeCancelled(t *testing.T) {
	h := connectHost(t)
	name := folder(t) + "/f"
	var ids [2]uint64
	for i := range ids {
		opened, err := h.files.Open(ctx, req(&agentv1.OpenRequest{Path: name, Write: true, Create: true}))
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = opened.Msg.Handle
	}
	lock := func(ctx context.Context, id uint64) error {
		_, err := h.files.Lock(ctx, req(&agentv1.HandleLockRequest{Handle: id, Exclusive: true}))
		return err
	}
	if err := lock(ctx, ids[0]); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := lock(short, ids[1]); connect.CodeOf(err) != connect.CodeDeadlineExceeded {
		t.Errorf("second lock: %v", err)
	}
	got := make(chan error)
	go func() { got <- lock(ctx, ids[1]) }()
	time.Sleep(30 * time.Millisecond)
	h.files.Unlock(ctx, req(&agentv1.HandleRequest{Handle: ids[0]}))
	select {
	case err := <-got:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("still waiting for the lock")
	}
}

func TestHandlesEndWithTheirHost(t *testing.T) {
	first := connectHost(t)
	name := folder(t) + "/f"
	opened, err := first.files.Open(ctx, req(&agentv1.OpenRequest{Path: name, Write: true, Create: true}))
	if err != nil {
		t.Fatal(err)
	}
	first.conn.Close()
	second := connectHost(t)
	for range 100 {
		_, err = second.files.HandleStat(ctx, req(&agentv1.HandleRequest{Handle: opened.Msg.Handle}))
		if err != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err == nil || errno(t, err) != "EBADF" {
		t.Errorf("the handle is still open: %v", err)
	}
}

func TestAFifoWaitsWithoutBlockingOthers(t *testing.T) {
	h := connectHost(t)
	dir := folder(t)
	if err := syscall.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		defer group.Done()
		answer, err := h.files.ReadFile(ctx, req(&agentv1.ReadFileRequest{Path: dir + "/fifo", InlineLimit: 100}))
		if err != nil || string(answer.Msg.GetData()) != "through" {
			t.Errorf("read %v %v", answer, err)
		}
	}()
	time.Sleep(20 * time.Millisecond)
	if _, err := h.files.WriteFile(ctx, req(&agentv1.WriteFileRequest{Path: dir + "/fifo", Data: []byte("through")})); err != nil {
		t.Error(err)
	}
	group.Wait()
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := h.files.ReadFile(short, req(&agentv1.ReadFileRequest{Path: dir + "/fifo"})); connect.CodeOf(err) != connect.CodeDeadlineExceeded {
		t.Errorf("read without a writer: %v", err)
	}
}

func TestWalkAndGlobStream(t *testing.T) {
	h := connectHost(t)
	dir := folder(t)
	for i := range 300 {
		os.WriteFile(filepath.Join(dir, "f"+itoa(uint64(i))+".txt"), nil, 0o644)
	}
	walk, err := h.files.Walk(ctx, req(&agentv1.WalkRequest{Path: filepath.Base(dir), IncludeFiles: true, IncludeDirs: true}))
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for walk.Receive() {
		for _, entry := range walk.Msg().Entries {
			if count == 0 && entry.Path != filepath.Base(dir) {
				t.Errorf("the root is not first but %q", entry.Path)
			}
			count++
		}
	}
	if walk.Err() != nil || count != 301 {
		t.Errorf("%d entries, %v", count, walk.Err())
	}
	glob, err := h.files.ExpandGlob(ctx, req(&agentv1.ExpandGlobRequest{Glob: "f?.txt", Root: dir, Extended: true}))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for glob.Receive() {
		for _, entry := range glob.Msg().Entries {
			names = append(names, entry.Name)
		}
	}
	if strings.Join(names, " ") != "f0.txt f1.txt f2.txt f3.txt f4.txt f5.txt f6.txt f7.txt f8.txt f9.txt" {
		t.Errorf("glob %v, %v", names, glob.Err())
	}
	bad, err := h.files.Walk(ctx, req(&agentv1.WalkRequest{Path: dir, Match: []*agentv1.RegularExpression{{Source: "("}}}))
	if err != nil {
		t.Fatal(err)
	}
	if bad.Receive() || errno(t, bad.Err()) != "EINVAL" {
		t.Errorf("bad expression: %v", bad.Err())
	}
}

func TestAnUploadThatIsBrokenOffFails(t *testing.T) {
	h := connectHost(t)
	begun, err := h.files.WriteFileBegin(ctx, req(&agentv1.WriteFileRequest{Path: folder(t) + "/f", Create: true}))
	if err != nil {
		t.Fatal(err)
	}
	reader, writer := io.Pipe()
	request, _ := http.NewRequest(http.MethodPut, "http://agent/streams/"+itoa(begun.Msg.Stream), reader)
	broken, cancel := context.WithCancel(ctx)
	go h.client.Do(request.WithContext(broken))
	writer.Write([]byte("some"))
	cancel()
	if _, err := h.files.WriteFileFinish(ctx, req(&agentv1.WriteFileFinishRequest{Stream: begun.Msg.Stream})); err == nil {
		t.Error("the upload is said to be complete")
	}
}
