// Asks a server for / again and again over kept connections, and prints how often and how fast it answered, as JSON. It does as little as
// it can: where it runs in an emulated guest, it shares the processors with the server that it asks.
//
//	load -address 127.0.0.1:8000 -host app.localhost:8000 [-authority ca.pem] [-connections 16] [-seconds 5]
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

type result struct {
	Requests int     `json:"requests"`
	Failed   int     `json:"failed"`
	Error    string  `json:"error"`
	Seconds  float64 `json:"seconds"`
	P50      float64 `json:"p50"` // milliseconds
	P99      float64 `json:"p99"`
	Spent    float64 `json:"spent"` // processor time of this program, milliseconds
}

func main() {
	address := flag.String("address", "127.0.0.1:8000", "")
	host := flag.String("host", "localhost", "")
	authority := flag.String("authority", "", "PEM file; with it the connections use TLS")
	connections := flag.Int("connections", 16, "")
	seconds := flag.Float64("seconds", 5, "")
	flag.Parse()
	var config *tls.Config
	if *authority != "" {
		pem, err := os.ReadFile(*authority)
		if err != nil {
			panic(err)
		}
		name, _, _ := strings.Cut(*host, ":")
		config = &tls.Config{ServerName: name, RootCAs: x509.NewCertPool(), NextProtos: []string{"http/1.1"}}
		config.RootCAs.AppendCertsFromPEM(pem)
	}
	request := []byte("GET / HTTP/1.1\r\nHost: " + *host + "\r\n\r\n")
	var all []time.Duration
	var sum result
	var lock sync.Mutex
	var done sync.WaitGroup
	start := time.Now()
	end := start.Add(time.Duration(*seconds * float64(time.Second)))
	for range *connections {
		done.Add(1)
		go func() {
			defer done.Done()
			took, err := ask(*address, config, request, end)
			lock.Lock()
			defer lock.Unlock()
			all = append(all, took...)
			if err != nil {
				sum.Failed++
				sum.Error = err.Error()
			}
		}()
	}
	done.Wait()
	sum.Seconds = time.Since(start).Seconds()
	sum.Requests = len(all)
	if len(all) > 0 {
		slices.Sort(all)
		sum.P50 = float64(all[len(all)/2].Microseconds()) / 1000
		sum.P99 = float64(all[len(all)*99/100].Microseconds()) / 1000
	}
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	sum.Spent = float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e6
	json.NewEncoder(os.Stdout).Encode(sum)
}

// ask uses one connection until end, or until something fails.
func ask(address string, config *tls.Config, request []byte, end time.Time) ([]time.Duration, error) {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	connection.SetDeadline(end.Add(30 * time.Second))
	if config != nil {
		connection = tls.Client(connection, config)
	}
	reader := bufio.NewReader(connection)
	var took []time.Duration
	for {
		began := time.Now()
		if began.After(end) {
			return took, nil
		}
		if _, err := connection.Write(request); err != nil {
			return took, err
		}
		if err := answer(reader); err != nil {
			return took, err
		}
		took = append(took, time.Since(began))
	}
}

// answer reads one whole answer, which must be a 200 with a length.
func answer(reader *bufio.Reader) error {
	status, err := reader.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(status, "HTTP/1.1 200") {
		return fmt.Errorf("answer: %s", strings.TrimSpace(status))
	}
	length := -1
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if len(line) > 16 && strings.EqualFold(string(line[:15]), "content-length:") {
			if length, err = strconv.Atoi(strings.TrimSpace(string(line[15:]))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return fmt.Errorf("an answer without a length")
	}
	_, err = io.CopyN(io.Discard, reader, int64(length))
	return err
}
