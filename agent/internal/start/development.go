package start

import (
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"os"
	"strings"

	"caisson/agent/internal/control"
	"caisson/agent/internal/egress"
	"caisson/agent/internal/environment"
	"caisson/agent/internal/port"
)

// Development serves the contract on unix sockets, as the user who runs it and on their files: it lets host code be tried
// without a virtual machine. It protects nothing.
func Development(arguments []string) error {
	flags := flag.NewFlagSet("agent", flag.ContinueOnError)
	controlAt := flags.String("listen", "", "`unix:/path` of the control socket")
	egressAt := flags.String("egress", "", "`unix:/path` of the egress socket")
	home := flags.String("home", os.Getenv("HOME"), "home `directory` of the sandbox")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	controlPath, isUnix := strings.CutPrefix(*controlAt, "unix:")
	if !isUnix || controlPath == "" {
		return errors.New("outside a virtual machine the agent needs the option --listen unix:/path")
	}
	env := environment.New(map[string]string{"PATH": os.Getenv("PATH"), "HOME": *home, "LANG": "C.UTF-8"})
	tunnel := egress.NewTunnel()
	services, own := assemble(env, tunnel, *home, *home, -1, -1)
	own.Borrow()
	if egressPath, isUnix := strings.CutPrefix(*egressAt, "unix:"); isUnix {
		go listen(egressPath, tunnel.Serve)
	}
	handler := services.Handler()
	return listen(controlPath, func(line *port.Port) error { return control.Serve(line, handler) })
}

// listen serves every connection to a unix socket as a line of its own.
func listen(path string, serve func(*port.Port) error) error {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	defer listener.Close()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			if err := serve(port.New(port.OfConn(conn))); !errors.Is(err, io.EOF) {
				log.Printf("connection ended: %v", err)
			}
		}()
	}
}
