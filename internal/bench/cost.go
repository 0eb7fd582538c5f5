package main

import (
	"fmt"
	"os"
	"runtime/pprof"

	"github.com/batholith/batholith/internal/cli"
)

// cost is what a record costs beside its model: a job over a model server that answers at once, next to a bare loop on net/http that
// neither translates nor keeps anything. Prompts have 900 bytes, and 64 requests are in flight.
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
	return nil
}

const costInFlight = 64

// What is asked is 0.15 and 0.10 CPU-seconds on a machine on which the bare loop takes 0.055: as ratios, since those hold on others.
const (
	costGoal    = 2.7
	costStretch = 1.8
)

// profileOf runs the job once more, within this program and with a profile.
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

// profiled is the program itself, with a CPU profile to a file, and one of its allocations beside it.
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
