// Package file implements the Files service. Its operations behave like Deno's file functions.
package file

import (
	"path/filepath"
	"strings"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/gen/agentv1/agentv1connect"
	"caisson/agent/internal/failure"
	"caisson/agent/internal/stream"
)

// Files implements the Files service.
type Files struct {
	streams *stream.Registry
	// Relative paths start here.
	home string
	// What is created belongs to them; -1 leaves it to the agent's own user.
	uid, gid int
	ready    func() error
	handles  handles
	uploads  uploads
}

var _ agentv1connect.FilesHandler = (*Files)(nil)

// New makes the service. `ready` fails while there is no root file system yet.
func New(streams *stream.Registry, home string, uid, gid int, ready func() error) *Files {
	return &Files{
		streams: streams, home: home, uid: uid, gid: gid, ready: ready,
		handles: handles{open: map[uint64]*handle{}}, uploads: uploads{byID: map[uint64]upload{}},
	}
}

// maxPath is PATH_MAX of Linux, with the zero byte.
const maxPath = 4096

// path checks a path and makes it absolute.
func (f *Files) path(path string) (string, error) {
	if err := f.ready(); err != nil {
		return "", err
	}
	switch {
	case path == "":
		return "", failure.Errno(unix.ENOENT, "the path is empty")
	case strings.ContainsRune(path, 0):
		return "", failure.Errno(unix.EINVAL, "the path contains a NUL byte")
	case len(path) >= maxPath:
		return "", failure.Errno(unix.ENAMETOOLONG, "the path is too long: %d bytes", len(path))
	case filepath.IsAbs(path):
		return path, nil
	}
	// No cleaning: `link/..` is not what it looks like, and a trailing slash demands a directory.
	return f.home + "/" + path, nil
}

func done(err error) (*connect.Response[agentv1.Empty], error) {
	if err != nil {
		return nil, failure.From(err)
	}
	return connect.NewResponse(&agentv1.Empty{}), nil
}
