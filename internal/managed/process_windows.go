package managed

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// childAttributes gives the child a group of its own, so that a Ctrl-C in the console does not reach it.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

// group is a child and a job object with it and all processes that it starts. The system ends them when the last handle of the job is
// closed, also when this process is killed.
type group struct {
	pid uint32
	job windows.Handle
}

// groupOf puts a child into a job object. What the child starts before that is not in it; a server loads for longer.
func groupOf(p *os.Process) (g group, err error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return g, fmt.Errorf("make a job object: %w", err)
	}
	var limits windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err == nil {
		err = assign(job, p.Pid)
	}
	if err != nil {
		_ = windows.CloseHandle(job)
		return g, fmt.Errorf("put the process into a job object: %w", err)
	}
	return group{pid: uint32(p.Pid), job: job}, nil
}

func assign(job windows.Handle, pid int) error {
	child, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(pid))
	if err != nil {
		return err
	}
	defer windows.CloseHandle(child)
	return windows.AssignProcessToJobObject(job, child)
}

// ask asks the group to end, by Ctrl-Break. Without a console, as in a service, nothing can ask a process to end: then it is ended.
func (g group) ask() {
	if windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, g.pid) != nil {
		g.kill()
	}
}

// kill ends all processes of the job object. It fails only if they are gone.
func (g group) kill() { _ = windows.TerminateJobObject(g.job, 1) }

// close closes the job object, which ends what is left in it.
func (g group) close() { _ = windows.CloseHandle(g.job) }

// askProcess ends one process: only its console could ask it.
func askProcess(pid int) { killProcess(pid) }

// killProcess ends one process.
func killProcess(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
		_ = p.Release()
	}
}

// awaitExit cannot wait here without releasing the process.
func awaitExit(int) bool { return false }

// stillActive is the exit code of a process that has not ended.
const stillActive = 259

// birthOf returns the birth of a process: the time at which it was created; false if there is none with that id, or it has ended.
func birthOf(pid int) (Birth, bool) {
	if pid <= 0 {
		return Birth{}, false
	}
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return Birth{}, false
	}
	defer windows.CloseHandle(h)
	var code uint32
	if err := windows.GetExitCodeProcess(h, &code); err != nil || code != stillActive {
		return Birth{}, false
	}
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(h, &created, &exited, &kernel, &user); err != nil {
		return Birth{}, false
	}
	return Birth{Ticks: created.Nanoseconds()}, true
}

// remains returns the process of an earlier run, if it still runs. Its children ended with it: see group.
func remains(st State) []int {
	if st.PID > 1 && st.Alive() {
		return []int{st.PID}
	}
	return nil
}
