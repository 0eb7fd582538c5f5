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

// usage is what a process took that has ended.
type usage struct {
	CPU    time.Duration // of all its threads, in and out of the kernel
	Wall   time.Duration
	Memory float64 // largest resident set, MB
	Code   int     // that it ended with
}

// measured runs a command that must end with this code.
//
// The command is the child of a small process rather than of this one: the largest resident set that Linux tells of a process
// begins with that of the process that started it.
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

// timed is the small process: it runs a command and writes what it used to a file.
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

// innerVariable names the role of a command that is measured and is this program itself.
const innerVariable = "BATHOLITH_BENCH_MEASURED_ROLE"

// inner is this program in another role, to be measured.
func (b *bench) inner(role string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(b.ctx, b.self, args...)
	cmd.Env = []string{innerVariable + "=" + role}
	return cmd
}

// role is this program as another process.
func (b *bench) role(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(b.ctx, b.self, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+name)
	return cmd
}

var uniques atomic.Int64

// unique is a path that nothing has yet.
func (b *bench) unique(name string) string { return b.path(fmt.Sprintf("%s-%d", name, uniques.Add(1))) }

// job is the program over an input, with settings in a file of its own.
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

// outputOf is the folder that a job writes into.
func outputOf(cmd *exec.Cmd) string {
	for i, a := range cmd.Args {
		if a == "--output" {
			return cmd.Args[i+1]
		}
	}
	return ""
}

// child is a process that runs beside the measure, and what it says on its standard error.
type child struct {
	cmd  *exec.Cmd
	said *os.File
	done chan struct{} // closed when it has ended
}

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

// text is what the process has said so far.
func (c *child) text() string {
	b, _ := os.ReadFile(c.said.Name())
	return string(b)
}

// end asks the process to end, and sees to it that it does.
func (c *child) end() {
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(10 * time.Second):
	}
	c.kill()
}

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

// cpu is what the process has used so far.
func (c *child) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), ") ") // past the name, which may have spaces
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

// until waits for something to hold, not for ever.
func until(what string, longest time.Duration, holds func() (bool, error)) error {
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
		time.Sleep(time.Millisecond)
	}
}
