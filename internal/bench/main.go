// Command bench measures every figure that Batholith promises. Most are compared with a floor or an ideal that is measured in the same run
// on the same machine, since ratios hold on other machines and absolute figures do not. It measures whole processes: the built program,
// the simulated model server and the floors are processes of their own.
//
//	go run ./internal/bench                       the whole table, in less than ten minutes on two cores
//	go run ./internal/bench -quick -run cost      smaller sizes; the measures whose name matches
//	go run ./internal/bench -markdown table.md -plots docs/plots
//	go run ./internal/bench -run cost -profile cpu.out
//
// Each measure has a file: cost.go, memory.go, first.go, small.go, saturation.go, oracle.go, prefix.go, mix.go, fair.go, identical.go, validation.go,
// control.go, faults.go, evidence.go, calls.go. They share table.go (rows and goals), process.go (processes and their usage), serve.go, simulate.go and
// witness.go (servers), and input.go (records).
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
)

// roleVariable is the environment variable with the role of a process of this program: empty for the bench itself, else a key of roles.
const roleVariable = "BATHOLITH_BENCH_ROLE"

var roles = map[string]func([]string) error{"timed": timed, "silent": silent, "floor": floor, "translating": translating, "smallfloor": smallJobsFloor, "newlines": newlines, "scan": scan, "copy": copyAll,
	"profiled": profiled}

// measures are the measures in the order of the table.
var measures = []struct {
	name string
	run  func(*bench) error
}{
	{"cost", cost},
	{"memory", memory},
	{"first", first},
	{"small", small},
	{"saturation", saturation},
	{"oracle", oracle},
	{"prefix", prefix},
	{"mix", mix},
	{"fair", fair},
	{"identical", identical},
	{"faults", faults},
	{"evidence", evidence},
	{"validation", validation},
	{"control", control},
	{"calls", calls},
}

// bench is the state that the measures of a run share.
type bench struct {
	ctx     context.Context
	dir     string // temporary folder, removed at the end
	self    string // path of this program
	binary  string // path of the measured program; "": build it
	quick   bool
	large   int    // number of records in the large file of the measure memory
	plots   string // folder of plots; "": none
	profile string // file for a CPU profile of the cost measure; "": none
	table   table
	silent  string // URL of the model server that answers at once; "": not started
}

func main() {
	role := os.Getenv(roleVariable)
	err := fmt.Errorf("%s=%s is no role", roleVariable, role)
	if do, ok := roles[role]; ok {
		err = do(os.Args[1:])
	} else if role == "" {
		err = run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run runs the measures that match -run, and prints the table.
func run() error {
	b := &bench{}
	which := flag.String("run", "", "only the measures whose name matches this `regexp`")
	markdown := flag.String("markdown", "", "write the table to this `file`, too")
	flag.BoolVar(&b.quick, "quick", false, "smaller sizes: for trying, not for telling")
	flag.IntVar(&b.large, "large", 20_000, "how many `records` of 64 KB the large file of memory has")
	flag.StringVar(&b.plots, "plots", "", "write plots of the saturation into this `folder`")
	flag.StringVar(&b.profile, "profile", "", "write a CPU profile of the job of cost to this `file`")
	flag.StringVar(&b.binary, "binary", "", "measure this `program`; empty: build it from the sources")
	flag.Parse()
	match, err := regexp.Compile(*which)
	if err != nil {
		return fmt.Errorf("read -run: %w", err)
	}
	var stop context.CancelFunc
	b.ctx, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if b.dir, err = os.MkdirTemp("", "batholith-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if err := b.build(); err != nil {
		return err
	}
	b.table.begin()
	for _, m := range measures {
		if !match.MatchString(m.name) {
			continue
		}
		if err := m.run(b); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	b.table.end()
	if *markdown != "" {
		return os.WriteFile(*markdown, b.table.markdown(), 0o644)
	}
	return nil
}

// build builds the program that is measured, unless -binary names one.
func (b *bench) build() (err error) {
	if b.self, err = os.Executable(); err != nil || b.binary != "" {
		return err
	}
	b.binary = filepath.Join(b.dir, "batholith")
	cmd := exec.CommandContext(b.ctx, "go", "build", "-o", b.binary, "github.com/batholith/batholith/cmd/batholith")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build the program: %w", err)
	}
	return nil
}

// size is whole, or quick with -quick.
func (b *bench) size(whole, quick int) int {
	if b.quick {
		return quick
	}
	return whole
}

// path is the path of a file in the temporary folder.
func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }
