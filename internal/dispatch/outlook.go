package dispatch

import (
	"context"
	"fmt"
	"math"
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
		if will == o.warned || f.noted {
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
	if f.opened {
		fc.Begin = time.Time{}
		return fc, true
	}
	fc.Position = 1
	for _, g := range q.feeds {
		if g != f && !g.opened && g.outlook.begin.Before(o.begin) {
			fc.Position++
		}
	}
	if o.begin.IsZero() {
		fc.Position = 1 + slices.Index(slices.DeleteFunc(slices.Clone(q.feeds), func(g *feed) bool { return g.opened }), f)
	}
	return fc, true
}

// load is a job in a forecast.
type load struct {
	tenant   string
	priority priority
	left     float64 // tokens
}

// expectation is when a job gets its first tokens, and its last, in seconds from now.
type expectation struct{ begin, end float64 }

// expect lets the tokens of all jobs flow as shares divides them, until the last job is done. Loads are in the order in which they came;
// no more is to come, and the rate stays.
func expect(loads []load, rate float64) []expectation {
	out := make([]expectation, len(loads))
	left := make([]float64, len(loads))
	for i, l := range loads {
		left[i] = l.left
		out[i].begin = math.Inf(1)
	}
	speed := make([]float64, len(loads))
	for t := 0.0; ; {
		flow(loads, left, rate, speed)
		step := math.Inf(1)
		for i, s := range speed {
			if s > 0 {
				out[i].begin = min(out[i].begin, t)
				step = min(step, left[i]/s)
			}
		}
		if math.IsInf(step, 1) {
			return out
		}
		t += step
		for i, s := range speed {
			if s > 0 {
				if left[i] -= s * step; left[i] <= 1e-6*loads[i].left {
					left[i], out[i].end = 0, t
				}
			}
		}
	}
}

// flow says how fast each job with something left goes on: alike for each tenant, by weight for each of its lines, and in a line by the
// shares of its two heads.
func flow(loads []load, left []float64, rate float64, speed []float64) {
	type place struct {
		tenant   string
		priority priority
	}
	type pair struct{ first, short int }
	clear(speed)
	heads := map[place]pair{}
	sum := map[string]float64{} // weights of a tenant's lines
	for i, l := range loads {
		if left[i] <= 0 {
			continue
		}
		at := place{l.tenant, l.priority}
		h, ok := heads[at]
		if !ok {
			h = pair{i, i}
			sum[l.tenant] += weights[l.priority]
		} else if left[i] < left[h.short] {
			h.short = i
		}
		heads[at] = h
	}
	for at, h := range heads {
		own := rate / float64(len(sum)) * weights[at.priority] / sum[at.tenant]
		part := own * roleShares[oldest] / (roleShares[oldest] + roleShares[shortest])
		speed[h.first] += part
		speed[h.short] += own - part
	}
}

// meter measures tokens a second while the lanes have work.
type meter struct {
	tokens float64
	since  time.Time // of tokens; zero while nothing is in flight
	rate   float64   // tokens a second; 0 while it is not known
}

const (
	meterEvery = time.Second
	meterOver  = 20 * time.Second // what is older counts less
)

// begin notes that there is work.
func (m *meter) begin(now time.Time) {
	if m.since.IsZero() {
		m.since = now
	}
}

// pause notes that nothing is in flight.
func (m *meter) pause() { m.since, m.tokens = time.Time{}, 0 }

func (m *meter) add(tokens float64, now time.Time) {
	m.begin(now)
	m.tokens += tokens
	passed := now.Sub(m.since)
	if passed < meterEvery {
		return
	}
	seen := m.tokens / passed.Seconds()
	if m.rate == 0 {
		m.rate = seen
	} else {
		m.rate += (seen - m.rate) * (1 - math.Exp(-passed.Seconds()/meterOver.Seconds()))
	}
	m.tokens, m.since = 0, now
}
