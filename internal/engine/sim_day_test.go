package engine

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/simlm"
)

// A day of an operator: while jobs arrive, models and their options change, servers are drained and resumed, jobs are paused and resumed, and the
// process is stopped or killed now and then. Each record is answered once, nothing is repeated beyond what was in flight at a kill, and
// nothing is left behind.
func TestADayOfChangesKeepsTheLaws(t *testing.T) {
	simulate(t, 1, simSetup{models: 2, calm: true, failures: &simlm.Failures{}}, func(s *simulation) {
		w := s.worker("w")
		w.start()
		synctest.Wait()
		var jobs []*simJob
		today := []func(){
			func() { jobs = append(jobs, s.create("m0", 48*time.Hour, 150, 40)) },
			func() { jobs = append(jobs, s.create("m1", 48*time.Hour, 200)) },
			func() { w.reload(func(o *ModelOptions) { o.Served = o.Served[:1] }) },
			func() { // another timeout and limit: a changed backend
				w.reload(func(o *ModelOptions) {
					for i := range o.Served {
						o.Served[i].Backends[0].Timeout, o.Served[i].Backends[0].MaxInFlight = time.Minute+s.some(time.Minute), 1+s.plan.IntN(simInFlight)
					}
				})
			},
			func() { w.reload(func(*ModelOptions) {}) },
			func() { s.must(w.p.engine.DrainBackend(s.t.Context(), "http://m0/v1", "admin")) },
			func() { s.must(w.p.engine.ResumeBackend(s.t.Context(), "http://m0/v1")) },
			func() { s.must(w.p.engine.DrainBackend(s.t.Context(), "http://m1/v1", "admin")) },
			func() { s.must(w.p.engine.ResumeBackend(s.t.Context(), "http://m1/v1")) },
			func() { s.pauseSome(jobs, true) },
			func() { s.pauseSome(jobs, false) },
		}
		for range 24 { // an hour each
			today[s.plan.IntN(len(today))]()
			if s.plan.IntN(12) == 0 {
				w.leave()
				w.start()
			}
			time.Sleep(s.some(20 * time.Second)) // the next change comes while something is in flight
			today[s.plan.IntN(len(today))]()
			time.Sleep(time.Hour - s.some(time.Minute))
		}
		w.reload(func(*ModelOptions) {})
		for _, model := range []string{"http://m0/v1", "http://m1/v1"} {
			s.must(w.p.engine.ResumeBackend(s.t.Context(), model))
		}
		for _, j := range jobs {
			if err := s.db.ResumeJob(s.t.Context(), s.find(j).Account, j.id); err != nil && !s.find(j).Status.Terminal() {
				s.t.Error(err)
			}
		}
		time.Sleep(2*time.Hour + longEnough)
		synctest.Wait()
		for _, j := range jobs {
			s.check(j, batholith.StatusCompleted)
		}
		w.stop()
		s.checkTraces(w)
		s.checkRepeats()
	})
}

// reload makes the present process use other models than those of the simulation.
func (w *worker) reload(change func(o *ModelOptions)) {
	w.s.t.Helper()
	o := w.s.modelOptions(w.p)
	slices.SortFunc(o.Served, func(a, b Served) int { return len(a.ID)*1000 + int(a.ID[1]) - len(b.ID)*1000 - int(b.ID[1]) })
	change(&o)
	apply, err := w.p.engine.Plan(Settings{Models: o, Limits: batholith.DefaultLimits()})
	if err == nil {
		err = apply()
	}
	w.s.must(err)
}

// pauseSome pauses or resumes a job of the day.
func (s *simulation) pauseSome(jobs []*simJob, pause bool) {
	s.t.Helper()
	if len(jobs) == 0 {
		return
	}
	j := jobs[s.plan.IntN(len(jobs))]
	account := s.find(j).Account
	change := s.db.ResumeJob
	if pause {
		change = func(ctx context.Context, account, id string) error {
			return s.db.PauseJob(ctx, account, id, "for a test")
		}
	}
	if err := change(s.t.Context(), account, j.id); err != nil && !s.find(j).Status.Terminal() {
		s.t.Error(err)
	}
}

func (s *simulation) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Error(err)
	}
}
