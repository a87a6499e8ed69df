package file

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/failure"
)

// MakeTempDir makes a directory that only the user can enter.
func (f *Files) MakeTempDir(_ context.Context, request *connect.Request[agentv1.MakeTempRequest]) (*connect.Response[agentv1.PathResponse], error) {
	return f.temporary(request.Msg, func(path string) error {
		if err := unix.Mkdir(path, 0o700); err != nil {
			return err
		}
		return f.give(path)
	})
}

// MakeTempFile makes an empty file that only the user can read.
func (f *Files) MakeTempFile(_ context.Context, request *connect.Request[agentv1.MakeTempRequest]) (*connect.Response[agentv1.PathResponse], error) {
	return f.temporary(request.Msg, func(path string) error {
		fd, err := f.create(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	})
}

// temporaryTries is far more than random names of 64 bits ever need.
const temporaryTries = 16

func (f *Files) temporary(request *agentv1.MakeTempRequest, make func(path string) error) (*connect.Response[agentv1.PathResponse], error) {
	dir := request.Dir
	if dir == "" {
		dir = "/tmp"
	}
	dir, err := f.path(dir)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(request.Prefix+request.Suffix, "/\x00") {
		return nil, failure.Errno(unix.EINVAL, "the prefix %q or the suffix %q of the temporary name is not valid", request.Prefix, request.Suffix)
	}
	for range temporaryTries {
		random := [8]byte{}
		rand.Read(random[:])
		path := strings.TrimRight(dir, "/") + "/" + request.Prefix + hex.EncodeToString(random[:]) + request.Suffix
		if err = make(path); err == nil {
			return connect.NewResponse(&agentv1.PathResponse{Path: path}), nil
		}
		if err != unix.EEXIST {
			return nil, failure.From(pathError("make temporary", path, err))
		}
	}
	return nil, failure.From(pathError("make temporary", dir, err))
}
