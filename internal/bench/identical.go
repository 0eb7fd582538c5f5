package main

import (
	"fmt"
	"os"

	"github.com/batholith/batholith/internal/simlm"
)

// identical counts the requests for a file with repeated records and the setting reuse: identical. Each body occurs four times, far apart,
// so that a quarter of the requests is enough.
func identical(b *bench) error {
	w, err := newWitness(simlm.Options{Latency: 1})
	if err != nil {
		return err
	}
	defer w.close()
	n := b.size(20_000, 4_000)
	distinct := n / 4
	path := b.unique("identical") + ".jsonl"
	defer os.Remove(path)
	err = write(path, n, func(i int) string {
		return fmt.Sprintf(`{"messages":[{"role":"user","content":"same|%d"}],"max_tokens":8,"temperature":0}`, i%distinct)
	})
	if err != nil {
		return err
	}
	_, err = b.finished(fmt.Sprintf("reuse: identical\nmodels:\n- {id: m, family: openai, backends: [{url: %q, model: bench, max_in_flight: 32}]}\n", w.url), "m", path)
	if err != nil {
		return err
	}
	asked, _ := w.counts("same")
	b.table.add(row{what: fmt.Sprintf("requests for %d records, reuse: identical", n), against: "different records", reference: float64(distinct), ours: float64(asked),
		ofRatio: true, goal: atMost(1.001), stretch: atMost(1)})
	return nil
}
