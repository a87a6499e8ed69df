// Package environment holds the environment variables of new processes.
package environment

import (
	"context"
	"strings"
	"sync"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/failure"
)

const (
	maxKeyBytes = 4 << 10
	// One string of a new program's environment must stay below 128 KiB (MAX_ARG_STRLEN of the kernel).
	maxPairBytes = 128<<10 - 1
	// All of it goes on the new program's stack together with its arguments.
	maxTotalBytes = 1 << 20
)

// Environment is the sandbox-wide set of variables; it implements the Environment service.
type Environment struct {
	mu     sync.RWMutex
	values map[string]string
	total  int
}

// New makes an environment with the given variables.
func New(values map[string]string) *Environment {
	e := &Environment{values: map[string]string{}}
	for key, value := range values {
		e.put(key, value)
	}
	return e
}

// CheckPair reports why the kernel or a shell could not take a variable.
func CheckPair(key, value string) error {
	switch {
	case key == "" || strings.ContainsAny(key, "=\x00"):
		return failure.Errno(unix.EINVAL, "the environment variable name %q is not valid", key[:min(len(key), 100)])
	case strings.ContainsRune(value, 0):
		return failure.Errno(unix.EINVAL, "the value of the environment variable %s contains a NUL byte", key[:min(len(key), 100)])
	case len(key) > maxKeyBytes || len(key)+1+len(value) > maxPairBytes:
		return failure.Errno(unix.E2BIG, "the environment variable %s is too long", key[:min(len(key), 100)])
	}
	return nil
}

// Merge sets all the variables or, when one of them is refused, none.
func (e *Environment) Merge(values map[string]string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	total := e.total
	for key, value := range values {
		if err := CheckPair(key, value); err != nil {
			return err
		}
		total += len(key) + len(value)
	}
	if total > maxTotalBytes {
		return failure.Errno(unix.E2BIG, "the environment is larger than %d bytes", maxTotalBytes)
	}
	for key, value := range values {
		e.put(key, value)
	}
	return nil
}

// Default sets a variable unless it is there.
func (e *Environment) Default(key, value string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, there := e.values[key]; !there {
		e.put(key, value)
	}
}

// Lay returns the variables with others laid over them.
func (e *Environment) Lay(over map[string]string) map[string]string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	all := make(map[string]string, len(e.values)+len(over)+4)
	for key, value := range e.values {
		all[key] = value
	}
	for key, value := range over {
		all[key] = value
	}
	return all
}

func (e *Environment) put(key, value string) {
	e.drop(key)
	e.values[key] = value
	e.total += len(key) + len(value)
}

func (e *Environment) drop(key string) {
	if old, there := e.values[key]; there {
		e.total -= len(key) + len(old)
		delete(e.values, key)
	}
}

// Get answers one variable.
func (e *Environment) Get(_ context.Context, request *connect.Request[agentv1.EnvGetRequest]) (*connect.Response[agentv1.EnvGetResponse], error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	answer := &agentv1.EnvGetResponse{}
	if value, there := e.values[request.Msg.Key]; there {
		answer.Value = &value
	}
	return connect.NewResponse(answer), nil
}

// Set sets one variable for processes that start from now on.
func (e *Environment) Set(_ context.Context, request *connect.Request[agentv1.EnvSetRequest]) (*connect.Response[agentv1.Empty], error) {
	if err := e.Merge(map[string]string{request.Msg.Key: request.Msg.Value}); err != nil {
		return nil, err
	}
	return connect.NewResponse(&agentv1.Empty{}), nil
}

// Delete removes one variable; it need not be there.
func (e *Environment) Delete(_ context.Context, request *connect.Request[agentv1.EnvDeleteRequest]) (*connect.Response[agentv1.Empty], error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drop(request.Msg.Key)
	return connect.NewResponse(&agentv1.Empty{}), nil
}

// List answers all variables.
func (e *Environment) List(context.Context, *connect.Request[agentv1.Empty]) (*connect.Response[agentv1.EnvListResponse], error) {
	return connect.NewResponse(&agentv1.EnvListResponse{Values: e.Lay(nil)}), nil
}
