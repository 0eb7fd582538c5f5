//go:build unix

package confine

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// apart keeps a Ctrl-C in a terminal from the process: the program ends its work in order, and with it this process.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// limitCPU bounds the CPU time of this process, in seconds. Go does not end a program on SIGXCPU, and the SIGKILL that follows is also that
// of a kernel without memory.
func limitCPU(most uint64) {
	over := make(chan os.Signal, 1)
	signal.Notify(over, syscall.SIGXCPU)
	go func() {
		<-over
		os.Exit(exitCPU)
	}()
	var r unix.Rlimit
	r.Cur, r.Max = most, most+5
	_ = unix.Setrlimit(unix.RLIMIT_CPU, &r)
}

// stopped reports whether somebody ended the process.
func stopped(exit *exec.ExitError) bool {
	status, _ := exit.Sys().(syscall.WaitStatus)
	if !status.Signaled() {
		return false
	}
	switch status.Signal() {
	case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT:
		return true
	}
	return false
}

// outOfCPU reports whether the limit of limitCPU ended the process.
func outOfCPU(exit *exec.ExitError) bool {
	status, _ := exit.Sys().(syscall.WaitStatus)
	return exit.ExitCode() == exitCPU || status.Signaled() && status.Signal() == syscall.SIGXCPU
}

// killed reports whether the kernel ended the process, as it does when memory is short.
func killed(exit *exec.ExitError) bool {
	status, _ := exit.Sys().(syscall.WaitStatus)
	return status.Signaled() && status.Signal() == syscall.SIGKILL
}
