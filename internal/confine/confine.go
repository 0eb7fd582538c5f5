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

// Limits are the limits of a child process.
type Limits struct {
	CPU   uint64 // seconds of CPU time
	Heap  uint64 // bytes of memory
	Stack int    // bytes of one stack
}

// Exit codes of a child that is over a limit.
const (
	exitMemory = 3
	exitCPU    = 4
)

// Enter sets the limits of this process. The process ends when it is over one of them.
func Enter(l Limits) {
	limitCPU(l.CPU)
	debug.SetMaxStack(l.Stack)
	if used() > l.Heap {
		os.Exit(exitMemory)
	}
	go watch(l.Heap)
}

// watchEvery is the time between two measurements of the memory. A process can allocate about 50 MB in this time.
const watchEvery = 20 * time.Millisecond

// watch ends the process when it uses more than heap bytes.
func watch(heap uint64) {
	for range time.Tick(watchEvery) {
		if used() > heap {
			os.Exit(exitMemory)
		}
	}
}

// used returns the memory that the Go runtime has from the system, in bytes.
func used() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// A Program is an executable file that can be started again.
type Program struct{ path, name string }

// Self returns the program that is running.
func Self() (Program, error) {
	path, err := os.Executable()
	if err != nil {
		return Program{}, fmt.Errorf("find this program: %w", err)
	}
	if runtime.GOOS == "linux" {
		path = "/proc/self/exe" // works even if an upgrade has replaced or removed the file
	}
	return Program{path: path, name: os.Args[0]}, nil
}

// Command returns a command that starts the program with args and kills it when ctx ends. The child gets none of this
// process's environment, so it has no keys. A Ctrl-C in the terminal does not reach it.
func (p Program) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.path)
	cmd.Args = append([]string{p.name}, args...)
	cmd.Env = []string{"GOMAXPROCS=1", "GOTRACEBACK=none"}
	cmd.SysProcAttr = apart()
	return cmd
}

// A Cause says why a child ended before its work was done.
type Cause int

// The causes. Elsewhere is not the content's fault; the others are.
const (
	Elsewhere Cause = iota // it could not be started, or a signal from outside ended it
	Broken                 // it failed by itself
	Time
	Memory
	Stack
)

// Death returns the cause of a child's end. err is the error of its Wait. late says whether the parent killed it after its
// wall-clock time. said is the beginning of its stderr.
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

// Beginning is a writer that keeps the first Most bytes and drops the rest.
type Beginning struct {
	bytes.Buffer
	Most int
}

// Write implements io.Writer.
func (b *Beginning) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(0, b.Most-b.Len()))])
	return len(p), nil
}
