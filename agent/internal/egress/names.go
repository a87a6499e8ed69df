// Package egress carries the sandbox's outgoing connections to the host. It has three parts: a resolver that assigns a synthetic
// address to every name, kernel rules that redirect outgoing connections to the agent, and one tunnel per connection through the
// egress port.
package egress

import (
	"container/list"
	"encoding/binary"
	"net/netip"
	"strings"
	"sync"
)

// Names are told apart by synthetic addresses: a benchmarking range of IPv4 (RFC 2544) and a private range of IPv6, with the
// same number in both. Number 1 is the machine's own address.
var (
	syntheticV4 = netip.MustParsePrefix("198.18.0.0/15")
	syntheticV6 = netip.MustParsePrefix("fdca:1550::/48")
)

const (
	firstNumber = 2
	lastNumber  = 1<<17 - 2
	// Half of the addresses: one that is given to another name was unused for a long time.
	maxNames = 1 << 16
)

// Names assigns an address to every name that a program asked for.
type Names struct {
	mu       sync.Mutex
	byName   map[string]*assignment
	byNumber map[uint32]*assignment
	// Most recently used first.
	recent *list.List
	next   uint32
	limit  int
}

type assignment struct {
	name   string
	number uint32
	// Connections that are open.
	users int
	place *list.Element
}

// NewNames makes an empty table.
func NewNames() *Names {
	return &Names{byName: map[string]*assignment{}, byNumber: map[uint32]*assignment{}, recent: list.New(), next: firstNumber, limit: maxNames}
}

// Canonical writes a name the one way it is kept: lower case, no dot at the end.
func Canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Assign returns the addresses of a name; false when all are in use.
func (n *Names) Assign(name string) (v4, v6 netip.Addr, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	found := n.byName[name]
	if found == nil {
		if len(n.byName) >= n.limit && !n.evict() {
			return v4, v6, false
		}
		found = &assignment{name: name, number: n.free()}
		found.place = n.recent.PushFront(found)
		n.byName[name], n.byNumber[found.number] = found, found
	} else {
		n.recent.MoveToFront(found.place)
	}
	return addressV4(found.number), addressV6(found.number), true
}

// evict drops the name that was not used for the longest time.
func (n *Names) evict() bool {
	for place := n.recent.Back(); place != nil; place = place.Prev() {
		if old := place.Value.(*assignment); old.users == 0 {
			n.recent.Remove(place)
			delete(n.byName, old.name)
			delete(n.byNumber, old.number)
			return true
		}
	}
	return false
}

// free returns the next number in turn, so that a number rests as long as possible before another name gets it.
func (n *Names) free() uint32 {
	for {
		number := n.next
		if n.next++; n.next > lastNumber {
			n.next = firstNumber
		}
		if n.byNumber[number] == nil {
			return number
		}
	}
}

// Use returns the name of a synthetic address for a connection, and keeps it assigned until `done` is called.
// `synthetic` is false for any other address.
func (n *Names) Use(address netip.Addr) (name string, done func(), synthetic bool) {
	number, synthetic := numberOf(address)
	if !synthetic {
		return "", func() {}, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	found := n.byNumber[number]
	if found == nil {
		return "", func() {}, true
	}
	found.users++
	n.recent.MoveToFront(found.place)
	return found.name, func() {
		n.mu.Lock()
		found.users--
		n.mu.Unlock()
	}, true
}

// Name returns the name of a synthetic address, or nothing.
func (n *Names) Name(address netip.Addr) string {
	name, done, _ := n.Use(address)
	done()
	return name
}

func addressV4(number uint32) netip.Addr {
	bytes := syntheticV4.Addr().As4()
	base := binary.BigEndian.Uint32(bytes[:])
	binary.BigEndian.PutUint32(bytes[:], base+number)
	return netip.AddrFrom4(bytes)
}

func addressV6(number uint32) netip.Addr {
	bytes := syntheticV6.Addr().As16()
	binary.BigEndian.PutUint32(bytes[12:], number)
	return netip.AddrFrom16(bytes)
}

func numberOf(address netip.Addr) (uint32, bool) {
	address = address.Unmap()
	switch {
	case syntheticV4.Contains(address):
		bytes, base := address.As4(), syntheticV4.Addr().As4()
		return binary.BigEndian.Uint32(bytes[:]) - binary.BigEndian.Uint32(base[:]), true
	case syntheticV6.Contains(address):
		bytes := address.As16()
		for _, b := range bytes[6:12] {
			if b != 0 {
				return 0, true
			}
		}
		return binary.BigEndian.Uint32(bytes[12:]), true
	}
	return 0, false
}
