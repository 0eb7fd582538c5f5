package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/batholith/batholith/internal/simlm"
)

// first measures the time from the creation of a job to its first request at the model, through the API of a server, and the overhead of a
// small job. Its ideal time is that of the model: 100 records of 20 ms on 64 slots take two rounds of the slots, 40 ms.
func first(b *bench) error {
	const latency, slots, records = 20 * time.Millisecond, 64, 100
	w, err := newWitness(simlm.Options{Latency: latency, Slots: slots})
	if err != nil {
		return err
	}
	defer w.close()
	s, err := b.serve(fmt.Sprintf("models:\n- {id: m, family: openai, backends: [{url: %q, model: bench}]}\n", w.url))
	if err != nil {
		return err
	}
	defer s.end()
	ideal := latency * ((records + slots - 1) / slots)
	var starts, beyond []float64
	c := s.client(0)
	for i := range b.size(30, 10) {
		name := fmt.Sprintf("job-%d", i)
		path := b.unique("small")
		if err := write(path, records, func(n int) string { return fmt.Sprintf(openaiBody, fmt.Sprintf("%s|record %d", name, n)) }); err != nil {
			return err
		}
		if err := s.upload("in/"+name+".jsonl", path); err != nil {
			return err
		}
		os.Remove(path)
		began := time.Now()
		arn, err := s.create(c, name, "in/"+name+".jsonl")
		if err != nil {
			return err
		}
		if _, err := s.ended(arn, often, time.Minute); err != nil {
			return err
		}
		beyond = append(beyond, (time.Since(began) - ideal).Seconds())
		starts = append(starts, w.firstOf(name).Sub(began).Seconds()*1000)
	}
	b.table.add(row{what: "submit → first model request, ms, p50", reference: none, ours: quantile(starts, 0.5), digits: 1, goal: atMost(200), stretch: atMost(50)})
	b.table.add(row{what: "submit → first model request, ms, p95", reference: none, ours: quantile(starts, 0.95), digits: 1, goal: atMost(200), stretch: atMost(50)})
	b.table.add(row{what: "100-record job, seconds beyond the model's own, p50", against: "the model's own", digits: 3, reference: ideal.Seconds(),
		ours: quantile(beyond, 0.5), goal: atMost(0.5), stretch: atMost(0.2)})
	b.table.add(row{what: "100-record job, seconds beyond the model's own, p95", against: "the model's own", digits: 3, reference: ideal.Seconds(),
		ours: quantile(beyond, 0.95), goal: atMost(0.5), stretch: atMost(0.2)})
	return nil
}

// quantile is the smallest figure that is at least as large as the given share of all figures; NaN for no figures.
func quantile(figures []float64, share float64) float64 {
	if len(figures) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[int(share*float64(len(sorted)-1)+0.5)]
}
