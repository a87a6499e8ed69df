package egress

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

func TestEachNameHasItsOwnAddress(t *testing.T) {
	names := NewNames()
	a4, a6, _ := names.Assign("a.example")
	b4, b6, _ := names.Assign("b.example")
	if a4 == b4 || a6 == b6 {
		t.Fatal("two names share an address")
	}
	if again, _, _ := names.Assign("a.example"); again != a4 {
		t.Errorf("a.example moved from %v to %v", a4, again)
	}
	for _, address := range []netip.Addr{a4, a6, netip.AddrFrom16(a4.As16())} {
		if got := names.Name(address); got != "a.example" {
			t.Errorf("name of %v: %q", address, got)
		}
	}
	for _, other := range []string{"198.18.0.1", "198.19.255.254", "1.2.3.4", "fdca:1550::ffff", "fdca:1550:0:1::2", "2001:db8::1"} {
		if got := names.Name(netip.MustParseAddr(other)); got != "" {
			t.Errorf("name of %v: %q", other, got)
		}
	}
}

func TestAnAddressInUseKeepsItsName(t *testing.T) {
	names := NewNames()
	names.limit = 3
	kept, _, _ := names.Assign("kept.example")
	_, done, _ := names.Use(kept)
	for i := range 10 {
		if _, _, ok := names.Assign(fmt.Sprintf("n%d.example", i)); !ok {
			t.Fatal("the table is full")
		}
	}
	if got := names.Name(kept); got != "kept.example" {
		t.Errorf("the address went to %q", got)
	}
	done()
	for i := range 3 {
		names.Assign(fmt.Sprintf("m%d.example", i))
	}
	if got := names.Name(kept); got != "" {
		t.Errorf("it is still %q", got)
	}
	if len(names.byName) != 3 || len(names.byNumber) != 3 || names.recent.Len() != 3 {
		t.Errorf("%d names, %d numbers, %d places", len(names.byName), len(names.byNumber), names.recent.Len())
	}
}

func TestNumbersAreUsedInTurn(t *testing.T) {
	names := NewNames()
	names.limit = 2
	names.next = lastNumber
	last, _, _ := names.Assign("last.example")
	first, _, _ := names.Assign("first.example")
	if last.String() != "198.19.255.254" || first.String() != "198.18.0.2" {
		t.Errorf("%v then %v", last, first)
	}
}

func ask(r *Resolver, name string, kind uint16) *dns.Msg {
	question := new(dns.Msg)
	question.SetQuestion(name, kind)
	return r.Answer(question)
}

func TestResolver(t *testing.T) {
	r := &Resolver{names: NewNames()}
	for _, one := range []struct {
		name   string
		kind   uint16
		rcode  int
		answer string
	}{
		{"Example.COM.", dns.TypeA, dns.RcodeSuccess, "Example.COM.\t60\tIN\tA\t198.18.0.2"},
		{"example.com.", dns.TypeAAAA, dns.RcodeSuccess, "example.com.\t60\tIN\tAAAA\tfdca:1550::2"},
		{"2.0.18.198.in-addr.arpa.", dns.TypePTR, dns.RcodeSuccess, "2.0.18.198.in-addr.arpa.\t60\tIN\tPTR\texample.com."},
		{"2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.5.5.1.a.c.d.f.ip6.arpa.", dns.TypePTR, dns.RcodeSuccess,
			"2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.5.5.1.a.c.d.f.ip6.arpa.\t60\tIN\tPTR\texample.com."},
		{"8.8.8.8.in-addr.arpa.", dns.TypePTR, dns.RcodeNameError, ""},
		{"localhost.", dns.TypeA, dns.RcodeSuccess, "localhost.\t60\tIN\tA\t127.0.0.1"},
		{"x.localhost.", dns.TypeAAAA, dns.RcodeSuccess, "x.localhost.\t60\tIN\tAAAA\t::1"},
		{"example.com.", dns.TypeMX, dns.RcodeSuccess, ""},
		{"example.com.", dns.TypeHTTPS, dns.RcodeSuccess, ""},
		{"_a.example.com.", dns.TypeA, dns.RcodeSuccess, "_a.example.com.\t60\tIN\tA\t198.18.0.3"},
		{".", dns.TypeA, dns.RcodeNameError, ""},
		{"a\\000b.com.", dns.TypeA, dns.RcodeNameError, ""},
		{"a\\.b.com.", dns.TypeA, dns.RcodeNameError, ""},
	} {
		got := ask(r, one.name, one.kind)
		text := ""
		if len(got.Answer) > 0 {
			text = got.Answer[0].String()
		}
		if got.Rcode != one.rcode || text != one.answer {
			t.Errorf("%s %s: %s %q", one.name, dns.TypeToString[one.kind], dns.RcodeToString[got.Rcode], text)
		}
	}
}

func FuzzResolver(f *testing.F) {
	for _, name := range []string{"example.com.", "2.0.18.198.in-addr.arpa.", "localhost."} {
		question := new(dns.Msg)
		question.SetQuestion(name, dns.TypeA)
		question.SetEdns0(4096, true)
		packed, err := question.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		question := new(dns.Msg)
		if question.Unpack(packet) != nil {
			return
		}
		r := &Resolver{names: NewNames()}
		answer := r.Answer(question)
		if answer.Id != question.Id || !answer.Response {
			t.Fatal("no answer to this question")
		}
		if _, err := answer.Pack(); err != nil {
			t.Fatalf("cannot be sent: %v", err)
		}
		for name := range r.names.byName {
			if !plausible(name) {
				t.Fatalf("took the name %q", name)
			}
		}
	})
}
