package boot

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// modulesFolder has the uncompressed kernel modules and `load-order`: their file names, one per line.
const modulesFolder = "/lib/modules/caisson"

// loadModules loads what the initramfs brought and frees the memory of the files.
func loadModules() error {
	order, err := os.ReadFile(filepath.Join(modulesFolder, "load-order"))
	if err != nil {
		return err
	}
	for _, line := range strings.Split(string(order), "\n") {
		name := strings.TrimSpace(line)
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		if err := loadModule(filepath.Join(modulesFolder, name)); err != nil {
			// A missing one shows where it is needed; the others must be loaded all the same.
			log.Printf("boot: load module %s: %v", name, err)
		}
	}
	return os.RemoveAll(modulesFolder)
}

func loadModule(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.FinitModule(int(file.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("finit_module: %w", err)
	}
	return nil
}
