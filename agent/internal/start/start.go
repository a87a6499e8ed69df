// Package start connects the packages of the agent: in a virtual machine, or on a developer's computer.
package start

import (
	"os"
	"runtime/debug"

	"caisson/agent/internal/boot"
	"caisson/agent/internal/control"
	"caisson/agent/internal/egress"
	"caisson/agent/internal/environment"
	"caisson/agent/internal/file"
	"caisson/agent/internal/identity"
	"caisson/agent/internal/machine"
	"caisson/agent/internal/port"
	"caisson/agent/internal/process"
	"caisson/agent/internal/socket"
	"caisson/agent/internal/stream"
)

const (
	controlPort = "caisson.control"
	egressPort  = "caisson.egress"
	// The agent must leave a sandbox's memory to the sandbox.
	memoryLimit = 64 << 20
)

// Machine runs the agent as PID 1 and returns only when it failed; the kernel then panics and the host sees it.
func Machine() error {
	debug.SetMemoryLimit(memoryLimit)
	if err := boot.Template(); err != nil {
		return err
	}
	controlDevice, err := port.OpenVirtio(controlPort)
	if err != nil {
		return err
	}
	egressDevice, err := port.OpenVirtio(egressPort)
	if err != nil {
		return err
	}
	tunnel, err := egress.Start()
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- tunnel.Serve(port.New(egressDevice)) }()
	env := environment.New(map[string]string{
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME": identity.App.Home, "USER": identity.App.Name, "LOGNAME": identity.App.Name,
		"SHELL": identity.App.Shell, "LANG": "C.UTF-8",
	})
	services, _ := assemble(env, tunnel, "", identity.App.Home, int(identity.App.UID), int(identity.App.GID))
	handler := services.Handler()
	if os.Getenv(emulatedVariable) != "" {
		if err := quietMonitor(); err != nil {
			return err
		}
		handler = newCrowd().handler(handler)
	}
	debug.FreeOSMemory()
	go func() { failed <- control.Serve(port.New(controlDevice), handler) }()
	return <-failed
}

func assemble(env *environment.Environment, tunnel *egress.Tunnel, ownHome, home string, uid, gid int) (control.Services, *machine.Machine) {
	streams := stream.NewRegistry()
	processes := process.NewTable(streams, env, ownHome)
	own := machine.New(env, processes, streams)
	processes.Ready = own.Ready
	return control.Services{
		Machine:     own,
		Processes:   processes,
		Environment: env,
		Files:       file.New(streams, home, uid, gid, own.Ready),
		Sockets:     socket.New(streams, uid, gid, own.Ready),
		Streams:     streams.Handler(),
		Connect:     control.Tunnel(tunnel.Dial),
	}, own
}
