package confine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"time"
)

// Limits are those of a process.
type Limits struct {
	CPU   uint64 // seconds of CPU time
	Heap  uint64 // bytes of memory
	Stack int    // bytes of one stack
}

// Exit codes of a process that is over a limit.
const (
	exitMemory = 3
	exitCPU    = 4
)

// Enter sets the limits for the whole process, which ends when it is over one of them.
func Enter(l Limits) {
	limitCPU(l.CPU)
	debug.SetMaxStack(l.Stack)
	if used() > l.Heap {
		os.Exit(exitMemory)
	}
	go watch(l.Heap)
}

// watchEvery is how often the memory is measured. In this time a process can take about 50 MB.
const watchEvery = 20 * time.Millisecond

// watch ends the process when it has more memory than heap.
func watch(heap uint64) {
	for range time.Tick(watchEvery) {
		if used() > heap {
			os.Exit(exitMemory)
		}
	}
}

// used returns the memory that the process has, in bytes.
func used() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// A Program is the running program, to be started again.
type Program struct{ path, name string }

// Self returns the running program.
func Self() (Program, error) {
	path, err := os.Executable()
	if err != nil {
		return Program{}, fmt.Errorf("find this program: %w", err)
	}
	if runtime.GOOS == "linux" {
		path = "/proc/self/exe" // also if the file was replaced or removed by an upgrade
	}
	return Program{path: path, name: os.Args[0]}, nil
}

// Command returns the program with args, to be started in a process that ends with ctx. It has no environment, and so no
// keys, and it is out of reach of a Ctrl-C in the terminal.
func (p Program) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.path)
	cmd.Args = append([]string{p.name}, args...)
	cmd.Env = []string{"GOMAXPROCS=1", "GOTRACEBACK=none"}
	cmd.SysProcAttr = apart()
	return cmd
}

// A Cause is why a process ended before its work was done.
type Cause int

// Causes. Only Broken, Time, Memory and Stack are the fault of the content.
const (
	Elsewhere Cause = iota // it could not be started, or somebody ended it
	Broken                 // it ended by itself
	Time
	Memory
	Stack
)

// Death returns why a process ended. err is that of its Wait, late tells that the time of the clock was over, and said is the beginning of
// what the process wrote to stderr.
func Death(err error, late bool, said string) Cause {
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case !ok || stopped(exit):
		return Elsewhere
	case late || outOfCPU(exit):
		return Time
	case exit.ExitCode() == exitMemory || strings.Contains(said, "out of memory") || killed(exit):
		return Memory
	case strings.Contains(said, "stack"):
		return Stack
	}
	return Broken
}

// Beginning keeps the first Most bytes of what is written.
type Beginning struct {
	bytes.Buffer
	Most int
}

// Write implements io.Writer.
func (b *Beginning) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(0, b.Most-b.Len()))])
	return len(p), nil
}
