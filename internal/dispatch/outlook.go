package dispatch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/batholith/batholith"
)

// outlook is when a job is expected to begin and end at the present rate. Guarded by queue.mu.
type outlook struct {
	begin, end time.Time // zero while the rate is unknown
	late       bool      // end is after the deadline (job.Expires)
	tight      bool      // end plus a margin is after the deadline
	urgent     bool      // the job goes first, and then meets its deadline
	lateSince  time.Time // latest time at which the job was not late, or urgent
	warned     bool      // the job's note says that it will be late
}

const (
	lookEvery = time.Second      // between two computations
	warnAfter = 30 * time.Second // a job must be late for so long before its note says so
	margin    = 1.05             // factor on the estimated time of a job
	leastTime = 30 * time.Second // time that should be left at the end of a job
)

// look computes the outlook of every job, at most once a second:
//
//	tight: now + expected end × margin + leastTime > deadline
//
// The caller holds mu.
func (q *queue) look(now time.Time) {
	if now.Sub(q.looked) < lookEvery {
		return
	}
	q.looked = now
	q.overdue(now)
	rate := q.rate.rate * q.workers()
	if rate <= 0 {
		return
	}
	loads := make([]load, 0, len(q.feeds))
	for _, f := range q.feeds {
		loads = append(loads, load{tenant: f.tenant.name, priority: f.priority, left: f.left()})
	}
	for i, e := range expect(loads, rate) {
		o := &q.feeds[i].outlook
		o.begin, o.end = now.Add(seconds(e.begin)), now.Add(seconds(e.end))
		if expires := q.feeds[i].job.Expires; !expires.IsZero() {
			o.late = o.end.After(expires)
			o.tight = o.end.Add(leastTime + seconds(e.end*(margin-1))).After(expires)
		}
	}
	q.save(now, rate)
	q.warn(now)
}

// seconds converts seconds to a Duration, with a bound of 100 years.
func seconds(s float64) time.Duration {
	const most = 100 * 365 * 24 * 3600
	return time.Duration(min(s, most) * float64(time.Second))
}

// save marks as urgent the tight jobs that meet their deadlines if they go first, in the order of the deadlines. With the urgent jobs
// before it, a job needs
//
//	tokens left / rate × margin × 10/9
//
// since every tenth record goes to other jobs.
func (q *queue) save(now time.Time, rate float64) {
	tight := []*feed{}
	for _, f := range q.feeds {
		f.outlook.urgent = false
		if f.outlook.tight {
			tight = append(tight, f)
		}
	}
	slices.SortStableFunc(tight, func(a, b *feed) int { return a.job.Expires.Compare(b.job.Expires) })
	needed := 0.0
	for _, f := range tight {
		own := f.left() / rate * margin * othersTurn / (othersTurn - 1)
		if now.Add(seconds(needed + own)).Before(f.job.Expires) {
			f.outlook.urgent = true
			needed += own
		}
	}
}

// urgent returns, among the jobs marked urgent that can accepts, the one with the earliest deadline, or nil.
func (q *queue) urgent(can func(*feed) bool) (first *feed) {
	for _, f := range q.feeds {
		if f.outlook.urgent && (first == nil || f.job.Expires.Before(first.job.Expires)) && can(f) {
			first = f
		}
	}
	return first
}

// warn sets the note of jobs that will be late, and removes it from those that no longer will.
func (q *queue) warn(now time.Time) {
	for _, f := range q.feeds {
		o := &f.outlook
		if !o.late || o.urgent {
			o.lateSince = now
		}
		will := now.Sub(o.lateSince) >= warnAfter
		if will == o.warned || f.told != "" {
			continue
		}
		o.warned = will
		message := ""
		if will {
			message = fmt.Sprintf("At the present rate the job will end about %s, after its timeout at %s. Records finished by the timeout are kept. To speed it up, stop other jobs, raise its priority or add a backend.",
				o.end.UTC().Format(time.RFC3339), f.job.Expires.UTC().Format(time.RFC3339))
		}
		q.d.wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(q.d.send), 10*time.Second)
			defer cancel()
			if err := q.d.o.Store.Note(ctx, f.job.ID, message); err != nil {
				q.d.o.Log.Warn("note on job", "job", f.job.ID, "err", err)
			}
		})
	}
}

// Forecast returns the expected begin and end of a job, and its position among the jobs that have not begun. It returns false for a job
// that is not queued here. Begin and End are zero while the rate is unknown.
func (d *Dispatcher) Forecast(job string) (batholith.Forecast, bool) {
	d.mu.Lock()
	f := d.feeds[job]
	d.mu.Unlock()
	if f == nil {
		return batholith.Forecast{}, false
	}
	q := f.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	o := f.outlook
	fc := batholith.Forecast{Begin: o.begin, End: o.end, Late: o.late && !o.urgent}
	if f.begun.Load() {
		fc.Begin = time.Time{}
		return fc, true
	}
	fc.Position = 1
	for _, g := range q.feeds {
		if g != f && !g.begun.Load() && g.outlook.begin.Before(o.begin) {
			fc.Position++
		}
	}
	if o.begin.IsZero() {
		fc.Position = 1 + slices.Index(slices.DeleteFunc(slices.Clone(q.feeds), func(g *feed) bool { return g.begun.Load() }), f)
	}
	return fc, true
}
