// Command agent is the first process of a sandbox's virtual machine and does in it what the host asks for.
package main

import (
	"log"
	"os"

	"caisson/agent/internal/machine"
	"caisson/agent/internal/start"
)

// version is set by the linker.
var version = "development"

func main() {
	machine.Version = version
	log.SetFlags(0)
	log.SetPrefix("agent: ")
	var err error
	if os.Getpid() == 1 {
		err = start.Machine()
	} else {
		err = start.Development(os.Args[1:])
	}
	if err != nil {
		log.Fatal(err)
	}
}
