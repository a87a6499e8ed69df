package environment

import (
	"strings"
	"testing"
)

func FuzzMerge(f *testing.F) {
	f.Add("PATH", "/usr/bin", "HOME", "/root")
	f.Add("", "", "A=B", "\x00")
	f.Fuzz(func(t *testing.T, key1, value1, key2, value2 string) {
		e := New(map[string]string{"A": "b"})
		before := e.total
		if err := e.Merge(map[string]string{key1: value1, key2: value2}); err != nil {
			if e.total != before || len(e.values) != 1 {
				t.Fatal("a refusal changed something")
			}
			return
		}
		total := 0
		for key, value := range e.Lay(nil) {
			if key == "" || strings.ContainsAny(key, "=\x00") || strings.Contains(value, "\x00") {
				t.Fatalf("took %q=%q", key, value)
			}
			total += len(key) + len(value)
		}
		if total != e.total {
			t.Fatalf("%d bytes are counted as %d", total, e.total)
		}
	})
}
