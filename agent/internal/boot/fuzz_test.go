package boot

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func FuzzHosts(f *testing.F) {
	f.Add([]byte(hostsBegin + "\n127.0.0.1 localhost a\n::1 localhost a\n10.0.0.1 mine\n"))
	f.Add([]byte("127.0.0.1 localhost\n"))
	f.Add([]byte(hostsBegin))
	f.Fuzz(func(t *testing.T, old []byte) {
		first := hosts(old, "one")
		second := hosts([]byte(first), "two")
		if strings.Count(first, "\n") < 3 || !strings.HasPrefix(first, hostsBegin+"\n127.0.0.1 localhost one\n") {
			t.Fatalf("%q", first)
		}
		if strings.SplitN(first, "\n", 4)[3] != strings.SplitN(second, "\n", 4)[3] {
			t.Fatal("what the user added did not stay as it was")
		}
		if hosts([]byte(second), "two") != second {
			t.Fatal("a second writing changes something")
		}
	})
}

func FuzzRewriteBundle(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"), "ours\n")
	f.Add([]byte("no newline"), "ours\n")
	f.Add([]byte(bundleBegin+"an earlier life\n"), "ours\n")
	f.Add([]byte(bundleBegin+bundleBegin), bundleBegin)
	path := filepath.Join(f.TempDir(), "bundle")
	f.Fuzz(func(t *testing.T, old []byte, certificate string) {
		if certificate == "" {
			return
		}
		if err := os.WriteFile(path, old, 0o600); err != nil {
			t.Fatal(err)
		}
		write := func(certificate string) []byte {
			if err := rewriteBundle(path, certificate); err != nil {
				t.Fatal(err)
			}
			bundle, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return bundle
		}
		first := write(certificate)
		if !bytes.HasSuffix(first, []byte(bundleBegin+certificate)) {
			t.Fatalf("%q", first)
		}
		if strings.Contains(certificate, bundleBegin) || len(certificate) > 32<<10 {
			return
		}
		if again := write(certificate); !bytes.Equal(first, again) {
			t.Fatalf("%q, again %q", first, again)
		}
		kept := write("")
		if !bytes.HasPrefix(first, kept) || bytes.Contains(kept[min(len(kept), len(old)):], []byte(certificate+bundleBegin)) {
			t.Fatalf("%q is left of %q", kept, first)
		}
		if !bytes.Contains(old, []byte(bundleBegin)) && !bytes.Equal(bytes.TrimSuffix(kept, []byte("\n")), bytes.TrimSuffix(old, []byte("\n"))) {
			t.Fatalf("%q became %q", old, kept)
		}
	})
}

func FuzzSubjectHash(f *testing.F) {
	// CN=Caisson sandbox authority; O=two  spaces, CN=x.
	f.Add([]byte("\x30\x24\x31\x22\x30\x20\x06\x03\x55\x04\x03\x0c\x19Caisson sandbox authority"))
	f.Add([]byte("\x30\x22\x31\x14\x30\x12\x06\x03\x55\x04\x0a\x13\x0btwo  spaces\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01x"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		first, err1 := subjectHash(raw)
		second, err2 := subjectHash(bytes.Clone(raw))
		if first != second || (err1 == nil) != (err2 == nil) {
			t.Fatal("two hashes of one name")
		}
	})
}

func FuzzJavaStore(f *testing.F) {
	sample := javaSample(f)
	f.Add(sample[:len(sample)-20], []byte("certificate"))
	f.Add(mustHex("feedfeed0000000200000000"), []byte("certificate"))
	f.Fuzz(func(t *testing.T, content, certificate []byte) {
		now := time.Unix(1_700_000_000, 0)
		store, ok := renewJavaStore(signed(content), certificate, now)
		if !ok {
			return
		}
		again, ok := renewJavaStore(store, certificate, now)
		if !ok || !bytes.Equal(store, again) {
			t.Fatalf("%x, again %x", store, again)
		}
		if none, ok := renewJavaStore(store, nil, now); !ok || len(none) > len(content)+20 {
			t.Fatalf("%x is left of %x", none, content)
		}
	})
}
