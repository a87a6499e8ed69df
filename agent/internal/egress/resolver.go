package egress

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/netutil"
)

const (
	// Short: after a restore of a saved machine programs should ask again soon.
	answerTTL = 60
	// Connections to the resolver at once.
	maxResolverConns = 128
	// Where /etc/resolv.conf points.
	resolverAddress = "127.0.0.53:53"
)

// Resolver answers questions for addresses by itself. The host is asked for other records, and decides by policy.
type Resolver struct {
	names *Names
	// Nil: there are no other records.
	lookup  func(name string, kind uint16) ([]record, int)
	lookups chan struct{}
}

// NewResolver makes a resolver that asks the host through a tunnel.
func NewResolver(names *Names, tunnel *Tunnel) *Resolver {
	return &Resolver{names: names, lookup: tunnel.Lookup, lookups: make(chan struct{}, maxLookups)}
}

// ServeDNS answers one message.
func (r *Resolver) ServeDNS(w dns.ResponseWriter, request *dns.Msg) {
	answer := r.Answer(request)
	if _, udp := w.LocalAddr().(*net.UDPAddr); udp {
		size := dns.MinMsgSize
		if extra := request.IsEdns0(); extra != nil {
			size = max(size, int(extra.UDPSize()))
		}
		answer.Truncate(size)
	}
	w.WriteMsg(answer)
}

// Answer makes the answer to a message.
func (r *Resolver) Answer(request *dns.Msg) *dns.Msg {
	answer := new(dns.Msg)
	answer.SetReply(request)
	answer.RecursionAvailable = true
	if extra := request.IsEdns0(); extra != nil {
		answer.SetEdns0(1232, false)
	}
	switch {
	case request.Opcode != dns.OpcodeQuery:
		answer.Rcode = dns.RcodeNotImplemented
	case len(request.Question) != 1:
		answer.Rcode = dns.RcodeFormatError
	case request.Question[0].Qclass != dns.ClassINET:
		answer.Rcode = dns.RcodeRefused
	default:
		r.answer(request.Question[0], answer)
	}
	return answer
}

func (r *Resolver) answer(question dns.Question, answer *dns.Msg) {
	name := Canonical(question.Name)
	header := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET, Ttl: answerTTL}
	if question.Qtype == dns.TypePTR {
		if target := r.reverse(name); target != "" {
			answer.Answer = []dns.RR{&dns.PTR{Hdr: header, Ptr: dns.Fqdn(target)}}
		} else {
			answer.Rcode = dns.RcodeNameError
		}
		return
	}
	if !plausible(name) {
		answer.Rcode = dns.RcodeNameError
		return
	}
	if _, ok := forwarded[question.Qtype]; ok && r.lookup != nil && !isLocal(name) {
		r.ask(name, header, answer)
		return
	}
	if question.Qtype != dns.TypeA && question.Qtype != dns.TypeAAAA {
		// The name exists, but nothing of that type.
		return
	}
	v4, v6, ok := r.addresses(name)
	switch {
	case !ok:
		answer.Rcode = dns.RcodeServerFailure
	case question.Qtype == dns.TypeA:
		answer.Answer = []dns.RR{&dns.A{Hdr: header, A: v4.AsSlice()}}
	default:
		answer.Answer = []dns.RR{&dns.AAAA{Hdr: header, AAAA: v6.AsSlice()}}
	}
}

// ask fills an answer with what the host says.
func (r *Resolver) ask(name string, header dns.RR_Header, answer *dns.Msg) {
	select {
	case r.lookups <- struct{}{}:
		defer func() { <-r.lookups }()
	default:
		answer.Rcode = dns.RcodeServerFailure
		return
	}
	records, code := r.lookup(name, header.Rrtype)
	answer.Rcode = code
	for _, one := range records {
		answer.Answer = append(answer.Answer, one.rr(header))
	}
}

func (r *Resolver) addresses(name string) (v4, v6 netip.Addr, ok bool) {
	if isLocal(name) {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback(), true
	}
	return r.names.Assign(name)
}

// isLocal tells whether a name means this machine.
func isLocal(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	own, err := os.Hostname()
	return err == nil && name == Canonical(own)
}

// plausible tells whether the host could do anything with a name. The wire allows any bytes in it.
func plausible(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for _, label := range strings.Split(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, b := range []byte(label) {
			if (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '-' && b != '_' {
				return false
			}
		}
	}
	return true
}

// reverse finds the name behind a question such as 2.0.18.198.in-addr.arpa.
func (r *Resolver) reverse(name string) string {
	address, ok := reverseAddress(name)
	switch {
	case !ok:
		return ""
	case address.IsLoopback():
		return "localhost"
	}
	return r.names.Name(address)
}

func reverseAddress(name string) (netip.Addr, bool) {
	var text strings.Builder
	if digits, found := strings.CutSuffix(name, ".in-addr.arpa"); found {
		parts := strings.Split(digits, ".")
		for i := len(parts) - 1; i >= 0; i-- {
			text.WriteString(parts[i])
			if i > 0 {
				text.WriteByte('.')
			}
		}
	} else if digits, found := strings.CutSuffix(name, ".ip6.arpa"); found {
		parts := strings.Split(digits, ".")
		if len(parts) != 32 {
			return netip.Addr{}, false
		}
		for i := len(parts) - 1; i >= 0; i-- {
			text.WriteString(parts[i])
			if i > 0 && i%4 == 0 {
				text.WriteByte(':')
			}
		}
	}
	address, err := netip.ParseAddr(text.String())
	return address, err == nil
}

// listen answers on the resolver's address and on the port that the kernel redirects questions to others to.
func (r *Resolver) listen() error {
	for _, at := range []struct{ network, address string }{
		{"4", resolverAddress}, {"4", "0.0.0.0:" + resolverPort}, {"6", "[::]:" + resolverPort},
	} {
		packets, err := net.ListenPacket("udp"+at.network, at.address)
		if err != nil {
			return err
		}
		listener, err := net.Listen("tcp"+at.network, at.address)
		if err != nil {
			return err
		}
		go (&dns.Server{PacketConn: packets, Handler: r}).ActivateAndServe()
		go (&dns.Server{
			Listener: netutil.LimitListener(listener, maxResolverConns), Handler: r,
			ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
		}).ActivateAndServe()
	}
	return nil
}
