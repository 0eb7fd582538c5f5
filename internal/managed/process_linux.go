package managed

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttributes makes the child the leader of a session, which the kernel kills with the thread that started it.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitExit waits until a child has ended, and leaves it as a zombie, so that its id is not given to another process. It returns false if
// it could not wait.
func awaitExit(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}

// birthOf returns the birth of a process; false if there is none with that id, or it has ended.
func birthOf(pid int) (Birth, bool) {
	s, ok := statOf(pid)
	if !ok || s.ended {
		return Birth{}, false
	}
	return Birth{Boot: bootID(), Ticks: s.ticks}, true
}

// bootID returns the random id of the machine's present boot.
func bootID() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(text))
}

// stat is a part of /proc/PID/stat.
type stat struct {
	ended   bool // a zombie
	session int
	ticks   int64 // start time
}

// statOf reads /proc/PID/stat (proc_pid_stat(5)): the state is field 3, the session field 6, the start time field 22. The name of the
// program, field 2, stands in parentheses and may hold blanks.
func statOf(pid int) (s stat, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return s, false
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 {
		return s, false
	}
	s.ended = fields[0] == "Z" || fields[0] == "X"
	s.session, _ = strconv.Atoi(fields[3])
	s.ticks, err = strconv.ParseInt(fields[19], 10, 64)
	return s, err == nil
}

// remains returns the processes that are left of a server of an earlier run: those of its session that were started no earlier than it. A
// session keeps its id from being given to another process while one of its processes lives.
func remains(st State) (pids []int) {
	if st.PID <= 1 || st.Birth.Boot != bootID() {
		return nil
	}
	if s, ok := statOf(st.PID); ok && s.ticks != st.Birth.Ticks {
		return nil // the id belongs to another process
	}
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if s, ok := statOf(pid); ok && !s.ended && s.session == st.PID && s.ticks >= st.Birth.Ticks {
			pids = append(pids, pid)
		}
	}
	return pids
}
