package dispatch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/batholith/batholith"
)

// outlook is what is expected of a job: when it will begin and end if everything stays as it is. It is guarded by queue.mu.
type outlook struct {
	begin, end time.Time // zero while nothing is known
	late       bool      // end is after the job's time is over
	tight      bool      // or nearly so
	urgent     bool      // it goes first, which saves it
	lateSince  time.Time
	warned     bool // its owner was told that it will be late
}

const (
	lookEvery = time.Second
	warnAfter = 30 * time.Second // late for so long without being saved
	margin    = 1.05             // what a job is believed to need, over what is reckoned
	leastTime = 30 * time.Second // and the time that it should have left in the end
)

// look reckons the outlook of every job anew, at most once a second. The caller holds mu.
func (q *queue) look(now time.Time) {
	if now.Sub(q.looked) < lookEvery {
		return
	}
	q.looked = now
	q.overdue(now)
	rate := q.rate.rate
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

// seconds is a time that may be longer than a Duration can be.
func seconds(s float64) time.Duration {
	const most = 100 * 365 * 24 * 3600
	return time.Duration(min(s, most) * float64(time.Second))
}

// save makes those jobs urgent that would be late and are in time if they go first, the nearest end first.
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

// urgent is the job among those that can whose time ends first, of those that must go first; or nil.
func (q *queue) urgent(can func(*feed) bool) (first *feed) {
	for _, f := range q.feeds {
		if f.outlook.urgent && (first == nil || f.job.Expires.Before(first.job.Expires)) && can(f) {
			first = f
		}
	}
	return first
}

// warn tells the owners of jobs that will be late, and takes it back when they will not.
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
			message = fmt.Sprintf("At the present rate the job will end about %s, after its time is over at %s. What is done by then is kept.",
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

// Forecast says what is expected of a job. It is not ok for one that is not here.
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
