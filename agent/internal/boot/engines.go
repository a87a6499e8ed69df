package boot

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// engineFolders are where container engines keep images. An overlay cannot lie on the overlay that the root is, so these come from the
// writable disk itself. The base image has them; one that a root has removed, or replaced with something else, is left alone.
var engineFolders = []string{
	"var/lib/docker", "var/lib/containerd", "var/lib/containers", "var/lib/buildkit",
	"home/app/.local/share/containers", "home/app/.local/share/docker",
}

// mountEngines puts the folders of container engines of a disk into the root that lies on it. Without them a root is still good.
func mountEngines(disk, target string) {
	root, err := unix.Open(target, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		log.Printf("boot: %v", err)
		return
	}
	defer unix.Close(root)
	for number, folder := range engineFolders {
		if err := mountEngine(filepath.Join(disk, "engines", fmt.Sprint(number)), root, folder); err != nil {
			log.Printf("boot: mount %s: %v", folder, err)
		}
	}
}

func mountEngine(source string, root int, folder string) error {
	// The root may be anybody's work: no link in it leads the mount elsewhere.
	target, err := unix.Openat2(root, folder, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	if err != nil {
		return err
	}
	place := os.NewFile(uintptr(target), folder)
	defer place.Close()
	// What a root already has there, for example of an engine that copies files, must not disappear below a mount.
	if names, _ := place.Readdirnames(1); len(names) > 0 {
		return nil
	}
	if err := os.Mkdir(filepath.Dir(source), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := os.Mkdir(source, 0o700); err == nil {
		var stat unix.Stat_t
		if err := unix.Fstat(target, &stat); err != nil {
			return err
		}
		if err := errors.Join(os.Chown(source, int(stat.Uid), int(stat.Gid)), os.Chmod(source, os.FileMode(stat.Mode&0o777))); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrExist) {
		return err
	}
	return unix.Mount(source, fmt.Sprintf("/proc/self/fd/%d", target), "", unix.MS_BIND, "")
}
