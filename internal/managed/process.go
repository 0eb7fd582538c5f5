package managed

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// pipeTime is how long processes that a server left may hold its output open.
const pipeTime = time.Second

// process is a running child and the leader of a session.
type process struct {
	cmd   *exec.Cmd
	group group
	ended chan struct{} // closed when it has ended and its group has been killed
	err   error         // of exec.Cmd.Wait; valid after ended

	mu     sync.Mutex
	reaped bool // its id may belong to another process
}

// launch starts a child. The goroutine that starts it waits for it on the same thread: Linux ends the child when that thread ends, also
// when this process is killed.
func launch(args, env []string, dir string, out io.Writer) (*process, error) {
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // it is ended by stop, which gives it time
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = env, dir, out, out, pipeTime
	cmd.SysProcAttr = childAttributes()
	p := &process{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine, after the child
		err := p.start()
		started <- err
		if err == nil {
			p.wait()
		}
	}()
	return p, <-started
}

// start starts the child and takes hold of its group. Without that, nothing could end what it starts, so it is ended at once.
func (p *process) start() (err error) {
	if err := p.cmd.Start(); err != nil {
		return err
	}
	if p.group, err = groupOf(p.cmd.Process); err != nil {
		return errors.Join(err, p.cmd.Process.Kill(), p.cmd.Wait())
	}
	return nil
}

// wait waits for the end of the child, and kills what is left of its group. Where the system can tell the end before the child's id is free
// for another process, the group is killed before that.
func (p *process) wait() {
	defer close(p.ended)
	early := awaitExit(p.pid())
	if early {
		p.sweep()
	}
	p.err = p.cmd.Wait()
	if !early {
		p.sweep()
	}
	p.group.close()
	if errors.Is(p.err, exec.ErrWaitDelay) {
		p.err = nil
	}
}

// sweep kills what is left of the group of a child that has ended. Nothing is sent to the group from then on.
func (p *process) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.group.kill()
	p.reaped = true
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// to does something to the group of the child, unless the child has ended.
func (p *process) to(do func(group)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		do(p.group)
	}
}

// stop ends the child: SIGTERM, and SIGKILL after the grace. It returns when the child has ended.
func (p *process) stop(grace time.Duration) {
	p.to(group.ask)
	select {
	case <-p.ended:
		return
	case <-time.After(grace):
	}
	p.to(group.kill)
	<-p.ended
}

// end says how the child has ended: "exit status 1", "signal: killed".
func (p *process) end() string {
	if p.err == nil {
		return "exit status 0"
	}
	if e, ok := errors.AsType[*exec.ExitError](p.err); ok {
		return e.Error()
	}
	return "its output could not be read"
}

// startError is an error of a start, in words for everyone: without the path of the program.
func startError(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Errorf("its program cannot be started: %w", e)
	}
	return errors.New("its program cannot be started")
}

// lookPath finds a program, and says why there is none.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, exec.ErrNotFound):
		return "", &NoProgramError{Name: name, Reason: "there is no such program"}
	case err != nil && !errors.Is(err, exec.ErrDot):
		return "", &NoProgramError{Name: name, Reason: "it may not be executed"}
	}
	return path, nil
}

// NoProgramError means that a server's program cannot be started.
type NoProgramError struct{ Name, Reason string }

// Error names the program and the reason.
func (e *NoProgramError) Error() string { return e.Name + ": " + e.Reason }
