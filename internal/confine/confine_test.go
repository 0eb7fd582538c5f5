//go:build unix

package confine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// TestMain is also the main function of the child: the child is this test program, and its argument names what it does.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && len(os.Environ()) == 2 { // the two variables that Command sets
		Enter(Limits{CPU: 1, Heap: 128 << 20, Stack: 1 << 20})
		switch os.Args[1] {
		case "memory":
			var all [][]byte
			for {
				all = append(all, make([]byte, 1<<20))
				clear(all[len(all)-1])
			}
		case "time":
			for {
			}
		case "stack":
			fmt.Println(deep(1))
		case "environment":
			fmt.Print(strings.Join(os.Environ(), " "))
			os.Exit(0)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

//go:noinline
func deep(n int) int { return n + deep(n+1) }

// A child over a limit ends, and Death names the limit.
func TestAProcessOverALimitEnds(t *testing.T) {
	t.Setenv("SECRET", "is not passed on")
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]Cause{"memory": Memory, "time": Time, "stack": Stack, "other": Broken} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			cmd := self.Command(context.Background(), what)
			said := Beginning{Most: 4 << 10}
			cmd.Stderr = &said
			if err := cmd.Run(); Death(err, false, said.String()) != want {
				t.Errorf("%v, cause %d\n%s", err, Death(err, false, said.String()), said.String())
			}
		})
	}
	out, err := self.Command(t.Context(), "environment").Output()
	if err != nil || strings.Contains(string(out), "SECRET") {
		t.Errorf("%v; the environment: %s", err, out)
	}
}

func TestASignalFromOutsideIsNotTheContentsFault(t *testing.T) {
	for sig, want := range map[syscall.Signal]Cause{syscall.SIGINT: Elsewhere, syscall.SIGTERM: Elsewhere, syscall.SIGHUP: Elsewhere,
		syscall.SIGKILL: Memory, syscall.SIGXCPU: Time, syscall.SIGSEGV: Broken} {
		if signal.Ignored(sig) { // a child inherits it: nohup ignores SIGHUP
			continue
		}
		err := exec.Command("/bin/sh", "-c", fmt.Sprintf("kill -%d $$", sig)).Run()
		if got := Death(err, false, ""); got != want {
			t.Errorf("%s: %d, want %d", sig, got, want)
		}
	}
	if got := Death(exec.Command("/no/such/program").Run(), false, ""); got != Elsewhere {
		t.Errorf("a process that cannot be started: %d", got)
	}
	if got := Death(exec.Command("/bin/sh", "-c", "exit 1").Run(), true, ""); got != Time {
		t.Errorf("a process whose time was over: %d", got)
	}
}
