package boot

import (
	"bytes"
	"crypto/sha1"
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"os"
	"time"
)

// Trust stores that do not depend on the root, for programs that look at neither the environment nor the system's bundle. They are in
// memory, so a change of the root keeps them and a new root need not have them.
const (
	storesFolder = "/run/caisson"
	// What a JDK reads in the place of its own, see images/debian-13/trust-before-libasan.c.
	sharedJavaStore = storesFolder + "/cacerts"
	// Policy of Chromium and Chrome; the base image has links to it where they look.
	chromiumPolicy = storesFolder + "/chromium-policy.json"
	// Authorities of the bundle; Mozilla has about 150.
	maxAuthorities = 1000
)

// javaAuthorities are the public ones as a store in which one entry is missing. A new authority costs its own entry and no more: what
// the digest has seen is kept.
type javaAuthorities struct {
	size  int64
	state []byte
}

// prepared is made once, in the template.
var prepared *javaAuthorities

// PrepareStores writes the public authorities for Java.
func PrepareStores() error {
	bundle, err := content(bundleFile, maxBundle)
	if err != nil {
		return err
	}
	store, state, err := javaBeginning(bundle)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(storesFolder, 0o755); err != nil {
		return err
	}
	// Until an authority comes it is no store, and not readable: programs then read their own.
	if err := os.WriteFile(sharedJavaStore, store, 0o600); err != nil {
		return err
	}
	prepared = &javaAuthorities{size: int64(len(store)), state: state}
	return nil
}

// trustInStores adds a DER certificate to the stores in memory, or with none takes the last one out.
func trustInStores(certificate []byte) error {
	if len(certificate) == 0 {
		err := os.Remove(chromiumPolicy)
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		if prepared != nil {
			err = errors.Join(err, os.Chmod(sharedJavaStore, 0o600))
		}
		return err
	}
	policy, err := json.Marshal(map[string][]string{"CACertificates": {base64.StdEncoding.EncodeToString(certificate)}})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(storesFolder, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(chromiumPolicy, policy, 0o644); err != nil {
		return err
	}
	if prepared == nil {
		return nil
	}
	end, err := javaEnd(prepared.state, certificate)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(sharedJavaStore, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteAt(end, prepared.size); err != nil {
		return err
	}
	return errors.Join(file.Truncate(prepared.size+int64(len(end))), file.Chmod(0o644))
}

// javaBeginning makes a store of a bundle in PEM in which one entry is missing, and the state of its digest.
func javaBeginning(bundle []byte) (store, state []byte, err error) {
	var entries []byte
	count := uint32(0)
	for rest := bundle; count < maxAuthorities; count++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		entries = appendJavaEntry(entries, fmt.Sprintf("authority-%d", count), block.Bytes, time.Time{})
	}
	if count == 0 {
		return nil, nil, errors.New("the bundle has no authorities")
	}
	store = binary.BigEndian.AppendUint32(nil, jksMagic)
	store = binary.BigEndian.AppendUint32(store, jksVersion)
	// With the one that comes.
	store = binary.BigEndian.AppendUint32(store, count+1)
	store = append(store, entries...)
	digest := newJavaDigest()
	digest.Write(store)
	state, err = digest.(encoding.BinaryMarshaler).MarshalBinary()
	return store, state, err
}

// javaEnd is the missing entry and the digest.
func javaEnd(state, certificate []byte) ([]byte, error) {
	digest := newJavaDigest()
	if err := digest.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		return nil, err
	}
	entry := appendJavaEntry(nil, javaAlias, certificate, time.Time{})
	digest.Write(entry)
	return digest.Sum(entry), nil
}

func newJavaDigest() hash.Hash {
	digest := sha1.New()
	digest.Write(javaDigestBegin())
	return digest
}

func appendJavaEntry(store []byte, alias string, certificate []byte, now time.Time) []byte {
	store = binary.BigEndian.AppendUint32(store, jksTrusted)
	store = appendJavaText(store, alias)
	moment := uint64(0)
	if !now.IsZero() {
		moment = uint64(now.UnixMilli())
	}
	store = binary.BigEndian.AppendUint64(store, moment)
	store = appendJavaText(store, "X.509")
	store = binary.BigEndian.AppendUint32(store, uint32(len(certificate)))
	return append(store, certificate...)
}

// javaDigestBegin is what the digest of a store begins with: the password in UTF-16, and a phrase of the authors'.
func javaDigestBegin() []byte {
	var begin bytes.Buffer
	for _, letter := range javaPassword {
		begin.Write([]byte{0, byte(letter)})
	}
	begin.WriteString("Mighty Aphrodite")
	return begin.Bytes()
}
