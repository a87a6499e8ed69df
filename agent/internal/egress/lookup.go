package egress

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/miekg/dns"
)

const (
	// How long the host may take to answer a question, and how many may wait for it.
	lookupTimeout = 10 * time.Second
	maxLookups    = 32
	// Bytes of an answer of the host.
	maxLookup = 64 << 10
)

// The types of records that the host is asked for. Addresses are synthetic, and everything else does not exist.
var forwarded = map[uint16]string{dns.TypeSRV: "SRV", dns.TypeTXT: "TXT", dns.TypeMX: "MX"}

// record is one record as the host's JSON has it (packages/egress/src/resolve/records.ts).
type record struct {
	Priority uint16   `json:"priority"`
	Weight   uint16   `json:"weight"`
	Port     uint16   `json:"port"`
	Target   string   `json:"target"`
	Texts    []string `json:"texts"`
}

// Lookup asks the host for the records of a name. It decides by the sandbox's policy and asks its own resolver.
// It returns the records and the response code (RFC 1035 4.1.1).
func (t *Tunnel) Lookup(name string, kind uint16) ([]record, int) {
	t.mu.Lock()
	host := t.host
	t.mu.Unlock()
	if host == nil {
		return nil, dns.RcodeServerFailure
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	query := url.Values{"name": {name}, "type": {forwarded[kind]}}
	request := (&http.Request{
		Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: "caisson.egress", Path: "/dns", RawQuery: query.Encode()},
		Header: http.Header{"User-Agent": {""}},
	}).WithContext(ctx)
	response, err := host.RoundTrip(request)
	if err != nil {
		return nil, dns.RcodeServerFailure
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusForbidden:
		return nil, dns.RcodeRefused
	case http.StatusNotFound:
		return nil, dns.RcodeNameError
	default:
		return nil, dns.RcodeServerFailure
	}
	var records []record
	if json.NewDecoder(io.LimitReader(response.Body, maxLookup)).Decode(&records) != nil {
		return nil, dns.RcodeServerFailure
	}
	return records, dns.RcodeSuccess
}

// rr makes a record of the answer.
func (r record) rr(header dns.RR_Header) dns.RR {
	switch header.Rrtype {
	case dns.TypeSRV:
		return &dns.SRV{Hdr: header, Priority: r.Priority, Weight: r.Weight, Port: r.Port, Target: dns.Fqdn(r.Target)}
	case dns.TypeMX:
		return &dns.MX{Hdr: header, Preference: r.Priority, Mx: dns.Fqdn(r.Target)}
	default:
		return &dns.TXT{Hdr: header, Txt: r.Texts}
	}
}
