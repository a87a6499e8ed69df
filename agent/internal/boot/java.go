package boot

import (
	"bytes"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"log"
	"os"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/sys/unix"
)

// Where Debian's ca-certificates-java keeps Java's trust anchors, what it calls ours, and the password that everybody knows.
const (
	javaStore    = "/etc/ssl/certs/java/cacerts"
	javaAlias    = "debian:caisson.pem"
	javaPassword = "changeit"
	maxJavaStore = 8 << 20
)

// The format "JKS", as sun.security.provider.JavaKeyStore writes it. All numbers are big-endian. Read here and not by a library:
// keystore-go allocates the length that an entry names before it reads, up to 4 GiB, which ends PID 1.
const (
	jksMagic, jksVersion = 0xfeedfeed, 2
	jksHeader            = 12
	jksTrusted           = 2
)

// trustInJava adds a DER certificate to Java's trust anchors and removes the one that an earlier sandbox on this root added. A store
// that does not exist, or that does not look as Debian makes it, stays unchanged. Errors are only logged: a machine also starts
// without trust in Java.
func trustInJava(certificate []byte) {
	if err := rewriteJavaStore(certificate); err != nil {
		log.Printf("boot: could not add the certificate to the Java trust store: %v", err)
	}
}

func rewriteJavaStore(certificate []byte) error {
	old, err := content(javaStore, maxJavaStore)
	if err != nil || len(old) == 0 {
		return err
	}
	store, ok := renewJavaStore(old, certificate, time.Now())
	if !ok || bytes.Equal(store, old) {
		return nil
	}
	// Not emptied first: on a full disk the blocks that it has are all there are.
	file, err := os.OpenFile(javaStore, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteAt(store, 0); err != nil {
		return err
	}
	return file.Truncate(int64(len(store)))
}

// renewJavaStore is not ok when the store holds anything but trusted certificates, has another password, or is broken.
func renewJavaStore(old, certificate []byte, now time.Time) (store []byte, ok bool) {
	end := len(old) - sha1.Size
	if end < jksHeader || subtle.ConstantTimeCompare(javaDigest(old[:end]), old[end:]) == 0 {
		return nil, false
	}
	number := binary.BigEndian.Uint32
	if number(old) != jksMagic || number(old[4:]) != jksVersion {
		return nil, false
	}
	count := number(old[8:])
	store = slices.Clone(old[:jksHeader])
	kept := uint32(0)
	for rest := old[jksHeader:end]; len(rest) > 0 || count > 0; count-- {
		alias, entry, ok := javaEntry(rest)
		if !ok || count == 0 {
			return nil, false
		}
		rest = rest[len(entry):]
		if string(alias) != javaAlias {
			store = append(store, entry...)
			kept++
		}
	}
	if len(certificate) > 0 {
		store = appendJavaEntry(store, javaAlias, certificate, now)
		kept++
	}
	binary.BigEndian.PutUint32(store[8:], kept)
	return append(store, javaDigest(store)...), true
}

// javaEntry takes the first entry: a tag, an alias, eight bytes of date, a type, and a certificate behind its length.
func javaEntry(from []byte) (alias, entry []byte, ok bool) {
	var tag, length uint32
	var name, kind cryptobyte.String
	rest := cryptobyte.String(from)
	ok = rest.ReadUint32(&tag) && tag == jksTrusted &&
		rest.ReadUint16LengthPrefixed(&name) && rest.Skip(8) && rest.ReadUint16LengthPrefixed(&kind) &&
		rest.ReadUint32(&length) && rest.Skip(int(length))
	return name, from[:len(from)-len(rest)], ok
}

func appendJavaText(to []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(to, uint16(len(text))), text...)
}

// javaDigest guards a store: SHA-1 over a beginning and the content.
func javaDigest(content []byte) []byte {
	hash := newJavaDigest()
	hash.Write(content)
	return hash.Sum(nil)
}
