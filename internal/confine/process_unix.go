//go:build unix

package confine

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// apart returns attributes with which a Ctrl-C in the terminal does not reach the child. The parent ends the child when it shuts down.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// limitCPU limits the CPU time of this process, in seconds. A Go program does not end on SIGXCPU, so the handler ends it. Waiting for the
// SIGKILL at the hard limit would not do: the kernel sends the same signal when memory is short.
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

// stopped reports whether a signal that asks a process to end has ended it.
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

// killed reports whether SIGKILL ended the process. The kernel sends it when memory is short.
func killed(exit *exec.ExitError) bool {
	status, _ := exit.Sys().(syscall.WaitStatus)
	return status.Signaled() && status.Signal() == syscall.SIGKILL
}
