package start

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func TestCrowdUsesAllProcessorsOnlyForManyRequests(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("this machine has one processor")
	}
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	entered, leave := make(chan struct{}), make(chan struct{})
	handler := newCrowd().handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-leave
	}))
	var requests sync.WaitGroup
	add := func() {
		requests.Add(1)
		go func() {
			defer requests.Done()
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		}()
		<-entered
	}
	for range manyRequests - 1 {
		add()
	}
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d processors for few requests", n)
	}
	add()
	if n := runtime.GOMAXPROCS(0); n != runtime.NumCPU() {
		t.Errorf("%d processors for many requests", n)
	}
	close(leave)
	requests.Wait()
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d processors when the requests have ended", n)
	}
}

func TestOneThreadAloneMayWakeLate(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root, as in a machine, may do this to another thread")
	}
	if err := quietMonitor(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("/proc/self/task/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	late := 0
	for _, file := range files {
		slack, err := os.ReadFile("/proc/" + filepath.Base(file) + "/timerslack_ns")
		if err == nil && strings.TrimSpace(string(slack)) == "1000000" {
			late++
		}
	}
	if late != 1 {
		t.Errorf("%d of %d threads may wake late", late, len(files))
	}
}
