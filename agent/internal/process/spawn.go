package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/environment"
	"caisson/agent/internal/failure"
	"caisson/agent/internal/identity"
)

// Spawn starts a program in a session, a process group and a cgroup of its own.
func (t *Table) Spawn(_ context.Context, request *connect.Request[agentv1.SpawnRequest]) (*connect.Response[agentv1.SpawnResponse], error) {
	answer, err := t.start(request.Msg)
	if err != nil {
		return nil, failure.From(err)
	}
	return connect.NewResponse(answer), nil
}

func (t *Table) start(request *agentv1.SpawnRequest) (*agentv1.SpawnResponse, error) {
	if err := t.Ready(); err != nil {
		return nil, err
	}
	if err := t.streams.Room(3); err != nil {
		return nil, err
	}
	user, err := t.user(request.User)
	if err != nil {
		return nil, err
	}
	env, path, err := t.environ(request, user)
	if err != nil {
		return nil, err
	}
	cwd, err := directory(request.Cwd, user)
	if err != nil {
		return nil, err
	}
	program, err := lookPath(request.Command, path, cwd)
	if err != nil {
		return nil, err
	}
	for _, arg := range request.Args {
		if strings.ContainsRune(arg, 0) {
			return nil, failure.Errno(unix.EINVAL, "an argument contains a NUL byte")
		}
	}
	stdio, err := t.openStdio(request, user)
	if err != nil {
		return nil, err
	}
	process := &Process{terminal: stdio.terminal, done: make(chan struct{})}
	attributes := &syscall.SysProcAttr{Setsid: true, Setctty: stdio.terminal != nil}
	if t.ownHome == "" {
		attributes.Credential = &syscall.Credential{Uid: user.UID, Gid: user.GID, Groups: user.Groups}
	}
	if t.groups != nil {
		process.sandboxOomAt = t.groups.seen.Load()
		if process.group, process.oomAt = t.groups.take(process); process.group != nil {
			attributes.UseCgroupFD, attributes.CgroupFD = true, process.group.fd
		}
	}
	t.begin()
	argv := append([]string{request.Command}, request.Args...)
	process.pid, err = forkExec(program, argv, &syscall.ProcAttr{Dir: cwd, Env: env, Files: stdio.child[:], Sys: attributes})
	if err != nil && process.group != nil && !process.group.usable() {
		// Somebody with privileges in the sandbox has removed or changed the group; it only cost them its accounting.
		process.group.remove()
		process.group, attributes.UseCgroupFD = nil, false
		process.pid, err = forkExec(program, argv, &syscall.ProcAttr{Dir: cwd, Env: env, Files: stdio.child[:], Sys: attributes})
	}
	stdio.closeChild()
	if err != nil {
		t.register(nil)
		stdio.closeOwn()
		if process.group != nil {
			t.groups.give(process.group)
		}
		return nil, failure.From(&os.PathError{Op: "start", Path: program, Err: err})
	}
	answer := &agentv1.SpawnResponse{Pid: uint32(process.pid)}
	stdio.offer(t.streams, process, answer)
	t.register(process)
	return answer, nil
}

// usualSlack is the kernel's own for timers, nanoseconds (prctl(2), PR_SET_TIMERSLACK).
const usualSlack = 50_000

// forkExec runs a file without a `#!` line by the shell, as execvp does.
func forkExec(program string, argv []string, attributes *syscall.ProcAttr) (int, error) {
	// A process inherits the slack of the thread that starts it, and threads of ours may have more.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	unix.Prctl(unix.PR_SET_TIMERSLACK, usualSlack, 0, 0, 0)
	pid, err := syscall.ForkExec(program, argv, attributes)
	if errors.Is(err, unix.ENOEXEC) {
		return syscall.ForkExec("/bin/sh", append([]string{"sh", program}, argv[1:]...), attributes)
	}
	return pid, err
}

func (t *Table) user(name string) (identity.User, error) {
	if t.ownHome != "" {
		return identity.User{Name: "app", UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Home: t.ownHome}, nil
	}
	if name == "" {
		name = identity.App.Name
	}
	return t.users.Lookup(name)
}

// environ returns the program's environment, and the PATH in it.
func (t *Table) environ(request *agentv1.SpawnRequest, user identity.User) (environ []string, path string, err error) {
	for key, value := range request.Env {
		if err := environment.CheckPair(key, value); err != nil {
			return nil, "", err
		}
	}
	values := request.Env
	if !request.ClearEnv {
		personal := map[string]string{}
		if user.Name != identity.App.Name {
			personal["HOME"], personal["USER"], personal["LOGNAME"] = user.Home, user.Name, user.Name
		}
		if request.Terminal != nil && request.Terminal.Type != "" {
			personal["TERM"] = request.Terminal.Type
		}
		for key, value := range request.Env {
			personal[key] = value
		}
		values = t.env.Lay(personal)
	}
	environ = make([]string, 0, len(values))
	for key, value := range values {
		environ = append(environ, key+"="+value)
	}
	return environ, values["PATH"], nil
}

// directory checks where a program is to start, because a failed chdir looks like a missing program.
func directory(cwd string, user identity.User) (string, error) {
	switch {
	case cwd == "":
		cwd = user.Home
		if info, err := os.Stat(cwd); err != nil || !info.IsDir() {
			return "/", nil
		}
		return cwd, nil
	case !filepath.IsAbs(cwd):
		cwd = filepath.Join(user.Home, cwd)
	}
	info, err := os.Stat(cwd)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", failure.Errno(unix.ENOTDIR, "the working directory %s is not a directory", cwd)
	}
	return cwd, nil
}

// defaultPath is what execvp searches when the environment has no PATH.
const defaultPath = "/usr/local/bin:/usr/bin:/bin"

// lookPath finds the program as execvp in the new process would. ENOENT when there is none, EACCES when none may be run.
func lookPath(command, path, cwd string) (string, error) {
	if command == "" || strings.ContainsRune(command, 0) {
		return "", failure.Errno(unix.ENOENT, "command %q", command)
	}
	if strings.Contains(command, "/") {
		return command, nil
	}
	if path == "" {
		path = defaultPath
	}
	var denied bool
	for _, folder := range filepath.SplitList(path) {
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(cwd, folder)
		}
		program := filepath.Join(folder, command)
		info, err := os.Stat(program)
		switch {
		case err != nil || info.IsDir():
		case info.Mode()&0o111 == 0:
			denied = true
		default:
			return program, nil
		}
	}
	if denied {
		return "", failure.Errno(unix.EACCES, "command %q", command)
	}
	return "", failure.Errno(unix.ENOENT, "command %q", command)
}
