package boot

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"caisson/agent/internal/failure"
)

const (
	bundleFile = "/etc/ssl/certs/ca-certificates.crt"
	// Also what update-ca-certificates takes up when the user's packages run it.
	anchorFile  = "/usr/local/share/ca-certificates/caisson.crt"
	bundleBegin = "# Caisson: the authority of this sandbox\n"
	maxBundle   = 8 << 20
)

// TrustVariables point tools that bring their own trust anchors to the sandbox's. /etc/environment of the image and the library in
// images/debian-13/trust-before-libasan.c say the same to programs that get no environment from here.
func TrustVariables() map[string]string {
	variables := map[string]string{
		// These add to what the tool trusts anyway.
		"NODE_EXTRA_CA_CERTS": anchorFile,
		"DENO_CERT":           anchorFile,
	}
	// These replace it.
	for _, name := range []string{
		"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE",
		"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "HTTPLIB2_CA_CERTS", "CARGO_HTTP_CAINFO", "NIX_SSL_CERT_FILE", "PERL_LWP_SSL_CA_FILE",
		"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "JULIA_SSL_CA_ROOTS_PATH", "HEX_CACERTS_PATH",
	} {
		variables[name] = bundleFile
	}
	return variables
}

// Trust makes a certificate a trust anchor of the system, in place of the one of an earlier life of this root.
// With an empty string it only removes that. It does by hand what update-ca-certificates takes seconds for.
func Trust(certificate string) error {
	_, err := trust(certificate)
	return err
}

// trust also returns the link by hash if it made one.
func trust(certificate string) (link string, err error) {
	var der []byte
	if certificate != "" {
		block, _ := pem.Decode([]byte(certificate))
		if block == nil || block.Type != "CERTIFICATE" {
			return "", failure.Errno(unix.EINVAL, "the authority's certificate is not PEM")
		}
		parsed, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "", failure.Errno(unix.EINVAL, "the authority's certificate cannot be parsed: %v", err)
		}
		if link, err = linkByHash(parsed); err != nil {
			return "", failure.From(err)
		}
		der = block.Bytes
		certificate = string(pem.EncodeToMemory(block))
		if err := put(anchorFile, certificate, 0o644); err != nil {
			return "", failure.From(err)
		}
	} else if err := os.Remove(anchorFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", failure.From(err)
	}
	trustInJava(der)
	if err := trustInStores(der); err != nil {
		log.Printf("boot: could not add the certificate to the stores in memory: %v", err)
	}
	return link, failure.From(rewriteBundle(bundleFile, certificate))
}

// rewriteBundle puts the certificate at the end of the bundle, where the one before was.
func rewriteBundle(bundleFile, certificate string) error {
	if err := os.MkdirAll(filepath.Dir(bundleFile), 0o755); err != nil {
		return err
	}
	flags := os.O_RDWR | os.O_CREATE | unix.O_NONBLOCK
	if certificate == "" {
		// Opening for writing would copy the base image's file up.
		flags = os.O_RDONLY | unix.O_NONBLOCK
	}
	bundle, err := os.OpenFile(bundleFile, flags, 0o644)
	if err != nil {
		if certificate == "" && errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	defer bundle.Close()
	info, err := bundle.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", bundleFile)
	}
	if info.Size() > maxBundle {
		return fmt.Errorf("%s is too large: %d bytes", bundleFile, info.Size())
	}
	// Only the end can have a certificate of ours.
	from := max(0, info.Size()-64<<10)
	end := make([]byte, info.Size()-from)
	if _, err := bundle.ReadAt(end, from); err != nil {
		return err
	}
	size := info.Size()
	if at := bytes.LastIndex(end, []byte(bundleBegin)); at >= 0 {
		size = from + int64(at)
	}
	if certificate == "" {
		if size == info.Size() {
			return nil
		}
		return os.Truncate(bundleFile, size)
	}
	addition := bundleBegin + certificate
	if size == info.Size() && size > 0 && end[len(end)-1] != '\n' {
		addition = "\n" + addition
	}
	if _, err := bundle.WriteAt([]byte(addition), size); err != nil {
		return err
	}
	if size += int64(len(addition)); size >= info.Size() {
		return nil
	}
	return bundle.Truncate(size)
}

// linkByHash makes the link by which OpenSSL finds a certificate in a directory of them, and returns its path; "" when it was there.
func linkByHash(certificate *x509.Certificate) (string, error) {
	hash, err := subjectHash(certificate.RawSubject)
	if err != nil {
		return "", err
	}
	folder := filepath.Dir(bundleFile)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	for i := range 10 {
		link := filepath.Join(folder, fmt.Sprintf("%08x.%d", hash, i))
		target, err := os.Readlink(link)
		if err == nil && target == anchorFile {
			return "", nil
		}
		if errors.Is(err, os.ErrNotExist) {
			return link, os.Symlink(anchorFile, link)
		}
	}
	return "", fmt.Errorf("every file name for hash %08x in %s is taken", hash, folder)
}

// subjectHash is X509_NAME_hash of OpenSSL: SHA-1 over the attributes of the name, with values as UTF-8, in lower case and
// with single spaces.
func subjectHash(raw []byte) (uint32, error) {
	var sets []asn1.RawValue
	if _, err := asn1.Unmarshal(raw, &sets); err != nil {
		return 0, err
	}
	var canonical []byte
	for _, set := range sets {
		var attribute struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue
		}
		if _, err := asn1.Unmarshal(set.Bytes, &attribute); err != nil {
			return 0, err
		}
		text := strings.ToLower(strings.Join(strings.Fields(string(attribute.Value.Bytes)), " "))
		attribute.Value = asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(text)}
		encoded, err := asn1.Marshal(attribute)
		if err != nil {
			return 0, err
		}
		encoded, err = asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: encoded})
		if err != nil {
			return 0, err
		}
		canonical = append(canonical, encoded...)
	}
	sum := sha1.Sum(canonical)
	return binary.LittleEndian.Uint32(sum[:]), nil
}
