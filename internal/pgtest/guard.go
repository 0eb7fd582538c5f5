//go:build unix

package pgtest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// An account is the user that the server runs as. PostgreSQL refuses to run as root.
type account struct {
	root     bool
	uid, gid uint32
}

// serverAccount is this process's own user, or postgres if that is root.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return account{}, fmt.Errorf("PostgreSQL does not run as root, and there is no user postgres: %w", errMissing)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return account{root: true, uid: uint32(uid), gid: uint32(gid)}, err
}

// own makes the account the owner of a file.
func (a account) own(path string) error {
	if !a.root {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// command is a command that runs as the account, in a session of its own, so that a signal from the terminal does not reach it.
func (a account) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if a.root {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return cmd
}

// script waits until its input ends, which it does when the test process closes it or dies. Then it stops the server and deletes its folder.
// A server that is paused is continued, so that it can stop.
const script = `
read -r line
if [ -f "$1/data/postmaster.pid" ]; then
  pid=$(head -n 1 "$1/data/postmaster.pid")
  kill -CONT "$pid" 2>/dev/null
  "$2/pg_ctl" stop -s -w -m immediate -D "$1/data" >/dev/null 2>&1
fi
rm -rf "$1"
`

// watch starts the guard of the cluster.
func (c *Cluster) watch() (io.Closer, error) {
	cmd := c.as.command("/bin/sh", "-c", script, "sh", c.dir, c.bin)
	cmd.Dir = "/"
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &guard{in: in, cmd: cmd}, nil
}

// guard is the test's end of a guard process.
type guard struct {
	in  io.Closer
	cmd *exec.Cmd
}

// Close makes the guard stop the server, and waits for it.
func (g *guard) Close() error {
	if err := g.in.Close(); err != nil {
		return err
	}
	return g.cmd.Wait()
}
