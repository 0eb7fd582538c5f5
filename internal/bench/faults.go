package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/batholith/batholith/internal/simlm"
)

// faults counts lost and repeated records: of a job whose process is killed in the middle and started again, and of one with 7 % of prompts
// that fail at first.
func faults(b *bench) error {
	if err := killed(b); err != nil {
		return err
	}
	return failing(b)
}

// manifest is the part of a manifest that is checked.
type manifest struct{ TotalRecordCount, SuccessRecordCount, ErrorRecordCount int }

// manifestOf reads the manifest of the only job in an output folder.
func manifestOf(output string) (m manifest, err error) {
	found, err := filepath.Glob(filepath.Join(output, "*", "manifest.json.out"))
	if err != nil || len(found) != 1 {
		return m, fmt.Errorf("in %s are %d manifests (%v)", output, len(found), err)
	}
	text, err := os.ReadFile(found[0])
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	return m, err
}

// killed kills a run in the middle, runs it again, and counts records without an answer and repeated requests.
func killed(b *bench) error {
	w, err := newWitness(simlm.Options{Latency: 100 * time.Millisecond, Slots: 64})
	if err != nil {
		return err
	}
	defer w.close()
	n := b.size(4_000, 2_000)
	path := b.unique("killed") + ".jsonl"
	if err := write(path, n, func(i int) string { return fmt.Sprintf(openaiBody, fmt.Sprintf("kill|%d", i)) }); err != nil {
		return err
	}
	cmd, err := b.job(fmt.Sprintf("models:\n- {id: m, family: openai, backends: [{url: %q, model: bench, max_in_flight: 64}]}\n", w.url), "m", path)
	if err != nil {
		return err
	}
	again := *cmd
	c, err := b.start(cmd)
	if err != nil {
		return err
	}
	if err := until("the job is half done", often, time.Minute, func() (bool, error) { _, done := w.counts("kill"); return done >= n/2, nil }); err != nil {
		return err
	}
	c.kill()
	before, _ := w.counts("kill")
	if _, err := b.measured(0, &again); err != nil {
		return err
	}
	m, err := manifestOf(outputOf(cmd))
	if err != nil {
		return err
	}
	asked, _ := w.counts("kill")
	b.table.add(row{what: "kill -9 in the middle: records without an answer", against: "records", reference: float64(n), ours: float64(n - m.SuccessRecordCount), goal: atMost(0)})
	b.table.add(row{what: fmt.Sprintf("kill -9 in the middle, %d requests sent: asked again", before), against: "in flight at most", reference: float64(w.most), ours: float64(asked - n),
		ofRatio: true, goal: atMost(1)})
	return nil
}

// failing runs a job on a server that fails 7 % of the prompts twice, and counts error lines.
func failing(b *bench) error {
	s, err := b.simulate("--slots", "64", "--step", "5ms", "--output-tokens", "8", "--fail-times", "2",
		"--fail", "internal=0.02,unavailable=0.01,rate_limit=0.01,reset=0.015,nonsense=0.015")
	if err != nil {
		return err
	}
	defer s.child.end()
	file, err := b.input(b.size(2_000, 1_000), 100, openaiBody)
	if err != nil {
		return err
	}
	cmd, err := b.job(fmt.Sprintf("models:\n- {id: m, family: openai, backends: [{url: %q, model: bench}]}\n", s.url()), "m", file)
	if err != nil {
		return err
	}
	if _, err := b.measured(0, cmd); err != nil {
		return err
	}
	m, err := manifestOf(outputOf(cmd))
	if err != nil {
		return err
	}
	b.table.add(row{what: "7 % of the prompts fail twice (500, 503, 429, resets, nonsense): error lines", against: "records", reference: float64(m.TotalRecordCount),
		ours: float64(m.ErrorRecordCount), goal: atMost(0)})
	return nil
}
