package confine

import (
	"os/exec"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// apart keeps a Ctrl-C in a terminal from the process: the program ends its work in order, and with it this process.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

// cpuCode is the exit code with which a job object ends a process that is over its limit of CPU time.
const cpuCode = uint32(windows.ERROR_NOT_ENOUGH_QUOTA)

// limitCPU bounds the CPU time of this process, in seconds, by putting it into a job object.
func limitCPU(most uint64) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return
	}
	var limits windows.JOBOBJECT_BASIC_LIMIT_INFORMATION
	limits.LimitFlags = windows.JOB_OBJECT_LIMIT_PROCESS_TIME
	limits.PerProcessUserTimeLimit = int64(most) * int64(time.Second/100) // in units of 100 ns
	if _, err := windows.SetInformationJobObject(job, windows.JobObjectBasicLimitInformation, uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits))); err != nil {
		return
	}
	_ = windows.AssignProcessToJobObject(job, windows.CurrentProcess()) // the handle of the job stays open as long as the process lives
}

// stopped reports whether somebody ended the process: a Ctrl-C or the end of the session.
func stopped(exit *exec.ExitError) bool {
	return uint32(exit.ExitCode()) == uint32(windows.STATUS_CONTROL_C_EXIT)
}

// outOfCPU reports whether the limit of limitCPU ended the process.
func outOfCPU(exit *exec.ExitError) bool { return uint32(exit.ExitCode()) == cpuCode }

// killed reports whether the kernel ended the process, as it does when memory is short: never here, where an allocation fails instead.
func killed(*exec.ExitError) bool { return false }
