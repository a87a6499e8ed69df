package egress

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"time"
)

// How often attempts are looked through for programs that have closed their sockets. The kernel sends nothing then.
const sweepTime = time.Second

// Attempts that are ended in one sweep. Each is a reset, and a host that gets more than 200 in a second (streamResetRate in
// packages/egress/src/worker/port.ts) takes no new connections any more.
const mostGivenUp = 150

// dropGivenUp ends attempts whose programs have given up, so that they hold no place. It never returns.
func (r *redirector) dropGivenUp() {
	for range time.Tick(sweepTime) {
		waiting := r.waiting(time.Now().Add(-sweepTime))
		if len(waiting) == 0 {
			continue
		}
		ports, err := connectingPorts("/proc/net/tcp", "/proc/net/tcp6")
		if err != nil {
			continue
		}
		r.giveUp(waiting, ports)
	}
}

// giveUp ends attempts whose programs are not connecting. It leaves connections that the host has made meanwhile: their sockets have left
// SYN_SENT because of that.
func (r *redirector) giveUp(waiting map[flow]*attempt, connecting map[uint16]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ended := 0
	for f, one := range waiting {
		if ended < mostGivenUp && !one.granted && !connecting[f.from.Port()] {
			one.cancel()
			ended++
		}
	}
}

// waiting returns the attempts of this machine's own programs that began before a time. Sockets of other namespaces are not in its files.
func (r *redirector) waiting(before time.Time) map[flow]*attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[flow]*attempt{}
	for f, one := range r.attempts {
		if !one.granted && one.began.Before(before) && isOwn(f.from.Addr()) {
			found[f] = one
		}
	}
	return found
}

// connectingPorts reads the local ports of sockets in the state SYN_SENT from files in the form of /proc/net/tcp.
func connectingPorts(files ...string) (map[uint16]bool, error) {
	const synSent = "02"
	ports := map[uint16]bool{}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) < 4 || fields[3] != synSent {
				continue
			}
			_, port, _ := strings.Cut(fields[1], ":")
			if number, err := strconv.ParseUint(port, 16, 16); err == nil {
				ports[uint16(number)] = true
			}
		}
		file.Close()
		if err := lines.Err(); err != nil {
			return nil, err
		}
	}
	return ports, nil
}
