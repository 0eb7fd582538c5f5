package limit

import (
	"math"
	"time"

	"github.com/batholith/batholith"
)

// waiting finds the limit of a server whose gauges tell how many requests run and how many wait, ours and those of others:
//
//	slots = what runs while a queue stands
//	queue = max(round(0.09 × slots), 1)
//	want  = ours + (slots - running) + (queue - waiting)
//
// and the limit moves towards want: at once when that is far, by a quarter of the way at each reading when it is near. While nothing waits
// and slots are not known, the limit doubles whenever it is reached.
type waiting struct {
	limit     int
	fine      float64 // the limit before it is rounded
	slots     int     // 0: not known yet
	sure      bool    // a queue stood while so many ran: that they are all was seen, and not only remembered
	published bool    // slots are what the server says
	reads     bool    // there are gauges
	last      batholith.Gauges
	stalled   int           // readings in a row with a queue and no more running than before it
	hungry    int           // readings in a row in which all that was sent ran: there may be more slots
	best      float64       // most answers a second while slots were not known,
	pace      float64       // and before the limit was last doubled
	peak      int           // most running in them
	changed   time.Time     // when a reading was last another than the one before,
	gap       time.Duration // the longest time between two of those
	fall      fall
	lied      bool // at the last reading
}

// fall is a decrease of the limit because requests wait.
type fall struct {
	limit   float64 // the highest of late
	flying  int     // in flight when it began
	waiting int     // at the server then
	alien   int     // readings in which more waited than are ours
}

// inVain takes a reading and tells whether the requests that wait are not ours, so that sending less does not shorten the queue:
//
//	waiting > 1.25 × in flight + 4, in two readings; or
//	in flight fell by half (8 at least), and waiting fell by less than half of that
//
// If the queue grows meanwhile, the server has changed, and the comparison begins anew.
func (f *fall) inVain(g batholith.Gauges, s standing, falling bool) bool {
	f.limit = max(f.limit*255/256, float64(s.limit))
	if falling && g.Waiting > s.flying+s.flying/4+4 {
		f.alien++
	} else if !falling {
		f.alien = 0
	}
	if f.alien >= 2 {
		return true
	}
	less := f.flying - s.flying
	if less < 0 || g.Waiting < f.waiting-less/2 || g.Waiting > f.waiting+less/2+2 {
		f.flying, f.waiting = s.flying, g.Waiting
		return false
	}
	return falling && less >= max(8, f.flying/2)
}

// queueShare is the queue for each slot. It keeps the slots busy while answers travel.
const queueShare = 0.09

// publishedShare is the same for a server that publishes its slots and has no gauges.
const publishedShare = 0.25

func (w *waiting) publish(slots int) {
	if w.published && w.slots == slots {
		return
	}
	w.published, w.slots = true, slots
	w.limit = min(slots+w.queue(), Last)
}

// blind goes back to what is published.
func (w *waiting) blind() {
	w.reads = false
	w.set(float64(w.slots + w.queue()))
}

func (w *waiting) resume(limit int) {
	w.limit = limit
	w.slots = limit
}

// queue is how many should wait.
func (w *waiting) queue() int {
	if w.published && !w.reads {
		return (w.slots + 3) / 4
	}
	return max(int(math.Round(queueShare*float64(w.slots))), 1)
}

// longestGap bounds what is believed of gauges that are renewed seldom.
const longestGap = 15 * time.Second

// stale is for how long readings that stay what they are count as one that was not renewed.
const stale = time.Second

// standing is how a lane stands at the time of a reading.
type standing struct {
	now     time.Time
	limit   int
	held    int     // slots that are taken
	resting int     // of them, those that rest after a refusal
	flying  int     // of them, those with a request in flight
	pace    float64 // answers a second since the last reading
}

// renewed tells whether a reading says something new. Some gauges are renewed more seldom than they are read. A reading that stays the same counts
// after 1 s, and after 1.5 × the longest time that passed between two different readings.
func (w *waiting) renewed(g batholith.Gauges, s standing) bool {
	if !w.reads || g != w.last {
		if w.reads {
			w.gap = max(w.gap*31/32, min(s.now.Sub(w.changed), longestGap))
		}
		w.changed = s.now
		return true
	}
	if 2*s.flying <= s.held && g.Waiting == 0 {
		return true
	}
	return s.now.Sub(w.changed) >= max(stale, w.gap*3/2)
}

// read takes a reading.
func (w *waiting) read(g batholith.Gauges, s standing) {
	if !w.renewed(g, s) {
		return
	}
	last, limit, held := w.last, s.limit, s.held
	full := held >= limit
	w.last, w.reads = g, true
	more := g.Running - w.slots
	rising := g.Running > last.Running+last.Running/50
	w.learn(g, rising)
	if w.slots == 0 {
		w.best = max(w.best, s.pace)
		if full && !queued(g) && w.helps(g, s) {
			w.pace = w.best
			w.set(2 * float64(limit))
		}
		if queued(g) && !rising { // more is too much
			w.set(float64(min(limit, max(held, 1))))
		}
		return
	}
	if w.sure && more > w.queue()/2 && full && !queued(g) { // what waited runs as well: there are more slots, and nobody knows how many
		w.set(2 * float64(limit))
		return
	}
	// What is held and not seen at the server is on its way, or waits to be written. When that takes long, more would not help.
	mine := min(held, min(s.resting, s.flying)+s.flying+max(s.flying/4+1, int(s.pace/10)))
	want := mine + w.slots - g.Running + w.queue() - g.Waiting
	w.lied = w.fall.inVain(g, s, want < limit && queued(g))
	if held > limit+1 { // what was cut last is not gone yet: only a queue that grows counts
		if grown := g.Waiting - last.Waiting; grown > w.queue() {
			w.set(float64(limit - grown))
		}
		return
	}
	if want > limit && !full {
		return
	}
	if w.limit != limit || math.Abs(w.fine-float64(limit)) > 1 {
		w.fine = float64(limit)
	}
	if w.hungry++; want <= limit || g.Running < w.slots || queued(g) {
		w.hungry = 0
	}
	gap := float64(want) - w.fine
	if w.hungry > 3 { // whatever is sent runs
		gap = max(gap, math.Min(float64(limit)/64*float64(int(1)<<min(w.hungry-3, 4)), float64(limit)/4))
	}
	if w.hungry < 2 && math.Abs(gap) <= float64(limit)/4+2 { // requests come and go between two readings
		gap /= 4
	}
	w.set(min(w.fine+gap, 2*float64(limit)))
}

// helps tells whether a higher limit may be of use while nothing waits at the server: at least half of what is in flight runs there, or the last
// doubling brought 1.2 times as many answers. Otherwise this process or the network is the bottleneck.
func (w *waiting) helps(g batholith.Gauges, s standing) bool {
	return 2*g.Running >= s.flying || s.pace > 1.2*w.pace
}

// queued tells whether more wait than those that have just come, for the next step.
func queued(g batholith.Gauges) bool { return g.Waiting*20 > g.Running }

// most is the highest limit.
func (w *waiting) most() int {
	if w.published {
		return min(Last, int(math.Ceil(float64(w.slots)*(1+publishedShare))))
	}
	return Last
}

// set keeps a limit within its bounds.
func (w *waiting) set(limit float64) {
	w.fine = min(max(limit, 1), float64(w.most()))
	w.limit = int(math.Round(w.fine))
}

// learn updates the number of slots: at least what runs, and at most what runs while a queue stands. Requests that have just arrived wait for the
// next step and for their prompts to be read, so a queue counts only at the second reading in which running does not rise.
func (w *waiting) learn(g batholith.Gauges, rising bool) {
	if w.published {
		return
	}
	if w.slots > 0 && g.Running > w.slots {
		w.slots = g.Running
	}
	if !queued(g) || rising {
		w.stalled, w.peak = 0, 0
		return
	}
	w.stalled++
	w.peak = max(w.peak, g.Running)
	if w.stalled >= 2 && w.peak > 0 {
		w.sure = true
		if w.slots == 0 || w.peak < w.slots {
			w.slots = w.peak
		}
	}
	if w.stalled >= 4 {
		w.stalled, w.peak = 1, g.Running
	}
}
