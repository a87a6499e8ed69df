package start

import (
	"errors"
	"flag"
	"log"
	"net"
	"os"
	"strings"

	"caisson/agent/internal/control"
	"caisson/agent/internal/environment"
	"caisson/agent/internal/port"
)

// Development serves the contract on a unix socket, as the user who runs it and on their files: it lets host code be
// tried without a virtual machine. It protects nothing.
func Development(arguments []string) error {
	flags := flag.NewFlagSet("agent", flag.ContinueOnError)
	listen := flags.String("listen", "", "`unix:/path` of the control socket")
	home := flags.String("home", os.Getenv("HOME"), "home `directory` of the sandbox")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	path, isUnix := strings.CutPrefix(*listen, "unix:")
	if !isUnix || path == "" {
		return errors.New("outside of a virtual machine the agent needs --listen unix:/path")
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	defer listener.Close()
	env := environment.New(map[string]string{"PATH": os.Getenv("PATH"), "HOME": *home, "LANG": "C.UTF-8"})
	services, own := assemble(env, *home, *home, -1, -1)
	own.Borrow()
	handler := services.Handler()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			if err := control.Serve(port.New(port.OfConn(conn)), handler); err != nil {
				log.Printf("host gone: %v", err)
			}
		}()
	}
}
