package identity

import "testing"

func FuzzParse(f *testing.F) {
	f.Add([]byte("root:x:0:0:root:/root:/bin/bash\napp:x:1000:1000::/home/app:/bin/sh\n"), []byte("root:x:0:\nsudo:x:27:app,root\n"))
	f.Add([]byte("a:x:4294967296:0::/:\nb:x:-1:0::/:\n:::::::\n"), []byte("g:x:1:a,,a\ng:x:x:a\n"))
	f.Fuzz(func(t *testing.T, passwd, group []byte) {
		for name, user := range parse(passwd, group) {
			if name != user.Name || len(user.Groups) == 0 || user.Groups[0] != user.GID {
				t.Fatalf("%q: %+v", name, user)
			}
			if len(user.Groups) > 1+len(group) {
				t.Fatalf("%q has %d groups", name, len(user.Groups))
			}
		}
	})
}
