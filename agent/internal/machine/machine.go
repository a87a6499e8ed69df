// Package machine implements the Machine service. It takes the virtual machine from template to a configured sandbox.
package machine

import (
	"context"
	"errors"
	"log"
	"runtime"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"caisson/agent/gen/agentv1"
	"caisson/agent/internal/boot"
	"caisson/agent/internal/environment"
	"caisson/agent/internal/failure"
	"caisson/agent/internal/process"
	"caisson/agent/internal/stream"
)

// Version is what Hello answers.
var Version = "development"

// State is a state of the machine.
type State = agentv1.HelloResponse_State

// Machine implements the Machine service.
type Machine struct {
	env       *environment.Environment
	processes *process.Table
	streams   *stream.Registry
	disks     *boot.Disks
	root      *boot.Disk
	// 32 hexadecimal digits, once personalized.
	id string
	// A change of the root was begun, with whatever result.
	rootChanged bool

	mu    sync.Mutex
	state State
	// Development mode: there is no machine of its own to change.
	borrowed bool
}

// New makes the service for a machine in its template state.
func New(env *environment.Environment, processes *process.Table, streams *stream.Registry) *Machine {
	return &Machine{
		env: env, processes: processes, streams: streams, disks: boot.NewDisks(),
		state: agentv1.HelloResponse_STATE_TEMPLATE,
	}
}

// Borrow makes all calls that would change the machine do nothing: it is a developer's.
func (m *Machine) Borrow() { m.borrowed = true }

// Ready fails until the machine has a root file system.
func (m *Machine) Ready() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state == agentv1.HelloResponse_STATE_TEMPLATE && m.root == nil {
		return failure.State("the machine is still a template: call Prepare or Personalize first")
	}
	return nil
}

// Hello answers at once.
func (m *Machine) Hello(context.Context, *connect.Request[agentv1.Empty]) (*connect.Response[agentv1.HelloResponse], error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return connect.NewResponse(&agentv1.HelloResponse{Version: Version, State: m.state, UptimeNanos: uint64(boot.Uptime())}), nil
}

var empty = &agentv1.Empty{}

func done(err error) (*connect.Response[agentv1.Empty], error) {
	if err != nil {
		return nil, failure.From(err)
	}
	return connect.NewResponse(empty), nil
}

// Prepare gives the template its root file system.
func (m *Machine) Prepare(_ context.Context, request *connect.Request[agentv1.PrepareRequest]) (*connect.Response[agentv1.Empty], error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != agentv1.HelloResponse_STATE_TEMPLATE || m.root != nil || m.borrowed {
		return nil, failure.State("Prepare can be called once, before Personalize")
	}
	if err := m.mountRoot(request.Msg.RootSerial, false); err != nil {
		return done(err)
	}
	// The files that Personalize changes are copied up from the base image here, once for all clones.
	if err := boot.Personal(strings.Repeat("0", 32)); err != nil {
		return done(err)
	}
	// What is not on the disk when the template is saved, every clone would write on its own.
	unix.Sync()
	return done(nil)
}

func (m *Machine) mountRoot(serial string, grow bool) error {
	root, err := boot.MountRoot(serial, grow)
	if err != nil {
		return err
	}
	m.root = root
	m.disks.Add(root)
	if err := boot.PrepareStores(); err != nil {
		log.Printf("prepare trust stores: %v", err)
	}
	return m.processes.UseCgroups()
}

// Personalize makes a clone an individual. Entropy comes first: what follows may draw on it.
func (m *Machine) Personalize(_ context.Context, request *connect.Request[agentv1.PersonalizeRequest]) (*connect.Response[agentv1.Empty], error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != agentv1.HelloResponse_STATE_TEMPLATE {
		return nil, failure.State("Personalize can be called once")
	}
	if !m.borrowed {
		if err := m.personalize(request.Msg); err != nil {
			return done(err)
		}
	}
	m.state = agentv1.HelloResponse_STATE_PERSONALIZED
	return done(nil)
}

func (m *Machine) personalize(request *agentv1.PersonalizeRequest) error {
	if err := boot.Reseed(request.Entropy); err != nil {
		return err
	}
	if err := boot.SetClock(request.ClockUnixNanos); err != nil {
		return err
	}
	if m.root == nil {
		if err := m.mountRoot(request.RootSerial, request.GrowRoot); err != nil {
			return err
		}
	}
	m.id = request.MachineId
	if err := boot.Personal(request.MachineId); err != nil {
		return err
	}
	m.processes.WatchMemory()
	return nil
}

// ChangeRoot moves the machine onto another root disk while nobody waits for it.
func (m *Machine) ChangeRoot(ctx context.Context, request *connect.Request[agentv1.RootDisk]) (*connect.Response[agentv1.Empty], error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != agentv1.HelloResponse_STATE_PERSONALIZED || m.borrowed {
		return nil, failure.State("ChangeRoot can be called after Personalize and before Configure")
	}
	return done(m.changeRoot(ctx, request.Msg))
}

// changeRoot moves the machine onto another root disk.
func (m *Machine) changeRoot(ctx context.Context, disk *agentv1.RootDisk) error {
	if m.rootChanged {
		return failure.State("the root disk can be changed once")
	}
	m.rootChanged = true
	ctx, cancel := waitForDisk(ctx, disk.TimeoutMs)
	defer cancel()
	root, err := boot.ChangeRoot(ctx, m.root, nextRoot(disk))
	if err != nil {
		return err
	}
	m.disks.Replace(m.root, root)
	m.root = root
	return boot.Identify(m.id)
}

func nextRoot(disk *agentv1.RootDisk) boot.NextRoot {
	return boot.NextRoot{Serial: disk.Serial, Bytes: disk.Bytes}
}

// waitForDisk limits how long a disk is waited for.
func waitForDisk(ctx context.Context, timeoutMs uint32) (context.Context, context.CancelFunc) {
	wait := min(time.Duration(timeoutMs)*time.Millisecond, maxDiskWait)
	if wait == 0 {
		wait = defaultDiskWait
	}
	return context.WithTimeout(ctx, wait)
}

// Configure hands the machine to its owner.
func (m *Machine) Configure(ctx context.Context, request *connect.Request[agentv1.ConfigureRequest]) (*connect.Response[agentv1.Empty], error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != agentv1.HelloResponse_STATE_PERSONALIZED {
		return nil, failure.State("Configure can be called once, after Personalize")
	}
	if m.borrowed && request.Msg.Root != nil {
		return nil, failure.State("the machine already has its own root disk")
	}
	if err := m.env.Merge(request.Msg.Env); err != nil {
		return nil, err
	}
	if !m.borrowed {
		if err := m.configure(ctx, request.Msg); err != nil {
			return done(err)
		}
	}
	m.state = agentv1.HelloResponse_STATE_CONFIGURED
	return done(nil)
}

func (m *Machine) configure(ctx context.Context, request *agentv1.ConfigureRequest) error {
	if request.ClockUnixNanos != 0 {
		if err := boot.SetClock(request.ClockUnixNanos); err != nil {
			return err
		}
	}
	if request.Root != nil {
		if err := m.changeRoot(ctx, request.Root); err != nil {
			return err
		}
	}
	if request.Hostname != "" {
		if err := boot.SetHostname(request.Hostname); err != nil {
			return err
		}
	}
	if err := boot.Trust(request.CaCertificatePem); err != nil {
		return err
	}
	if request.CaCertificatePem != "" {
		for name, value := range boot.TrustVariables() {
			m.env.Default(name, value)
		}
	}
	// The owner's memory may have been plugged in since.
	m.processes.WatchMemory()
	return nil
}

// Rehearse does what Configure will do, and takes it back.
func (m *Machine) Rehearse(ctx context.Context, request *connect.Request[agentv1.ConfigureRequest]) (*connect.Response[agentv1.Empty], error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.borrowed {
		return done(nil)
	}
	if m.root == nil || m.state == agentv1.HelloResponse_STATE_CONFIGURED {
		return nil, failure.State("Rehearse can be called after Prepare and before Configure")
	}
	// Or the garbage of all this is collected while the owner waits for Configure.
	defer runtime.GC()
	name, authority, disk := request.Msg.Hostname, request.Msg.CaCertificatePem, request.Msg.Root
	if disk == nil {
		return done(boot.Rehearse(name, authority))
	}
	ctx, cancel := waitForDisk(ctx, disk.TimeoutMs)
	defer cancel()
	return done(boot.RehearseRoot(ctx, nextRoot(disk), func() error {
		return errors.Join(boot.Identify(m.id), boot.SetHostname(name), boot.Trust(authority))
	}))
}

// Renew makes a machine that went on from a checkpoint an individual. Entropy comes first, as in Personalize.
func (m *Machine) Renew(_ context.Context, request *connect.Request[agentv1.RenewRequest]) (*connect.Response[agentv1.Empty], error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != agentv1.HelloResponse_STATE_CONFIGURED {
		return nil, failure.State("Renew can be called after Configure")
	}
	if m.borrowed {
		return done(nil)
	}
	return done(m.renew(request.Msg))
}

func (m *Machine) renew(request *agentv1.RenewRequest) error {
	if err := boot.Reseed(request.Entropy); err != nil {
		return err
	}
	if err := boot.SetClock(request.ClockUnixNanos); err != nil {
		return err
	}
	m.id = request.MachineId
	if err := boot.Personal(request.MachineId); err != nil {
		return err
	}
	if err := boot.SetHostname(request.Hostname); err != nil {
		return err
	}
	// Memory may have been plugged in since.
	m.processes.WatchMemory()
	return nil
}

// SetClock sets the wall clock.
func (m *Machine) SetClock(_ context.Context, request *connect.Request[agentv1.SetClockRequest]) (*connect.Response[agentv1.Empty], error) {
	if m.borrowed {
		return done(nil)
	}
	return done(boot.SetClock(request.Msg.ClockUnixNanos))
}

const (
	defaultDiskWait = 5 * time.Second
	maxDiskWait     = 60 * time.Second
	maxFreeze       = 60 * time.Second
)

// MountVolume mounts a hot-plugged disk.
func (m *Machine) MountVolume(ctx context.Context, request *connect.Request[agentv1.MountVolumeRequest]) (*connect.Response[agentv1.Empty], error) {
	if err := m.Ready(); err != nil {
		return nil, err
	}
	ctx, cancel := waitForDisk(ctx, request.Msg.TimeoutMs)
	defer cancel()
	return done(m.disks.MountVolume(ctx, request.Msg.Serial, request.Msg.Path, request.Msg.ReadOnly))
}

// UnmountVolume flushes a volume and gives its disk back.
func (m *Machine) UnmountVolume(_ context.Context, request *connect.Request[agentv1.UnmountVolumeRequest]) (*connect.Response[agentv1.Empty], error) {
	return done(m.disks.UnmountVolume(request.Msg.Serial))
}

// Freeze freezes file systems for a snapshot.
func (m *Machine) Freeze(_ context.Context, request *connect.Request[agentv1.FreezeRequest]) (*connect.Response[agentv1.Empty], error) {
	limit := min(time.Duration(request.Msg.TimeoutMs)*time.Millisecond, maxFreeze)
	if limit == 0 {
		limit = maxFreeze
	}
	return done(m.disks.Freeze(request.Msg.Serials, limit))
}

// Thaw ends a freeze.
func (m *Machine) Thaw(_ context.Context, request *connect.Request[agentv1.ThawRequest]) (*connect.Response[agentv1.Empty], error) {
	m.disks.Thaw(request.Msg.Serials)
	return done(nil)
}

// Shutdown ends the processes and leaves the disks consistent.
func (m *Machine) Shutdown(ctx context.Context, _ *connect.Request[agentv1.Empty]) (*connect.Response[agentv1.Empty], error) {
	if m.borrowed {
		return done(nil)
	}
	m.processes.EndAll(ctx)
	return done(m.disks.Shutdown())
}
