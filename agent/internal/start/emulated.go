package start

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
)

// emulatedVariable is set by the host's kernel arguments where processors are emulated: what the kernel does not know itself, it
// gives to its first process as environment.
const emulatedVariable = "CAISSON_EMULATED"

// quietMonitor lets the timers of Go's monitor thread run late, by at most a millisecond. While anything runs, that thread sleeps
// for 20 microseconds at a time (`sysmon` in runtime/proc.go), and a timer's interrupt is what an emulated processor is slow at.
func quietMonitor() error {
	monitor, err := secondThread()
	if err != nil {
		return err
	}
	return os.WriteFile(fmt.Sprintf("/proc/%d/timerslack_ns", monitor), []byte("1000000"), 0)
}

// secondThread is the monitor: `runtime.main` starts it before any other.
func secondThread() (int, error) {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, err
	}
	var threads []int
	for _, entry := range entries {
		if id, err := strconv.Atoi(entry.Name()); err == nil {
			threads = append(threads, id)
		}
	}
	if len(threads) < 2 {
		return 0, errors.New("the runtime has started no second thread")
	}
	slices.Sort(threads)
	return threads[1], nil
}

// crowd uses one processor for few requests and all for many. With more than one, each goroutine that becomes ready wakes another
// processor to look for work, and a request has several of them: for emulated processors that is a quarter of its cost. When
// there is work for all of them they are awake anyhow.
type crowd struct {
	mu       sync.Mutex
	requests int
	wide     bool
}

const (
	manyRequests = 6
	fewRequests  = 1
)

func newCrowd() *crowd {
	runtime.GOMAXPROCS(1)
	return &crowd{}
}

func (c *crowd) handler(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		c.change(1)
		defer c.change(-1)
		inner.ServeHTTP(w, request)
	})
}

func (c *crowd) change(by int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests += by
	switch {
	case !c.wide && c.requests >= manyRequests:
		c.wide = true
		runtime.GOMAXPROCS(runtime.NumCPU())
	case c.wide && c.requests <= fewRequests:
		c.wide = false
		runtime.GOMAXPROCS(1)
	}
}
