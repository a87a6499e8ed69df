package egress

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nlenc"
	"github.com/mdlayher/netlink/nltest"
	"golang.org/x/sys/unix"
)

func TestALateAnswerDoesNotEndTheQueue(t *testing.T) {
	attributes, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: attrPacketHeader, Data: binary.BigEndian.AppendUint32(nil, 7)},
		{Type: attrPayload, Data: synV4("198.18.0.1:40000", "198.18.0.2:443")},
	})
	if err != nil {
		t.Fatal(err)
	}
	closed := errors.New("closed")
	received := []netlink.Message{
		{Header: netlink.Header{Type: netlink.Error}, Data: nlenc.Int32Bytes(-int32(unix.ENOENT))},
		{
			Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_QUEUE<<8 | queuePacket)},
			Data:   append(make([]byte, 4), attributes...),
		},
	}
	q := &packetQueue{nltest.Dial(func([]netlink.Message) ([]netlink.Message, error) {
		if len(received) == 0 {
			return nil, closed
		}
		next := received[:1]
		received = received[1:]
		return next, nil
	})}
	var taken []uint32
	err = q.serve(func(id uint32, _ []byte) { taken = append(taken, id) })
	if !errors.Is(err, closed) || len(taken) != 1 || taken[0] != 7 {
		t.Errorf("%v %v", taken, err)
	}
}
