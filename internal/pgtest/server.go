//go:build unix

package pgtest

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// Stop stops the server as a crash does: it writes nothing and answers nobody. The data stay.
func (c *Cluster) Stop(t testing.TB) {
	t.Helper()
	c.must(t, c.run("pg_ctl", "stop", "-w", "-s", "-m", "immediate", "-D", c.data()))
}

// Shutdown stops the server as an operator does: it ends all sessions with an error (57P01), and writes what it has.
func (c *Cluster) Shutdown(t testing.TB) {
	t.Helper()
	c.must(t, c.run("pg_ctl", "stop", "-w", "-s", "-m", "fast", "-D", c.data()))
}

// Launch starts the server again after Stop or Shutdown, and waits until it takes connections.
func (c *Cluster) Launch(t testing.TB) {
	t.Helper()
	c.must(t, c.launch())
}

// Reload makes the server read its settings again after lines were appended to postgresql.conf.
func (c *Cluster) Reload(t testing.TB, lines ...string) {
	t.Helper()
	for _, l := range lines {
		c.must(t, appendFile(filepath.Join(c.data(), "postgresql.conf"), l+"\n"))
	}
	c.must(t, c.run("pg_ctl", "reload", "-s", "-D", c.data()))
}

// Pause stops all processes of the server, as if its machine hung: connections stay open, and nothing is answered. The returned function
// continues them, and may be called more than once; the test's end continues them too.
func (c *Cluster) Pause(t testing.TB) (resume func()) {
	t.Helper()
	pids := c.processes(t)
	for _, pid := range pids {
		c.must(t, syscall.Kill(pid, syscall.SIGSTOP))
	}
	resume = func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT) // a session may have ended meanwhile
		}
	}
	t.Cleanup(resume)
	return resume
}

// processes returns the ids of the postmaster, first, and its children. It needs /proc.
func (c *Cluster) processes(t testing.TB) []int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.data(), "postmaster.pid"))
	c.must(t, err)
	line, _, _ := bytes.Cut(text, []byte("\n"))
	postmaster, err := strconv.Atoi(string(line))
	c.must(t, err)
	children, err := os.ReadFile("/proc/" + string(line) + "/task/" + string(line) + "/children")
	if err != nil {
		t.Skip("this system has no /proc with the children of a process: ", err)
	}
	pids := []int{postmaster}
	for _, f := range bytes.Fields(children) {
		pid, err := strconv.Atoi(string(f))
		c.must(t, err)
		pids = append(pids, pid)
	}
	return pids
}

// must fails the test with an error.
func (c *Cluster) must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
