package start

import (
	"net/http"
	"net/http/httptest"
	"runtime"
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

func TestTheMonitorIsFound(t *testing.T) {
	if _, err := secondThread(); err != nil {
		t.Error(err)
	}
}
