package boot

import (
	"encoding/pem"
	"testing"
	"time"
)

// What is written in two parts is a store that is checked as a whole, with every authority once; and another authority takes the place of
// the last.
func TestJavaStoreInTwoParts(t *testing.T) {
	var bundle []byte
	for _, content := range []string{"first", "second", "third"} {
		bundle = append(bundle, "# a comment\n"...)
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(content)})...)
	}
	beginning, state, err := javaBeginning(bundle)
	if err != nil {
		t.Fatal(err)
	}
	for _, authority := range []string{"one sandbox", "another"} {
		end, err := javaEnd(state, []byte(authority))
		if err != nil {
			t.Fatal(err)
		}
		whole := append(append([]byte{}, beginning...), end...)
		without, ok := renewJavaStore(whole, nil, time.Now())
		if !ok {
			t.Fatal("it is not taken for a store")
		}
		if want, got := len(beginning)+20, len(without); want != got {
			t.Errorf("without the authority it has %d bytes and not %d", got, want)
		}
		if string(javaDigest(without[:len(without)-20])) != string(without[len(without)-20:]) {
			t.Error("the digest is wrong")
		}
	}
	if _, _, err := javaBeginning([]byte("no authorities")); err == nil {
		t.Error("a bundle without authorities makes a store")
	}
}
