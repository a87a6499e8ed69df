package boot

import (
	"os"

	"caisson/agent/internal/failure"
)

// Rehearse does what naming and trusting will do when an owner comes, and takes it back: that copies the files up from the base
// image and, where processors are emulated, translates the code, while nobody waits.
func Rehearse(name, certificate string) error {
	if err := SetHostname(name); err != nil {
		return err
	}
	link, err := trust(certificate)
	if err != nil {
		return err
	}
	if link != "" {
		if err := os.Remove(link); err != nil {
			return failure.From(err)
		}
	}
	return Trust("")
}
