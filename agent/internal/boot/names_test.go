package boot

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "file")
	for _, content := range []string{"first\n", "the second is longer\n", "third\n", "sixth\n", ""} {
		if err := put(path, content, 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Fatalf("%q, %v, want %q", got, err, content)
		}
		if info, _ := os.Stat(path); info.Mode() != 0o640 {
			t.Fatalf("mode %v", info.Mode())
		}
	}
}

// A file with the right content is not opened for writing: that would copy one of the base image up.
func TestPutLeavesWhatIsRightAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := put(path, "right\n", 0o644); err != nil {
		t.Fatal(err)
	}
	old := unix.Timeval{Sec: 1}
	if err := unix.Utimes(path, []unix.Timeval{old, old}); err != nil {
		t.Fatal(err)
	}
	if err := put(path, "right\n", 0o644); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.ModTime().Unix() != 1 {
		t.Fatalf("written at %v", info.ModTime())
	}
}

func TestPutDoesNotFollowLinks(t *testing.T) {
	folder := t.TempDir()
	path, target := filepath.Join(folder, "link"), filepath.Join(folder, "target")
	if err := os.WriteFile(target, []byte("another's\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	if err := put(path, "ours\n", 0o644); err != nil {
		t.Fatal(err)
	}
	kept, _ := os.ReadFile(target)
	written, _ := os.ReadFile(path)
	if info, _ := os.Lstat(path); !info.Mode().IsRegular() || string(kept) != "another's\n" || string(written) != "ours\n" {
		t.Fatalf("%v, %q, %q", info.Mode(), kept, written)
	}
}
