package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// usage is the resources that a finished process has used.
type usage struct {
	CPU    time.Duration // user and system time of all threads
	Wall   time.Duration
	Memory float64 // largest resident set, MB
	Code   int     // exit code
}

// measured runs a command, which must end with this exit code, and returns its usage.
//
// The command is the child of a small process and not of this one, because the largest resident set that Linux reports for a process
// starts with that of its parent.
func (b *bench) measured(code int, cmd *exec.Cmd) (u usage, err error) {
	at := b.unique("usage")
	defer os.Remove(at)
	small := b.role("timed", append([]string{at}, cmd.Args...)...)
	small.Dir = cmd.Dir
	small.Env = append(small.Env, cmd.Env...)
	out, err := small.CombinedOutput()
	if err != nil {
		return u, fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	text, err := os.ReadFile(at)
	if err == nil {
		err = json.Unmarshal(text, &u)
	}
	if err == nil && u.Code != code {
		err = fmt.Errorf("%s ended with code %d\n%s", cmd, u.Code, out)
	}
	return u, err
}

// timed is a role: it runs the command args[1:] and writes its usage to the file args[0].
func timed(args []string) error {
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = os.Environ()
	if role := os.Getenv(innerVariable); role != "" {
		cmd.Env = append(cmd.Env, roleVariable+"="+role)
	} else {
		os.Unsetenv(roleVariable)
		cmd.Env = os.Environ()
	}
	began := time.Now()
	if err := cmd.Run(); cmd.ProcessState == nil {
		return err
	}
	state := cmd.ProcessState
	u := usage{CPU: state.UserTime() + state.SystemTime(), Wall: time.Since(began), Code: state.ExitCode()}
	if ru, ok := state.SysUsage().(*syscall.Rusage); ok {
		u.Memory = float64(ru.Maxrss) / 1024 // Linux: KiB
	}
	text, err := json.Marshal(u)
	if err != nil {
		return err
	}
	return os.WriteFile(args[0], text, 0o600)
}

// innerVariable is the environment variable with the role of a measured process of this program.
const innerVariable = "BATHOLITH_BENCH_MEASURED_ROLE"

// inner is a command for this program in a role, to be passed to measured.
func (b *bench) inner(role string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(b.ctx, b.self, args...)
	cmd.Env = []string{innerVariable + "=" + role}
	return cmd
}

// role is a command for this program in a role.
func (b *bench) role(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(b.ctx, b.self, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+name)
	return cmd
}

// uniques counts the calls of unique.
var uniques atomic.Int64

// unique is a new path in the temporary folder.
func (b *bench) unique(name string) string { return b.path(fmt.Sprintf("%s-%d", name, uniques.Add(1))) }

// job is the command that runs inputs with batholith run and these settings.
func (b *bench) job(settings, model string, inputs ...string) (*exec.Cmd, error) {
	config := b.unique("config.yaml")
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		return nil, err
	}
	args := append([]string{"run", "--config", config, "--model", model, "--output", b.unique("out")}, inputs...)
	cmd := exec.CommandContext(b.ctx, b.binary, args...)
	cmd.Dir = b.dir
	return cmd, nil
}

// finished runs a job to its end and removes its output.
func (b *bench) finished(settings, model string, inputs ...string) (usage, error) {
	cmd, err := b.job(settings, model, inputs...)
	if err != nil {
		return usage{}, err
	}
	defer os.RemoveAll(outputOf(cmd))
	return b.measured(0, cmd)
}

// outputOf is the output folder of a command made by job.
func outputOf(cmd *exec.Cmd) string {
	for i, a := range cmd.Args {
		if a == "--output" {
			return cmd.Args[i+1]
		}
	}
	return ""
}

// child is a process in the background, with its standard error.
type child struct {
	cmd  *exec.Cmd
	said *os.File
	done chan struct{} // closed when the process has ended
}

// start starts a process in the background. The caller must call end or kill.
func (b *bench) start(cmd *exec.Cmd) (*child, error) {
	said, err := os.Create(b.unique("said"))
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = io.Discard, said
	c := &child{cmd: cmd, said: said, done: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { defer close(c.done); cmd.Wait() }()
	return c, nil
}

// text is the standard error so far.
func (c *child) text() string {
	b, _ := os.ReadFile(c.said.Name())
	return string(b)
}

// end sends SIGTERM, and kills the process if it has not ended after 10 s.
func (c *child) end() {
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(10 * time.Second):
	}
	c.kill()
}

// kill kills the process and waits for its end.
func (c *child) kill() {
	c.cmd.Process.Kill()
	<-c.done
	c.said.Close()
}

// memory is the largest resident set so far, in MB.
func (c *child) memory() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("the process has no VmHWM")
}

// cpu is the CPU time that the process has used so far.
func (c *child) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), ") ") // after the name, which may have spaces
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc has no times of the process: %q", text)
	}
	ticks := int64(0)
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100, nil // Linux: USER_HZ is 100
}

// often is the time between two looks at a condition that costs the measured process nothing, or little.
const often = time.Millisecond

// until asks every so often until holds returns true, at most for longest. what names the condition in the error.
func until(what string, every, longest time.Duration, holds func() (bool, error)) error {
	late := time.Now().Add(longest)
	for {
		ok, err := holds()
		switch {
		case err != nil:
			return err
		case ok:
			return nil
		case time.Now().After(late):
			return fmt.Errorf("%s: it did not in %s", what, longest)
		}
		time.Sleep(every)
	}
}
