//go:build go1.24

package egress

import (
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// What the host is told at the beginning of a session bounds what it may send to programs that do not read.
func TestWindowsAreBounded(t *testing.T) {
	agent, host := net.Pipe()
	defer agent.Close()
	defer host.Close()
	if err := host.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = NewTunnel().transport.NewClientConn(agent) }()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := host.Read(preface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(host, host)
	seen := 0
	for seen < 2 {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if window, ok := frame.Value(http2.SettingInitialWindowSize); !ok || window != streamBuffer {
				t.Errorf("a stream may hold %d bytes, not %d", window, streamBuffer)
			}
			if size, ok := frame.Value(http2.SettingMaxFrameSize); !ok || size != maxFrame {
				t.Errorf("frames may have %d bytes, not %d", size, maxFrame)
			}
			seen++
		case *http2.WindowUpdateFrame:
			// On top of the 65 535 bytes that every session begins with.
			if frame.StreamID != 0 || frame.Increment > allBuffers {
				t.Errorf("the session may hold %d bytes more, not %d", frame.Increment, allBuffers)
			}
			seen++
		}
	}
}
