//go:build go1.24

package egress

import (
	"net/http"

	"golang.org/x/net/http2"
)

// What may wait here for one program that does not read, and for all of them together: bytes of this machine's memory.
// By themselves they would be 4 MiB and 1 GiB.
const (
	streamBuffer = 512 << 10
	allBuffers   = 64 << 20
)

// newTransport makes a transport with these windows. Only net/http has the setting, and only from Go 1.24 on.
func newTransport() *http2.Transport {
	transport, err := http2.ConfigureTransports(&http.Transport{HTTP2: &http.HTTP2Config{
		MaxReceiveBufferPerStream:     streamBuffer,
		MaxReceiveBufferPerConnection: allBuffers,
	}})
	if err != nil {
		// Only a transport that was configured before is refused.
		panic(err)
	}
	return transport
}
