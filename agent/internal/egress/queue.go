package egress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// linux/netfilter/nfnetlink_queue.h, of which x/sys has nothing.
const (
	queuePacket, queueVerdict, queueConfig                 = 0, 1, 2
	queueConfigCommand, queueConfigParams, queueConfigMost = 1, 2, 3
	queueBind, queueCopyPacket                             = 1, 2
	attrPacketHeader, attrVerdictHeader                    = 1, 2
	attrMark, attrPayload                                  = 3, 10
)

const (
	queueNumber = 0
	// Packets that wait for an answer at once. The kernel drops more, and their programs send them again.
	mostQueued = 2 * maxConnections
	// The headers of IP and TCP. Nothing else of a packet is read.
	queueCopy = 128
)

// packetQueue gets the packets for which a rule says `queue`. Each waits in the kernel until it is answered.
type packetQueue struct{ conn *netlink.Conn }

func openQueue() (*packetQueue, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open netfilter: %w", err)
	}
	q := &packetQueue{conn}
	// Losing a packet to a full buffer is no error: its program sends it again.
	conn.SetOption(netlink.NoENOBUFS, true)
	conn.SetReadBuffer(1 << 20)
	params := binary.BigEndian.AppendUint32(nil, queueCopy)
	for _, one := range []struct {
		kind uint16
		data []byte
	}{
		{queueConfigCommand, []byte{queueBind, 0, 0, 0}},
		{queueConfigParams, append(params, queueCopyPacket)},
		{queueConfigMost, binary.BigEndian.AppendUint32(nil, mostQueued)},
	} {
		if err := q.send(queueConfig, netlink.Acknowledge, netlink.Attribute{Type: one.kind, Data: one.data}); err != nil {
			conn.Close()
			return nil, fmt.Errorf("set up the queue of new connections (%d): %w", one.kind, err)
		}
	}
	return q, nil
}

// send puts attributes behind the header of nfnetlink: family, version, and the number of the queue.
func (q *packetQueue) send(kind uint16, flags netlink.HeaderFlags, attributes ...netlink.Attribute) error {
	body, err := netlink.MarshalAttributes(attributes)
	if err != nil {
		return err
	}
	message := netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_QUEUE<<8 | kind), Flags: netlink.Request | flags},
		Data:   append([]byte{unix.AF_UNSPEC, 0, queueNumber >> 8, queueNumber & 0xff}, body...),
	}
	if flags&netlink.Acknowledge != 0 {
		_, err = q.conn.Execute(message)
	} else {
		_, err = q.conn.Send(message)
	}
	return err
}

// serve calls `take` with every packet, one after the other, until the queue is closed. `take` keeps nothing of the bytes.
func (q *packetQueue) serve(take func(id uint32, packet []byte)) error {
	for {
		messages, err := q.conn.Receive()
		if errors.Is(err, unix.ENOENT) {
			// An answer came too late: the kernel drops packets whose interface goes down (a container's bridge), or when rules are removed.
			continue
		}
		if err != nil {
			return err
		}
		for _, message := range messages {
			if id, packet, ok := queued(message); ok {
				take(id, packet)
			}
		}
	}
}

// How long a queue that cannot be opened again is left alone.
const reopenTime = 100 * time.Millisecond

// serveAgain serves a queue, and opens it again whenever it fails. Meanwhile the kernel drops what it would put there, and programs send it
// again. It never returns.
func serveAgain(q *packetQueue, open func() (*packetQueue, error), take func(q *packetQueue, id uint32, packet []byte)) {
	for {
		err := q.serve(func(id uint32, packet []byte) { take(q, id, packet) })
		log.Printf("egress: the queue of new connections failed and is opened again: %v", err)
		// The kernel gives a queue to one socket at a time.
		q.conn.Close()
		for {
			time.Sleep(reopenTime)
			if next, err := open(); err == nil {
				q = next
				break
			}
		}
	}
}

func queued(message netlink.Message) (id uint32, packet []byte, ok bool) {
	if message.Header.Type != unix.NFNL_SUBSYS_QUEUE<<8|queuePacket || len(message.Data) < 4 {
		return 0, nil, false
	}
	attributes, err := netlink.UnmarshalAttributes(message.Data[4:])
	if err != nil {
		return 0, nil, false
	}
	for _, one := range attributes {
		switch {
		case one.Type == attrPacketHeader && len(one.Data) >= 4:
			id, ok = binary.BigEndian.Uint32(one.Data), true
		case one.Type == attrPayload:
			packet = one.Data
		}
	}
	return id, packet, ok
}

// answer lets a packet go on with a mark, or drops it. The rules behind the queue refuse what has a mark (rules.go).
func (q *packetQueue) answer(id uint32, verdict verdict) error {
	accept := uint32(1)
	if verdict == drop {
		accept = 0
	}
	header := binary.BigEndian.AppendUint32(nil, accept)
	attributes := []netlink.Attribute{{Type: attrVerdictHeader, Data: binary.BigEndian.AppendUint32(header, id)}}
	if mark, marked := marks[verdict]; marked {
		attributes = append(attributes, netlink.Attribute{Type: attrMark, Data: binary.BigEndian.AppendUint32(nil, mark)})
	}
	return q.send(queueVerdict, 0, attributes...)
}

var errNoFlow = errors.New("not the beginning of a TCP packet")

// flowOf reads who connects to whom from the first bytes of a packet of IP.
func flowOf(packet []byte) (flow, error) {
	if len(packet) < 20 {
		return flow{}, errNoFlow
	}
	var from, to netip.Addr
	var transport []byte
	switch packet[0] >> 4 {
	case 4:
		length := int(packet[0]&15) * 4
		if length < 20 || len(packet) < length || packet[9] != unix.IPPROTO_TCP {
			return flow{}, errNoFlow
		}
		from, to = netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20]))
		transport = packet[length:]
	case 6:
		// Headers between IP and TCP are options that no program needs.
		if len(packet) < 40 || packet[6] != unix.IPPROTO_TCP {
			return flow{}, errNoFlow
		}
		from, to = netip.AddrFrom16([16]byte(packet[8:24])), netip.AddrFrom16([16]byte(packet[24:40]))
		transport = packet[40:]
	}
	if len(transport) < 4 {
		return flow{}, errNoFlow
	}
	return flow{
		netip.AddrPortFrom(from, binary.BigEndian.Uint16(transport)),
		netip.AddrPortFrom(to, binary.BigEndian.Uint16(transport[2:])),
	}, nil
}
