package file

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/failure"
)

// ReadDir lists a directory in the order of the file system.
func (f *Files) ReadDir(_ context.Context, request *connect.Request[agentv1.PathRequest]) (*connect.Response[agentv1.ReadDirResponse], error) {
	path, err := f.path(request.Msg.Path)
	if err != nil {
		return nil, err
	}
	folder, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, failure.From(err)
	}
	defer folder.Close()
	entries, err := folder.ReadDir(-1)
	if err != nil {
		return nil, failure.From(err)
	}
	answer := &agentv1.ReadDirResponse{Entries: make([]*agentv1.DirEntry, 0, len(entries))}
	for _, entry := range entries {
		kind := entry.Type()
		answer.Entries = append(answer.Entries, &agentv1.DirEntry{
			Name: utf8Name(entry.Name()), IsFile: kind.IsRegular(), IsDirectory: kind.IsDir(), IsSymlink: kind&os.ModeSymlink != 0,
		})
	}
	return connect.NewResponse(answer), nil
}

// Remove removes a file, a link or an empty directory, or with `recursive` whatever is there.
func (f *Files) Remove(_ context.Context, request *connect.Request[agentv1.RemoveRequest]) (*connect.Response[agentv1.Empty], error) {
	path, err := f.path(request.Msg.Path)
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	switch {
	case err != nil:
	case filepath.Clean(path) == "/":
		err = &os.PathError{Op: "remove", Path: path, Err: unix.EBUSY}
	case !info.IsDir():
		err = pathError("remove", path, unix.Unlink(path))
	case request.Msg.Recursive:
		err = os.RemoveAll(path)
	default:
		err = pathError("remove", path, unix.Rmdir(path))
	}
	return done(err)
}

// Mkdir makes a directory, or with `recursive` all that are missing.
func (f *Files) Mkdir(_ context.Context, request *connect.Request[agentv1.MkdirRequest]) (*connect.Response[agentv1.Empty], error) {
	path, err := f.path(request.Msg.Path)
	if err != nil {
		return nil, err
	}
	mode := uint32(0o777)
	if request.Msg.Mode != nil {
		mode = *request.Msg.Mode & 0o7777
	}
	if !request.Msg.Recursive {
		return done(f.mkdir(path, mode))
	}
	return done(f.mkdirAll(filepath.Clean(path), mode))
}

func (f *Files) mkdir(path string, mode uint32) error {
	if err := unix.Mkdir(path, mode); err != nil {
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return f.give(path)
}

func (f *Files) mkdirAll(path string, mode uint32) error {
	err := f.mkdir(path, mode)
	if errors.Is(err, unix.ENOENT) && path != "/" {
		if err := f.mkdirAll(filepath.Dir(path), mode); err != nil {
			return err
		}
		err = f.mkdir(path, mode)
	}
	if errors.Is(err, unix.EEXIST) {
		if info, statErr := os.Stat(path); statErr == nil && info.IsDir() {
			return nil
		}
	}
	return err
}

// give makes the user the owner of something that was just made.
func (f *Files) give(path string) error {
	if f.uid < 0 {
		return nil
	}
	return pathError("chown", path, unix.Lchown(path, f.uid, f.gid))
}

// Rename moves within a file system and replaces what is there.
func (f *Files) Rename(_ context.Context, request *connect.Request[agentv1.TwoPathsRequest]) (*connect.Response[agentv1.Empty], error) {
	from, to, err := f.paths(request.Msg)
	if err != nil {
		return nil, err
	}
	return done(linkError("rename", from, to, unix.Rename(from, to)))
}

// Link makes `to` another name of the file `from`.
func (f *Files) Link(_ context.Context, request *connect.Request[agentv1.TwoPathsRequest]) (*connect.Response[agentv1.Empty], error) {
	from, to, err := f.paths(request.Msg)
	if err != nil {
		return nil, err
	}
	return done(linkError("link", from, to, unix.Link(from, to)))
}

// Symlink makes `to` a symbolic link with the text `from`, which need not exist.
func (f *Files) Symlink(_ context.Context, request *connect.Request[agentv1.TwoPathsRequest]) (*connect.Response[agentv1.Empty], error) {
	if _, err := f.path(request.Msg.From); err != nil {
		return nil, err
	}
	to, err := f.path(request.Msg.To)
	if err != nil {
		return nil, err
	}
	if err := unix.Symlink(request.Msg.From, to); err != nil {
		return done(linkError("symlink", request.Msg.From, to, err))
	}
	return done(f.give(to))
}

// ReadLink answers the text of a symbolic link.
func (f *Files) ReadLink(_ context.Context, request *connect.Request[agentv1.PathRequest]) (*connect.Response[agentv1.PathResponse], error) {
	path, err := f.path(request.Msg.Path)
	if err != nil {
		return nil, err
	}
	target, err := os.Readlink(path)
	if err != nil {
		return nil, failure.From(err)
	}
	return connect.NewResponse(&agentv1.PathResponse{Path: utf8Name(target)}), nil
}

// RealPath answers the path without symbolic links. The kernel resolves it, with all its rules.
func (f *Files) RealPath(_ context.Context, request *connect.Request[agentv1.PathRequest]) (*connect.Response[agentv1.PathResponse], error) {
	path, err := f.path(request.Msg.Path)
	if err != nil {
		return nil, err
	}
	real, err := realPath(path)
	if err != nil {
		return nil, failure.From(err)
	}
	return connect.NewResponse(&agentv1.PathResponse{Path: utf8Name(real)}), nil
}

func realPath(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "realpath", Path: path, Err: err}
	}
	defer unix.Close(fd)
	return os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
}

func (f *Files) paths(request *agentv1.TwoPathsRequest) (from, to string, err error) {
	if from, err = f.path(request.From); err != nil {
		return "", "", err
	}
	to, err = f.path(request.To)
	return from, to, err
}

func pathError(operation, path string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: operation, Path: path, Err: err}
}

func linkError(operation, from, to string, err error) error {
	if err == nil {
		return nil
	}
	return &os.LinkError{Op: operation, Old: from, New: to, Err: err}
}
