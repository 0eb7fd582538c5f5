package confine

import (
	"os/exec"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// apart returns attributes with which a Ctrl-C in the terminal does not reach the child. The parent ends the child when it shuts down.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

// cpuCode is the exit code with which a job object ends a process that is over its limit of CPU time.
const cpuCode = uint32(windows.ERROR_NOT_ENOUGH_QUOTA)

// limitCPU limits the CPU time of this process, in seconds, by putting it into a job object.
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
	_ = windows.AssignProcessToJobObject(job, windows.CurrentProcess()) // the handle stays open until the process ends
}

// stopped reports whether a Ctrl-C or the end of the session has ended the process.
func stopped(exit *exec.ExitError) bool {
	return uint32(exit.ExitCode()) == uint32(windows.STATUS_CONTROL_C_EXIT)
}

// outOfCPU reports whether the limit of limitCPU ended the process.
func outOfCPU(exit *exec.ExitError) bool { return uint32(exit.ExitCode()) == cpuCode }

// killed is false: Windows does not end a process when memory is short. The allocation fails.
func killed(*exec.ExitError) bool { return false }
