package boot

import (
	"bytes"
	"encoding/hex"
	"os"
	"testing"
	"time"
)

// javaSample was made by keytool, with two certificates.
func javaSample(t testing.TB) []byte {
	t.Helper()
	sample, err := os.ReadFile("testdata/cacerts.jks")
	if err != nil {
		t.Fatal(err)
	}
	return sample
}

func TestJavaStoreHoldsOneAuthorityOfOurs(t *testing.T) {
	sample, now := javaSample(t), time.Unix(1_700_000_000, 0)
	first, ok := renewJavaStore(sample, []byte("former one"), now)
	if !ok || !bytes.Contains(first, []byte("former one")) {
		t.Fatalf("%v %q", ok, first)
	}
	second, ok := renewJavaStore(first, []byte("latter one"), now)
	if !ok || bytes.Contains(second, []byte("former one")) || !bytes.Contains(second, []byte("latter one")) {
		t.Fatalf("%v %q", ok, second)
	}
	if none, ok := renewJavaStore(second, nil, now); !ok || !bytes.Equal(none, sample) {
		t.Fatalf("%v %q", ok, none)
	}
}

func TestJavaStoreOfSomebodyElseStays(t *testing.T) {
	sample := javaSample(t)
	for name, store := range map[string][]byte{
		"empty":            {},
		"too short":        sample[:20],
		"one byte missing": sample[:len(sample)-1],
		"one bit turned":   append([]byte{sample[0] ^ 1}, sample[1:]...),
		"count too high":   signed(append(append([]byte{}, sample[:11]...), append([]byte{3}, sample[12:len(sample)-20]...)...)),
		"count too low":    signed(append(append([]byte{}, sample[:11]...), append([]byte{1}, sample[12:len(sample)-20]...)...)),
		"a private key":    signed(append(append([]byte{}, sample[:15]...), append([]byte{1}, sample[16:len(sample)-20]...)...)),
		"endless length":   signed(mustHex("feedfeed00000002000000010000000200016100000000000000000005582e353039ffffffff")),
		"another password": append(sample[:len(sample)-20:len(sample)-20], make([]byte, 20)...),
	} {
		if _, ok := renewJavaStore(store, []byte("ours"), time.Now()); ok {
			t.Errorf("%s: it was changed", name)
		}
	}
}

func signed(content []byte) []byte { return append(content, javaDigest(content)...) }

func mustHex(text string) []byte {
	data, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return data
}
