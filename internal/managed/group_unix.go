//go:build unix

package managed

import (
	"os"
	"syscall"
)

// group is the process group of a child, which leads it.
type group int

// groupOf returns the group of a child that was started with childAttributes.
func groupOf(p *os.Process) (group, error) { return group(p.Pid), nil }

// ask asks all processes of the group to end. It fails only if the group is gone.
func (g group) ask() { _ = syscall.Kill(-int(g), syscall.SIGTERM) }

// kill ends all processes of the group.
func (g group) kill() { _ = syscall.Kill(-int(g), syscall.SIGKILL) }

// close releases what belongs to the group in this process: nothing.
func (group) close() {}

// askProcess asks one process to end.
func askProcess(pid int) { _ = syscall.Kill(pid, syscall.SIGTERM) }

// killProcess ends one process.
func killProcess(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) }
