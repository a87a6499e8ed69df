package egress

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

const (
	// Outside of the ephemeral range, so that no program gets them by chance.
	resolverPort = "61153"
	redirectPort = "61101"
	dnsPort      = 53
	// NFT_REJECT_ICMPX_UNREACH, and its codes: programs see the error at once.
	rejectICMPX                               = 2
	noRoute, portUnreachable, hostUnreachable = 0, 1, 2
)

// Where namespaces inside the sandbox reach each other.
var privateRanges = []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "fc00::/7", "fe80::/10", "::1/128"}

// marks say how a connection is refused. No program sets such numbers by chance.
var marks = map[verdict]uint32{refuse: 0x0ca15501, noNetwork: 0x0ca15502, noHost: 0x0ca15503}

// setRules makes the kernel redirect what leaves the machine to the agent, and refuse what the agent cannot carry.
func setRules() error {
	rules := &nftables.Conn{}
	table := rules.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "caisson"})
	chain := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority) func(...[]expr.Any) {
		made := rules.AddChain(&nftables.Chain{Name: name, Table: table, Type: kind, Hooknum: hook, Priority: priority})
		return func(parts ...[]expr.Any) {
			var all []expr.Any
			for _, part := range parts {
				all = append(all, part...)
			}
			rules.AddRule(&nftables.Rule{Table: table, Chain: made, Exprs: all})
		}
	}

	// The first packet of a connection waits until the host has connected, or is refused by its mark.
	asked := chain("asked", nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityMangle)
	asked(outgoing(), opensTCP(), notToPort(dnsPort), queue())
	askedForwarded := chain("asked-forwarded", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityMangle)
	for _, synthetic := range []netip.Prefix{syntheticV4, syntheticV6} {
		askedForwarded(notLoopback(), to(synthetic), opensTCP(), notToPort(dnsPort), queue())
	}
	for _, local := range privateRanges {
		askedForwarded(to(netip.MustParsePrefix(local)), []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}})
	}
	askedForwarded(notLoopback(), opensTCP(), notToPort(dnsPort), queue())
	for name, hook := range map[string]*nftables.ChainHook{"answered": nftables.ChainHookOutput, "answered-forwarded": nftables.ChainHookPrerouting} {
		answered := chain(name, nftables.ChainTypeFilter, hook, nftables.ChainPriorityRef(*nftables.ChainPriorityMangle+1))
		answered(marked(marks[refuse]), []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
		answered(marked(marks[noNetwork]), []expr.Any{&expr.Reject{Type: rejectICMPX, Code: noRoute}})
		answered(marked(marks[noHost]), []expr.Any{&expr.Reject{Type: rejectICMPX, Code: hostUnreachable}})
	}

	// Programs of the sandbox itself.
	output := chain("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest)
	output(outgoing(), protocol(unix.IPPROTO_UDP), toPort(dnsPort), redirect(resolverPort))
	output(outgoing(), protocol(unix.IPPROTO_TCP), toPort(dnsPort), redirect(resolverPort))
	output(outgoing(), protocol(unix.IPPROTO_TCP), redirect(redirectPort))

	// Network namespaces inside of it, which come in through a bridge. What they send to private addresses stays among them.
	forwarded := chain("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	forwarded(notLoopback(), protocol(unix.IPPROTO_UDP), toPort(dnsPort), redirect(resolverPort))
	forwarded(notLoopback(), protocol(unix.IPPROTO_TCP), toPort(dnsPort), redirect(resolverPort))
	for _, synthetic := range []netip.Prefix{syntheticV4, syntheticV6} {
		forwarded(notLoopback(), to(synthetic), protocol(unix.IPPROTO_TCP), redirect(redirectPort))
	}
	for _, local := range privateRanges {
		forwarded(to(netip.MustParsePrefix(local)), []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}})
	}
	forwarded(notLoopback(), protocol(unix.IPPROTO_TCP), redirect(redirectPort))

	// After the redirection: what still goes to the outside has nowhere to go.
	refuse := chain("refuse", nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityFilter)
	accept := []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
	refuse(to(netip.MustParsePrefix("127.0.0.0/8")), accept)
	refuse(to(netip.MustParsePrefix("::1/128")), accept)
	reject := []expr.Any{&expr.Reject{Type: rejectICMPX, Code: portUnreachable}}
	refuse(outgoing(), reject)
	// The same for namespaces, where something in the sandbox has made the kernel forward.
	refuseForwarded := chain("refuse-forwarded", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	refuseForwarded(outgoing(), reject)
	if err := rules.Flush(); err != nil {
		return fmt.Errorf("set nftables rules: %w", err)
	}
	return nil
}

// outgoing matches packets that are routed to the outside.
func outgoing() []expr.Any { return byInterface(expr.MetaKeyOIFNAME, expr.CmpOpEq, linkName) }

func notLoopback() []expr.Any { return byInterface(expr.MetaKeyIIFNAME, expr.CmpOpNeq, "lo") }

func byInterface(key expr.MetaKey, how expr.CmpOp, name string) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: how, Register: 1, Data: padded}}
}

func protocol(number byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{number}}}
}

func toPort(number uint16) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{byte(number >> 8), byte(number)}},
	}
}

func notToPort(number uint16) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{byte(number >> 8), byte(number)}},
	}
}

// opensTCP matches the first packet of a connection: SYN without FIN, RST and ACK.
func opensTCP() []expr.Any {
	return append(protocol(unix.IPPROTO_TCP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{0x17}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0x02}})
}

func queue() []expr.Any { return []expr.Any{&expr.Queue{Num: queueNumber, Total: 1}} }

func marked(mark uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.NativeEndian.AppendUint32(nil, mark)},
	}
}

// to matches the destination address.
func to(prefix netip.Prefix) []expr.Any {
	family, offset, length := byte(unix.NFPROTO_IPV4), uint32(16), uint32(4)
	if prefix.Addr().Is6() {
		family, offset, length = unix.NFPROTO_IPV6, 24, 16
	}
	mask := make([]byte, length)
	for bit := range prefix.Bits() {
		mask[bit/8] |= 1 << (7 - bit%8)
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: length, Mask: mask, Xor: make([]byte, length)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: prefix.Masked().Addr().AsSlice()},
	}
}

func redirect(port string) []expr.Any {
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		panic(err)
	}
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: []byte{byte(number >> 8), byte(number)}},
		&expr.Redir{RegisterProtoMin: 1},
	}
}
