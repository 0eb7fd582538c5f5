package dispatch

import (
	"math"

	"github.com/batholith/batholith"
)

// waiting is the law for a backend that says how many requests run and how many wait. Its slots are those that run while others wait;
// the limit is what fills them and keeps a short queue behind them, whoever's requests the others are.
type waiting struct {
	limit     int
	fine      float64 // the limit before it is rounded
	slots     int     // 0: not known yet
	published bool    // slots are what the server says
	reads     bool    // there are gauges
	last      batholith.Gauges
	stalled   int // readings in a row with a queue and no more running than before
	peak      int // most running in them
}

// queueShare is how many should wait for each slot. They keep the slots busy while answers travel.
const queueShare = 0.09

// publishedShare is as much for a backend that publishes its slots and has no gauges.
const publishedShare = 0.25

func (w *waiting) publish(slots int) {
	if w.published && w.slots == slots {
		return
	}
	w.published, w.slots = true, slots
	w.limit = min(slots+w.queue(), lastLimit)
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

// read takes a reading, with the slots that are held here, those of them that are in flight, and the limit at the time.
func (w *waiting) read(g batholith.Gauges, held, flying, limit int) {
	if w.reads && g == w.last {
		return // the gauges are renewed more seldom than they are read
	}
	last := w.last
	w.last, w.reads = g, true
	rising := g.Running > last.Running+last.Running/50
	full := held >= limit
	w.learn(g, rising)
	if w.slots == 0 {
		if g.Waiting == 0 && full && !w.published {
			w.limit = min(2*limit, lastLimit)
		}
		return
	}
	// What is held and not seen at the server is on its way, or waits to be written; when nothing is written, more would not help.
	mine := min(held, flying+flying/4+1)
	want := mine + w.slots - g.Running + w.queue() - g.Waiting
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
	gap := float64(want) - w.fine
	if math.Abs(gap) <= float64(limit)/4+2 { // requests come and go between two readings
		gap /= 4
	}
	w.set(min(w.fine+gap, 2*float64(limit)))
}

// set keeps a limit within its bounds.
func (w *waiting) set(limit float64) {
	most := float64(lastLimit)
	if w.published {
		most = min(most, math.Ceil(float64(w.slots)*(1+publishedShare)))
	}
	w.fine = min(max(limit, 1), most)
	w.limit = int(math.Round(w.fine))
}

// learn keeps the number of slots: no fewer than run, and no more than run while a queue does not get shorter by it. What has just
// arrived waits for the next step and for its prompt to be read, so a queue counts when the number that run has come to rest.
func (w *waiting) learn(g batholith.Gauges, rising bool) {
	if w.published {
		return
	}
	if w.slots > 0 && g.Running > w.slots {
		w.slots = g.Running
	}
	if g.Waiting == 0 || rising {
		w.stalled, w.peak = 0, 0
		return
	}
	w.stalled++
	w.peak = max(w.peak, g.Running)
	if w.stalled >= 2 && w.peak > 0 && (w.slots == 0 || w.peak < w.slots) {
		w.slots = w.peak
	}
	if w.stalled >= 4 {
		w.stalled, w.peak = 1, g.Running
	}
}
