//go:build unix && !linux

package managed

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// childAttributes makes the child the leader of a session.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// awaitExit cannot wait here without reaping.
func awaitExit(int) bool { return false }

// birthOf returns the birth of a process, as ps prints it; false if there is none with that id.
func birthOf(pid int) (Birth, bool) {
	if pid <= 0 {
		return Birth{}, false
	}
	out, err := exec.Command("ps", "-o", "lstart=", "-p", strconv.Itoa(pid)).Output() //nolint:noctx // ps ends at once
	text := strings.TrimSpace(string(out))
	return Birth{Boot: text}, err == nil && text != ""
}

// remains returns the process of an earlier run, if it still runs.
func remains(st State) []int {
	if st.PID > 1 && st.Alive() {
		return []int{st.PID}
	}
	return nil
}
