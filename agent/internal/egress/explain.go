package egress

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

const (
	// What a program says first, as far as it is needed to know what it speaks.
	maxOpening = 16 << 10
	// How long a program may take until it says something. On the ports of the web it always speaks first; elsewhere it may
	// wait for the server, and should soon learn that there is none.
	webPatience, patience = 3 * time.Second, 500 * time.Millisecond
	http2Preface          = "PRI * HTTP/2.0\r\n"
)

// RFC 8446 6.2.
const (
	alertInternalError    = 80
	alertAccessDenied     = 49
	alertUnrecognizedName = 112
)

// explanation is what an opened connection is told instead of what the other side would have said. It decides nothing: the
// host has refused already, and a program that does not speak HTTP or TLS sees a broken connection.
type explanation struct {
	host string
	port uint16
	*Refusal
}

// give speaks to the program in its own protocol. Nothing is read of a request; the bytes of the opening are enough.
func (e explanation) give(conn *net.TCPConn, opening []byte) {
	wait := patience
	if e.port == 80 || e.port == 443 {
		wait = webPatience
	}
	conn.SetDeadline(time.Now().Add(wait))
	said := bufio.NewReaderSize(io.MultiReader(strings.NewReader(string(opening)), conn), maxOpening)
	switch first, _ := said.Peek(1); {
	case len(first) == 0:
		reset(conn)
	case first[0] == 22:
		e.end(conn, e.alert())
	case beginsWith(said, http2Preface):
		e.serveHTTP2(conn, said)
	case beginsRequest(said):
		e.end(conn, e.response())
	default:
		reset(conn)
	}
}

// beginsWith waits for no more bytes than are needed to tell.
func beginsWith(said *bufio.Reader, text string) bool {
	for n := 1; n <= len(text); n++ {
		if got, err := said.Peek(n); err != nil || string(got) != text[:n] {
			return false
		}
	}
	return true
}

// beginsRequest looks for a method and the blank after it.
func beginsRequest(said *bufio.Reader) bool {
	for n := 1; n <= 20; n++ {
		got, err := said.Peek(n)
		if err != nil {
			return false
		}
		switch last := got[n-1]; {
		case last == ' ':
			return n > 1
		case (last < 'A' || last > 'Z') && (last < 'a' || last > 'z') && last != '-':
			return false
		}
	}
	return false
}

// end says the last words, and waits for the program to take them: closing with unread bytes would reset the connection.
func (e explanation) end(conn *net.TCPConn, words []byte) {
	conn.SetDeadline(time.Now().Add(drainTime))
	conn.Write(words)
	conn.CloseWrite()
	io.Copy(io.Discard, conn)
	conn.Close()
}

// alert is a fatal one in a record of TLS 1.2, which every version of the client understands at this point.
func (e explanation) alert() []byte {
	description := byte(alertInternalError)
	switch {
	case e.Status == http.StatusForbidden:
		description = alertAccessDenied
	case e.rule() == "name-not-found":
		description = alertUnrecognizedName
	}
	return []byte{21, 3, 3, 0, 2, 2, description}
}

func (e explanation) response() []byte {
	body := e.body()
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"+
		"cache-control: no-store\r\ncaisson-reason: %s\r\nconnection: close\r\n\r\n%s",
		e.Status, http.StatusText(e.Status), len(body), e.rule(), body)
}

func (e explanation) serveHTTP2(conn *net.TCPConn, said io.Reader) {
	conn.SetDeadline(time.Now().Add(drainTime))
	server := http2.Server{IdleTimeout: patience, MaxConcurrentStreams: 16}
	server.ServeConn(&resumed{conn, said}, &http2.ServeConnOpts{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Caisson-Reason", e.rule())
		w.WriteHeader(e.Status)
		w.Write(e.body())
	})})
	conn.Close()
}

// rule is the word before the host's message.
func (e explanation) rule() string {
	rule, _, _ := strings.Cut(e.Reason, ": ")
	return rule
}

// body has the form of what the host answers to a request that it refuses (packages/egress/src/intercept/model/outcome.ts).
func (e explanation) body() []byte {
	kind := "egress_failed"
	if e.Status == http.StatusForbidden {
		kind = "egress_refused"
	}
	_, message, _ := strings.Cut(e.Reason, ": ")
	body, _ := json.Marshal(struct {
		Error   string `json:"error"`
		Host    string `json:"host"`
		Rule    string `json:"rule"`
		Message string `json:"message"`
	}{kind, e.host, e.rule(), message})
	return append(body, '\n')
}

// resumed is a connection of which some bytes were read before.
type resumed struct {
	*net.TCPConn
	said io.Reader
}

func (r *resumed) Read(into []byte) (int, error) { return r.said.Read(into) }
