package egress

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nlenc"
	"github.com/mdlayher/netlink/nltest"
	"golang.org/x/sys/unix"
)

var errClosed = errors.New("closed")

// queueOf delivers messages, and then fails with errClosed.
func queueOf(received ...netlink.Message) *packetQueue {
	return &packetQueue{nltest.Dial(func([]netlink.Message) ([]netlink.Message, error) {
		if len(received) == 0 {
			return nil, errClosed
		}
		next := received[:1]
		received = received[1:]
		return next, nil
	})}
}

func packetMessage(t *testing.T, id uint32) netlink.Message {
	attributes, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: attrPacketHeader, Data: binary.BigEndian.AppendUint32(nil, id)},
		{Type: attrPayload, Data: synV4("198.18.0.1:40000", "198.18.0.2:443")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_QUEUE<<8 | queuePacket)},
		Data:   append(make([]byte, 4), attributes...),
	}
}

func TestAQueueThatFailsIsOpenedAgain(t *testing.T) {
	attempts := 0
	open := func() (*packetQueue, error) {
		if attempts++; attempts == 1 {
			return nil, errClosed
		}
		return queueOf(packetMessage(t, 8)), nil
	}
	taken := make(chan uint32)
	go serveAgain(queueOf(packetMessage(t, 7)), open, func(_ *packetQueue, id uint32, _ []byte) { taken <- id })
	for _, want := range []uint32{7, 8, 8} {
		select {
		case id := <-taken:
			if id != want {
				t.Errorf("packet %d instead of %d", id, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the queue was not opened again")
		}
	}
}

func TestALateAnswerDoesNotEndTheQueue(t *testing.T) {
	late := netlink.Message{Header: netlink.Header{Type: netlink.Error}, Data: nlenc.Int32Bytes(-int32(unix.ENOENT))}
	q := queueOf(late, packetMessage(t, 7))
	var taken []uint32
	err := q.serve(func(id uint32, _ []byte) { taken = append(taken, id) })
	if !errors.Is(err, errClosed) || len(taken) != 1 || taken[0] != 7 {
		t.Errorf("%v %v", taken, err)
	}
}
