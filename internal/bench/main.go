// Command bench measures what Batholith itself costs, as ratios to a floor that is measured in the same run on the same machine.
//
// Each measure is a process of its own, so that the operating system's accounting of it (CPU time, largest resident memory) is the
// figure. The model server they load is another process, which answers at once; its cost is nobody's.
//
//	go run ./internal/bench [-records 20000] [-bytes 900]
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
	roles := map[string]func([]string) error{"server": serve, "floor": floor, "newlines": newlines, "scan": scan}
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
}

func bench() error {
	s := setup{}
	flag.IntVar(&s.records, "records", 20_000, "records of the job")
	flag.IntVar(&s.bytes, "bytes", 900, "bytes of each prompt")
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
	return s.measure()
}

// measure runs everything and prints the table.
func (s *setup) measure() error {
	bare, err := s.run(s.role("floor", s.url, s.path("anthropic.jsonl")))
	if err != nil {
		return err
	}
	fmt.Printf("%d records, prompts of %d bytes, a model server that answers at once; figures of whole processes\n\n", s.records, s.bytes)
	fmt.Printf("%-52s %12s %12s %8s %8s\n", "measure", "floor", "ours", "ratio", "goal")
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

// validation compares the scanner with a search for line ends.
func (s *setup) validation() error {
	file := s.path("anthropic.jsonl")
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	repeat := max(1, int(400<<20/info.Size()))
	lines, err := s.run(s.role("newlines", file, fmt.Sprint(repeat)))
	if err != nil {
		return err
	}
	checked, err := s.run(s.role("scan", file, fmt.Sprint(repeat)))
	if err != nil {
		return err
	}
	gb := float64(info.Size()) * float64(repeat) / 1e9
	row("validation, GB per CPU-second (floor: line ends)", gb/lines.cpu.Seconds(), gb/checked.cpu.Seconds(), "%.2f", "≥ 0.40")
	return nil
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

func (s *setup) run(cmd *exec.Cmd) (usage, error) {
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return usage{}, fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	state := cmd.ProcessState
	u := usage{cpu: state.UserTime() + state.SystemTime(), wall: time.Since(began)}
	if ru, ok := state.SysUsage().(*syscall.Rusage); ok {
		u.memory = float64(ru.Maxrss) / 1024
	}
	return u, nil
}
