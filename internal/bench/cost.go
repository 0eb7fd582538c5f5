package main

import (
	"fmt"
	"os"
	"runtime/pprof"
	"time"

	"github.com/batholith/batholith/internal/cli"
)

// cost measures the CPU time and the rate of a record without its model: a job on a model server that answers at once, against a plain
// net/http loop that neither translates nor stores anything. Prompts have 900 bytes, and 64 requests are in flight.
func cost(b *bench) error {
	url, err := b.silentServer()
	if err != nil {
		return err
	}
	n := b.size(20_000, 5_000)
	for _, family := range []struct{ name, body string }{{"openai", openaiBody}, {"anthropic", anthropicBody}} {
		file, err := b.input(n, 900, family.body)
		if err != nil {
			return err
		}
		bare, err := b.measured(0, b.inner("floor", url, file, fmt.Sprint(costInFlight)))
		if err != nil {
			return err
		}
		settings := fmt.Sprintf("models:\n- {id: m, family: %s, backends: [{url: %q, model: bench, max_in_flight: %d}]}\n", family.name, url, costInFlight)
		ours, err := b.finished(settings, "m", file)
		if err != nil {
			return err
		}
		per := float64(n) / 1000
		b.table.add(row{what: "CPU-seconds per 1,000 records, " + family.name + " bodies", against: "bare net/http loop", digits: 3,
			reference: bare.CPU.Seconds() / per, ours: ours.CPU.Seconds() / per, ofRatio: true, goal: atMost(costGoal), stretch: atMost(costStretch)})
		b.table.add(row{what: "records per second, " + family.name + " bodies", against: "bare net/http loop",
			reference: float64(n) / bare.Wall.Seconds(), ours: float64(n) / ours.Wall.Seconds()})
		if b.profile != "" && family.name == "openai" {
			if err := b.profileOf(settings, file); err != nil {
				return err
			}
		}
	}
	return b.growth(url)
}

// growth measures whether a record of a large job costs more than one of a small job, with serve and with run. The reference is a loop that
// translates bodies, as a script does.
func (b *bench) growth(url string) error {
	settings := fmt.Sprintf("models:\n- {id: m, family: openai, backends: [{url: %q, model: bench, max_in_flight: %d}]}\n", url, costInFlight)
	var served, ran []float64 // CPU-seconds per 1,000 records
	for _, n := range []int{b.size(10_000, 2_000), b.size(100_000, 10_000)} {
		file, err := b.input(n, 900, openaiBody)
		if err != nil {
			return err
		}
		per := float64(n) / 1000
		script, err := b.measured(0, b.inner("translating", url, file, fmt.Sprint(costInFlight)))
		if err != nil {
			return err
		}
		run, err := b.finished(settings, "m", file)
		if err != nil {
			return err
		}
		serve, err := b.serves(settings, file)
		if err != nil {
			return err
		}
		for _, m := range []struct {
			what string
			cpu  float64
			goal float64
		}{{"run", run.CPU.Seconds(), runGoal}, {"serve", serve.Seconds(), serveGoal}} {
			b.table.add(row{what: fmt.Sprintf("CPU-seconds per 1,000 records, %d records, %s", n, m.what), against: "a loop that translates", digits: 3,
				reference: script.CPU.Seconds() / per, ours: m.cpu / per, ofRatio: true, goal: atMost(m.goal)})
		}
		ran, served = append(ran, run.CPU.Seconds()/per), append(served, serve.Seconds()/per)
	}
	for what, of := range map[string][]float64{"run": ran, "serve": served} {
		b.table.add(row{what: "CPU of a record of a large job, " + what, against: "of a job a tenth as large", digits: 3, reference: of[0], ours: of[1], ofRatio: true, goal: atMost(1.1)})
	}
	return nil
}

// serves returns the CPU time that a server uses for one job, from its creation to its end.
func (b *bench) serves(settings, file string) (time.Duration, error) {
	s, err := b.serve(settings)
	if err != nil {
		return 0, err
	}
	defer s.end()
	if err := s.upload("in/a.jsonl", file); err != nil {
		return 0, err
	}
	before, err := s.child.cpu()
	if err != nil {
		return 0, err
	}
	arn, err := s.create(s.client(0), "cost", "in/a.jsonl")
	if err != nil {
		return 0, err
	}
	if _, err := s.ended(arn, 100*time.Millisecond, 30*time.Minute); err != nil { // rarely, since each Get costs the server CPU time
		return 0, err
	}
	after, err := s.child.cpu()
	return after - before, err
}

// costInFlight is the number of requests in flight in cost and in its floors.
const costInFlight = 64

// Goals of growth: ratios to the loop that translates.
const (
	runGoal   = 1.1
	serveGoal = 1.3
)

// Goals of cost: 0.15 and 0.10 CPU-seconds on a machine on which the plain loop takes 0.055, as ratios, which hold on other machines too.
const (
	costGoal    = 2.7
	costStretch = 1.8
)

// profileOf runs the job again within this program, with profiles.
func (b *bench) profileOf(settings, file string) error {
	cmd, err := b.job(settings, "m", file)
	if err != nil {
		return err
	}
	defer os.RemoveAll(outputOf(cmd))
	inside := b.role("profiled", append([]string{b.profile}, cmd.Args[1:]...)...)
	if out, err := inside.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// profiled is a role: it runs the batholith program with a CPU profile to the file args[0], and one of its allocations to a file beside it.
func profiled(args []string) error {
	f, err := os.Create(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	code := cli.Main(args[1:])
	pprof.StopCPUProfile()
	heap, err := os.Create(args[0] + ".allocs")
	if err != nil {
		return err
	}
	defer heap.Close()
	if err := pprof.Lookup("allocs").WriteTo(heap, 0); err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("the job ended with code %d", code)
	}
	return nil
}
