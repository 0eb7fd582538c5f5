// Command bench measures what Batholith itself costs, as ratios to a floor that is measured in the same run on the same machine.
//
// Each measure is a process of its own, so that the operating system's accounting of it (CPU time, largest resident memory) is the
// figure. The model server they load is another process, which answers at once; its cost is nobody's.
//
//	go run ./internal/bench [-records 20000] [-bytes 900]
//	go run ./internal/bench -validate-only -validate 2000000000
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// roles are what a process of this program can be, by the value of the environment variable.
const roleVariable = "BATHOLITH_BENCH_ROLE"

func main() {
	roles := map[string]func([]string) error{"server": serve, "floor": floor, "newlines": newlines, "scan": scan, "copy": copyAll}
	err := fmt.Errorf("%s=%s is no role", roleVariable, os.Getenv(roleVariable))
	if role, ok := roles[os.Getenv(roleVariable)]; ok {
		err = role(os.Args[1:])
	} else if os.Getenv(roleVariable) == "" {
		err = bench()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// setup is what all measures of a run have in common.
type setup struct {
	dir, self, binary, url string
	records, bytes         int
	validate               int64 // bytes of input to validate
	validateOnly           bool
}

func bench() error {
	s := setup{}
	flag.IntVar(&s.records, "records", 20_000, "records of the job")
	flag.IntVar(&s.bytes, "bytes", 900, "bytes of each prompt")
	flag.Int64Var(&s.validate, "validate", 512<<20, "bytes of input to validate, as one file and as files of 100 records")
	flag.BoolVar(&s.validateOnly, "validate-only", false, "measure validation only")
	flag.Parse()
	var err error
	if s.self, err = os.Executable(); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "batholith-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	s.binary = filepath.Join(s.dir, "batholith")
	build := exec.Command("go", "build", "-o", s.binary, "./cmd/batholith")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the program: %w", err)
	}
	stop, err := s.startServer()
	if err != nil {
		return err
	}
	defer stop()
	if err := s.write(); err != nil {
		return err
	}
	if s.validateOnly {
		header()
		return s.validation()
	}
	return s.measure()
}

func header() { fmt.Printf("%-52s %12s %12s %8s %8s\n", "measure", "floor", "ours", "ratio", "goal") }

// measure runs everything and prints the table.
func (s *setup) measure() error {
	bare, err := s.run(s.role("floor", s.url, s.path("anthropic.jsonl")))
	if err != nil {
		return err
	}
	fmt.Printf("%d records, prompts of %d bytes, a model server that answers at once; figures of whole processes\n\n", s.records, s.bytes)
	header()
	for _, body := range []string{"openai", "anthropic"} {
		job, err := s.run(s.batholith(body))
		if err != nil {
			return err
		}
		per := float64(s.records) / 1000
		row("CPU-seconds per 1,000 records, "+body+" bodies", bare.cpu.Seconds()/per, job.cpu.Seconds()/per, "%.3f", "≤ 0.150")
		row("records per second, "+body+" bodies", float64(s.records)/bare.wall.Seconds(), float64(s.records)/job.wall.Seconds(), "%.0f", "")
		row("largest resident memory, MB, "+body+" bodies", bare.memory, job.memory, "%.0f", "≤ 100")
	}
	return s.validation()
}

func row(name string, floor, ours float64, format, goal string) {
	fmt.Printf("%-52s %12s %12s %8.2f %8s\n", name, fmt.Sprintf(format, floor), fmt.Sprintf(format, ours), ours/floor, goal)
}

func (s *setup) path(name string) string { return filepath.Join(s.dir, name) }

// role is this program as another process.
func (s *setup) role(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(s.self, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+name)
	return cmd
}

// batholith is the program over the job with these bodies.
func (s *setup) batholith(body string) *exec.Cmd {
	cmd := exec.Command(s.binary, "run", s.path(body+".jsonl"), "--config", s.path("config.yaml"), "--model", "bench-"+body, "--output", s.path("out-"+body))
	cmd.Dir = s.dir
	return cmd
}

// usage is what the operating system says of a process that has ended.
type usage struct {
	cpu, wall time.Duration
	memory    float64 // largest resident set, MB
}

func (s *setup) run(cmd *exec.Cmd) (usage, error) { return s.exits(0, cmd) }

// exits runs a process that must end with this code.
func (s *setup) exits(code int, cmd *exec.Cmd) (usage, error) {
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		return usage{}, fmt.Errorf("%s: %v, expected is exit code %d\n%s", cmd, err, code, out)
	}
	state := cmd.ProcessState
	u := usage{cpu: state.UserTime() + state.SystemTime(), wall: time.Since(began)}
	if ru, ok := state.SysUsage().(*syscall.Rusage); ok {
		u.memory = float64(ru.Maxrss) / 1024
	}
	return u, nil
}
