// Starts and awaits /bin/true again and again with the call that the guest agent uses, and prints what each took in nanoseconds.
package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

func main() {
	runs, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	attributes := &syscall.ProcAttr{
		Dir:   "/home/app",
		Env:   os.Environ(),
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: 1000, Gid: 1000, Groups: []uint32{1000}}},
	}
	for range runs {
		start := time.Now()
		pid, err := syscall.ForkExec("/bin/true", []string{"true"}, attributes)
		if err != nil {
			panic(err)
		}
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 0 {
			panic(fmt.Sprint(err, status))
		}
		fmt.Println(time.Since(start).Nanoseconds())
	}
}
