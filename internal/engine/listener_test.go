package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/simlm"
)

// heard keeps what a listener is told of one job, in order.
type heard struct {
	moves     []batholith.Moved
	commits   []batholith.Committed
	merges    []batholith.Merged
	published []batholith.Published
	order     []string // the kinds, each run of the same kind once
}

func (s *simulation) listen(h *heard) {
	note := func(kind string, keep func()) {
		s.count(func() {
			keep()
			if n := len(h.order); n == 0 || h.order[n-1] != kind {
				h.order = append(h.order, kind)
			}
		})
	}
	s.listener = batholith.Listener{
		Moved:     func(e batholith.Moved) { note(string(e.To), func() { h.moves = append(h.moves, e) }) },
		Committed: func(e batholith.Committed) { note("committed", func() { h.commits = append(h.commits, e) }) },
		Merged:    func(e batholith.Merged) { note("merged", func() { h.merges = append(h.merges, e) }) },
		Published: func(e batholith.Published) { note("published", func() { h.published = append(h.published, e) }) },
	}
}

func TestAListenerHearsAJobFromItsStartToItsEnd(t *testing.T) {
	simulate(t, 1, simSetup{calm: true, failures: &simlm.Failures{}}, func(s *simulation) {
		var h heard
		s.listen(&h)
		j := s.create("m0", 24*time.Hour, 2000, 1000)
		w := s.worker("w")
		w.start()
		time.Sleep(longEnough)
		synctest.Wait()
		s.check(j, batholith.StatusCompleted)
		w.stop()
		job, err := s.db.Find(s.t.Context(), j.id)
		if err != nil {
			s.t.Fatal(err)
		}
		h.checkMoves(s.t, job)
		h.checkWork(s.t, job)
		s.t.Log(h.order)
	})
}

// checkMoves: one move for each status, in order, and everything else between them.
func (h *heard) checkMoves(t *testing.T, job batholith.Job) {
	t.Helper()
	want := []batholith.Status{batholith.StatusSubmitted, batholith.StatusValidating, batholith.StatusScheduled, batholith.StatusInProgress, batholith.StatusCompleted}
	if len(h.moves) != len(want)-1 {
		t.Fatalf("moves %+v", h.moves)
	}
	for i, m := range h.moves {
		if m.Job != job.ID || m.From != want[i] || m.To != want[i+1] || m.At.IsZero() {
			t.Errorf("move %d is %+v, want %s to %s", i, m, want[i], want[i+1])
		}
	}
	if n := len(h.order); n < 6 || h.order[2] != string(batholith.StatusInProgress) || h.order[n-2] != "published" || h.order[n-1] != string(batholith.StatusCompleted) {
		t.Errorf("order %v", h.order)
	}
}

// checkWork: the commits add up to the job's counters, and the output is published in part and then as a whole.
func (h *heard) checkWork(t *testing.T, job batholith.Job) {
	t.Helper()
	var counts batholith.Counts
	var tokens batholith.Tokens
	for _, c := range h.commits {
		if c.Job != job.ID || c.Segment.Records != c.Counts.Processed {
			t.Errorf("commit %+v", c)
		}
		counts, tokens = counts.Add(c.Counts), tokens.Add(c.Tokens)
	}
	counts.Total = job.Counts.Total
	if counts != job.Counts || tokens != job.Tokens {
		t.Errorf("%d commits add up to %+v, %+v; the job has %+v, %+v", len(h.commits), counts, tokens, job.Counts, job.Tokens)
	}
	for _, m := range h.merges {
		if m.Job != job.ID || m.Segments < 2 || m.Records == 0 || m.Bytes == 0 {
			t.Errorf("merge %+v", m)
		}
	}
	if len(h.merges) == 0 {
		t.Error("no merge was told")
	}
	last := len(h.published) - 1
	if last < 1 {
		t.Fatalf("publications %+v", h.published)
	}
	for i, p := range h.published {
		if p.Job != job.ID || p.Final != (i == last) || p.Files < 1 || p.Final && p.Files != 2 || p.Bytes == 0 || i > 0 && p.Epoch <= h.published[i-1].Epoch {
			t.Errorf("publication %d of %d is %+v", i, last+1, p)
		}
	}
}
