package engine

import (
	"slices"
	"strings"
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
	attempts  map[batholith.RecordKey]*attempts
	order     []string // the kinds, each run of the same kind once
}

// attempts are those at one record.
type attempts struct {
	sent, answered, refused, failed int
	tokens                          batholith.Tokens
	wrong                           []batholith.Attempt // events that cannot be
}

// attempt takes in the event of an attempt. An attempt that ends has begun, and no two at one record go on at once.
func (h *heard) attempt(e batholith.Attempt, change func(*attempts)) {
	a := h.attempts[e.Record]
	if a == nil {
		a = &attempts{}
		h.attempts[e.Record] = a
	}
	change(a)
	if open := a.sent - a.answered - a.refused - a.failed; open < 0 || open > 1 || e.Model != "m0" || !strings.Contains(e.Backend, "m0") || e.Number < 1 {
		a.wrong = append(a.wrong, e)
	}
}

func (s *simulation) listen(h *heard) {
	h.attempts = map[batholith.RecordKey]*attempts{}
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
		Sent:      func(e batholith.Attempt) { note("sent", func() { h.attempt(e, func(a *attempts) { a.sent++ }) }) },
		Answered: func(e batholith.Attempt, t batholith.Tokens) {
			note("answered", func() { h.attempt(e, func(a *attempts) { a.answered, a.tokens = a.answered+1, a.tokens.Add(t) }) })
		},
		Refused: func(e batholith.Attempt, _ *batholith.Failure) {
			note("refused", func() { h.attempt(e, func(a *attempts) { a.refused++ }) })
		},
		Failed: func(e batholith.Attempt, _ *batholith.Failure) {
			note("failed", func() { h.attempt(e, func(a *attempts) { a.failed++ }) })
		},
	}
}

// heardOf runs a job with files of so many records to its end, and returns what a listener heard of it.
func (s *simulation) heardOf(files ...int) (*heard, batholith.Job) {
	h := &heard{}
	s.listen(h)
	j := s.create("m0", 24*time.Hour, files...)
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
	return h, job
}

func TestAListenerHearsAJobFromItsStartToItsEnd(t *testing.T) {
	simulate(t, 1, simSetup{calm: true, failures: &simlm.Failures{}}, func(s *simulation) {
		h, job := s.heardOf(4000, 2000)
		h.checkMoves(s.t, job)
		h.checkWork(s.t, job)
		sum := h.checkAttempts(s.t, job)
		if sum.sent != sum.answered || sum.tokens != job.Tokens {
			s.t.Errorf("%+v; the job has %+v", sum, job.Tokens)
		}
	})
}

// The model fails in every way: each attempt ends in one way, and each record in one answer or in an error line.
func TestAListenerHearsHowEachAttemptEnds(t *testing.T) {
	simulate(t, 1, simSetup{calm: true}, func(s *simulation) {
		h, job := s.heardOf(1000)
		sum := h.checkAttempts(s.t, job)
		if sum.refused == 0 || sum.failed == 0 || sum.answered != int(job.Counts.Succeeded) {
			s.t.Errorf("%+v; the job has %+v", sum, job.Counts)
		}
	})
}

// checkAttempts: every attempt has an end, every record had one, and none was sent before the job was accepted. The first may be sent before
// the job begins, as a trial of the backend.
func (h *heard) checkAttempts(t *testing.T, job batholith.Job) (sum attempts) {
	t.Helper()
	for record, a := range h.attempts {
		if len(a.wrong) > 0 || a.sent != a.answered+a.refused+a.failed || a.answered > 1 {
			t.Errorf("record %v: %+v", record, *a)
		}
		sum.sent, sum.answered, sum.refused, sum.failed = sum.sent+a.sent, sum.answered+a.answered, sum.refused+a.refused, sum.failed+a.failed
		sum.tokens = sum.tokens.Add(a.tokens)
	}
	if int64(len(h.attempts)) != job.Counts.Total {
		t.Errorf("%d records of %d were sent", len(h.attempts), job.Counts.Total)
	}
	if accepted, sent := h.first(string(batholith.StatusScheduled)), h.first("sent"); sent < accepted {
		t.Error("a record was sent before the job was accepted")
	}
	return sum
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
	n := len(h.order)
	if h.order[n-2] != "published" || h.order[n-1] != string(batholith.StatusCompleted) || h.first(string(batholith.StatusInProgress)) > h.first("committed") {
		t.Errorf("it begins with %v and ends with %v", h.order[:4], h.order[n-4:])
	}
}

// first is the place of the first event of a kind.
func (h *heard) first(kind string) int { return slices.Index(h.order, kind) }

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
