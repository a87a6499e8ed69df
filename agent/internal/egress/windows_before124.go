//go:build !go1.24

package egress

import "golang.org/x/net/http2"

// newTransport makes a transport with the windows of the library: Go 1.23 has no setting for them.
func newTransport() *http2.Transport { return &http2.Transport{} }
