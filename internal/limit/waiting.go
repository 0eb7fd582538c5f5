package limit

import (
	"math"
	"time"

	"github.com/batholith/batholith"
)

// waiting finds the limit of a server whose gauges show how many requests run and how many wait, of all its clients:
//
//	slots = running requests while others wait
//	queue = max(round(0.09 × slots), 1)
//	want  = our requests in flight + (slots - running) + (queue - waiting)
//
// The limit moves towards want: at once if want is far, and by a quarter of the way at each reading if it is near. Until a queue has been
// seen, the slots are unknown and the limit doubles whenever it is reached.
type waiting struct {
	limit     int
	fine      float64 // the limit before rounding
	slots     int     // 0: not known yet
	sure      bool    // a queue was seen, so that slots is measured and not the number of an earlier process
	published bool    // slots is the number that the server publishes
	reads     bool    // the server has gauges
	last      batholith.Gauges
	stalled   int           // readings in a row with a queue, in which running did not rise
	hungry    int           // readings in a row in which every request ran: there may be more slots
	best      float64       // most answers per second while slots are unknown
	pace      float64       // the same before the limit was last doubled
	peak      int           // most running requests in the stalled readings
	changed   time.Time     // when a reading last differed from the one before
	gap       time.Duration // longest time between two different readings
	blocked   time.Time     // since when much less is seen at the server than is in flight, and nothing waits; zero: it is not so
	fall      fall
	lied      bool // the last reading was found wrong (see fall)
}

// fall is a decrease of the limit because requests wait. It shows whether the decrease shortens the queue.
type fall struct {
	limit   float64 // highest limit of late
	flying  int     // requests in flight at its start
	running int     // running requests at its start
	waiting int     // waiting requests at its start
	alien   int     // readings in which more requests waited than we have in flight
}

// inVain takes in a reading, and reports whether the waiting requests are not ours, so that a lower limit does not shorten the queue:
//
//	waiting > 1.25 × in flight + 4, in two readings; or
//	in flight fell by half (at least 8), and waiting fell by less than half of that
//
// A server that has lost slots is another matter: its queue stays as long as what runs ends. That is so if running + waiting fell by 3/4 of what
// in flight fell by, and is at most 2 more than is in flight. If the queue grows meanwhile, the server has changed, and the comparison starts again.
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
		f.flying, f.running, f.waiting = s.flying, g.Running, g.Waiting
		return false
	}
	seen := g.Running + g.Waiting
	lost := 4*(f.running+f.waiting-seen) >= 3*less && seen <= s.flying+2
	return falling && less >= max(8, f.flying/2) && !lost
}

// queueShare is the queue at the server, per slot. It keeps the slots busy while answers and new requests travel.
const queueShare = 0.09

// publishedShare is the queue per slot of a server that publishes its slots and has no gauges.
const publishedShare = 0.25

// publish takes in the slots that the server publishes.
func (w *waiting) publish(slots int) {
	if w.published && w.slots == slots {
		return
	}
	w.published, w.slots = true, slots
	w.limit = min(slots+w.queue(), Last)
}

// blind returns to the published slots, because the server has no gauges any more.
func (w *waiting) blind() {
	w.reads = false
	w.set(float64(w.slots + w.queue()))
}

// resume starts with a stored limit, as a first estimate of the slots.
func (w *waiting) resume(limit int) {
	w.limit = limit
	w.slots = limit
}

// queue is the number of requests that should wait at the server.
func (w *waiting) queue() int {
	if w.published && !w.reads {
		return (w.slots + 3) / 4
	}
	return max(int(math.Round(queueShare*float64(w.slots))), 1)
}

// longestGap bounds the time that gauges may take to be updated.
const longestGap = 15 * time.Second

// longestBlock is for how long less than half of what is in flight may be seen at the server while nothing waits there. Then goodput is to tell
// whether the gauges are those of one replica of several.
const longestBlock = 3 * time.Second

// stale is the time after which an unchanged reading counts as a new one.
const stale = time.Second

// standing is the state of a limiter at the time of a reading.
type standing struct {
	now     time.Time
	limit   int
	held    int     // slots taken
	kept    int     // slots of the limit that are kept free for interactive calls
	resting int     // of these, slots that stay empty after a refusal
	mine    int     // of these, the ones that may be seen at the server, see seen
	flying  int     // of these, slots with a request in flight
	pace    float64 // requests that ended per second since the last reading
}

// seen is how many of the slots may be seen at the server. Of the others, the requests travel, or their outcomes wait for the journal; more of
// them would not help.
func seen(held, resting, flying int, pace float64) int {
	return min(held, min(resting, flying)+flying+max(flying/4+1, int(pace/10)))
}

// full reports whether every slot is taken that is not kept free.
func (s standing) full() bool { return s.held >= s.limit-s.kept }

// renewed reports whether a reading has new information. Some servers update their gauges more rarely than they are read. An unchanged
// reading counts after 1 s, and after 1.5 × the longest time between two different readings.
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

// read takes in a reading, and moves the limit.
func (w *waiting) read(g batholith.Gauges, s standing) {
	if !w.renewed(g, s) {
		return
	}
	last := w.last
	w.last, w.reads = g, true
	outgrown := w.outgrown(g, s.full())
	rising := g.Running > last.Running+last.Running/50
	w.learn(g, rising, s.kept > 0)
	switch {
	case w.slots == 0:
		w.seek(g, s, rising)
	case outgrown:
		w.set(2 * float64(s.limit))
	default:
		w.steer(g, s, last)
	}
}

// seek moves the limit while the slots are unknown: it doubles as long as that helps, until a queue stands.
func (w *waiting) seek(g batholith.Gauges, s standing, rising bool) {
	w.best = max(w.best, s.pace)
	switch {
	case s.full() && !queued(g) && w.helps(g, s):
		w.blocked, w.pace = time.Time{}, w.best
		w.set(2 * float64(s.limit))
	case !s.full() || queued(g) || g.Running == 0: // through with everything at once: the server is not the bottleneck
		w.blocked = time.Time{}
	case w.blocked.IsZero():
		w.blocked = s.now
	}
	w.lied = !w.blocked.IsZero() && s.now.Sub(w.blocked) >= longestBlock
	if queued(g) && !rising { // a queue stands: do not go higher
		w.set(float64(min(s.limit, max(s.held, 1))))
	}
}

// steer moves the limit towards want (see waiting). last is the reading before.
func (w *waiting) steer(g batholith.Gauges, s standing, last batholith.Gauges) {
	limit, held := s.limit, s.held
	want := s.mine + w.slots - g.Running + w.queue() - g.Waiting
	w.lied = w.fall.inVain(g, s, want < limit && queued(g))
	if held > limit+1 { // requests above the last decrease are still in flight: react only to a queue that grows
		if grown := g.Waiting - last.Waiting; grown > w.queue() {
			w.set(float64(limit - grown))
		}
		return
	}
	if want > limit && !s.full() {
		return
	}
	if w.limit != limit || math.Abs(w.fine-float64(limit)) > 1 {
		w.fine = float64(limit)
	}
	if w.hungry++; want <= limit || g.Running < w.slots || queued(g) {
		w.hungry = 0
	}
	gap := float64(want) - w.fine
	if w.hungry > 3 { // every request runs at once
		gap = max(gap, math.Min(float64(limit)/64*float64(int(1)<<min(w.hungry-3, 4)), float64(limit)/4))
	}
	if w.hungry < 2 && math.Abs(gap) <= float64(limit)/4+2 { // small differences come from requests that start and end between two readings
		gap /= 4
	}
	w.set(min(w.fine+gap, 2*float64(limit)))
}

// outgrown reports whether a reading shows that there are more slots than before, an unknown number: the limit is reached (full), and the former
// queue runs too.
func (w *waiting) outgrown(g batholith.Gauges, full bool) bool {
	return w.sure && full && g.Running-w.slots > w.queue()/2 && !queued(g)
}

// shrunk reports whether a reading shows that a quarter of the slots is gone, so that more waits than the queue and twice the requests above the
// limit (bonus) explain.
func (w *waiting) shrunk(g batholith.Gauges, bonus int) bool {
	return w.sure && g.Running*4 < w.slots*3 && g.Waiting > w.queue()+2*bonus
}

// helps reports whether a higher limit may help while nothing waits at the server: at least half of the requests in flight run there, or
// the last doubling brought 1.2 times as many answers per second. Otherwise this process or the network is the bottleneck.
func (w *waiting) helps(g batholith.Gauges, s standing) bool {
	return 2*g.Running >= s.flying || s.pace > 1.2*w.pace
}

// queued reports whether a queue stands: more requests wait than have just arrived for the server's next step (waiting > running / 20).
func queued(g batholith.Gauges) bool { return g.Waiting*20 > g.Running }

// most is the highest limit.
func (w *waiting) most() int {
	if w.published {
		return min(Last, int(math.Ceil(float64(w.slots)*(1+publishedShare))))
	}
	return Last
}

// set sets the limit, within 1 and most.
func (w *waiting) set(limit float64) {
	w.fine = min(max(limit, 1), float64(w.most()))
	w.limit = int(math.Round(w.fine))
}

// learn updates the number of slots: at least the running requests, and at most the running requests while a queue stands. New requests
// wait for the server's next step and for the reading of their prompts. So a queue counts only at its second reading in which running does
// not rise. While slots are kept for interactive calls, less is in flight than there are slots, so that two such readings may be chance: a
// queue counts at the fourth.
func (w *waiting) learn(g batholith.Gauges, rising, kept bool) {
	if w.published && g.Running <= w.slots {
		return
	}
	w.published = false
	if w.slots > 0 && g.Running > w.slots {
		w.slots = g.Running
	}
	if !queued(g) || rising {
		w.stalled, w.peak = 0, 0
		return
	}
	w.stalled++
	w.peak = max(w.peak, g.Running)
	if enough := w.stalled >= 4 || !kept && w.stalled >= 2; enough && w.peak > 0 {
		w.sure = true
		if w.slots == 0 || w.peak < w.slots {
			w.slots = w.peak
		}
	}
	if w.stalled >= 4 {
		w.stalled, w.peak = 1, g.Running
	}
}
