package dispatch

import (
	"time"

	"github.com/batholith/batholith"
)

// history is what a lane knows of one class: what was answered, what failed, and whether the class is paused. It is guarded by lane.mu.
//
// While a class is paused, its records wait and other classes go on. Each probe sends one request, in turn:
//
//  1. a canary of the class; an answer ends the pause
//  2. a trial: a record of the class, preferably one that was never sent; an answer ends the pause
//  3. if the class has features or large records, a canary without features; an answer shows that the server works for other classes
//
// If the class stays unanswered for ten minutes and six trials while the lane answers other classes, the pause ends and the class is
// condemned: each of its records is sent once more, and ends with an error line if that attempt fails. (After 429 and 503 it is
// retried until verdict.go ends it.) The first answer to a request of the class ends that state.
type history struct {
	class     *class
	answered  time.Time // when the latest of the answered requests was sent; zero: none was answered
	began     time.Time // when the latest record was sent
	flying    int       // records in flight
	row       int       // failures with no answer between
	alike     int       // see evidence
	status    int       // of the refusals that alike counts
	vouched   int       // see evidence
	vouchedAt time.Time // when vouched changed
	share     failing
	excused   time.Time // failures up to this time count against no record: the server answered nothing, canaries included

	paused    bool
	condemned bool
	why       *batholith.Failure // the failure that began the pause
	since     time.Time          // when the pause began
	alive     time.Time          // since when in this pause the lane has answered other classes without a break; zero: it does not
	probe     time.Time          // when the next probe is due
	delay     time.Duration      // between that probe and the one after it
	turn      int                // which request the next probe sends, modulo turns
	tries     int                // trials in this pause
	last      *item              // the record of the last trial; it is not tried again while others wait
	canaries  int                // that were sent about the class since a record of it ended
	asking    bool               // a canary about the class is in flight
	missed    int                // signs in this pause that the server is broken: failed canaries, or failed trials where there are no canaries
}

// Probes of a paused class. The delay between them doubles from firstProbe to lastProbe, or to rareProbe while the lane answers other
// classes: then about twenty probes, a third of them trials, are spread over the ten minutes.
const (
	firstProbe  = 250 * time.Millisecond
	lastProbe   = 10 * time.Second
	rareProbe   = 30 * time.Second
	trialsFor   = 10 * time.Minute
	leastTrials = 6
	vouchedFor  = time.Minute   // vouched falls by one at most so often
	fewMisses   = 3             // without canaries, a failed trial counts as missed from this one on: the records before it may have been bad
	blindFor    = 2 * time.Hour // replaces trialsFor on a lane where no canary was ever answered: it cannot tell a bad class from a bad server
)

// at returns the history of a class. It makes an empty one at the first call. The caller holds l.mu.
func (l *lane) at(c *class) *history {
	for len(l.histories) <= c.id {
		l.histories = append(l.histories, nil)
	}
	h := l.histories[c.id]
	if h == nil {
		h = &history{class: c}
		l.histories[c.id] = h
	}
	return h
}

// evidence is the table's input about a class, for a record that failed at that time. The caller holds l.mu.
func (l *lane) evidence(c *class, failed time.Time) evidence {
	h := l.at(c)
	return evidence{
		since: h.answered.After(failed), excused: !failed.After(h.excused), begun: h.flying > 0 && h.began.After(failed), known: !h.answered.IsZero(),
		paused: h.paused, condemned: h.condemned, lives: l.answered.After(failed) || h.condemned && l.canary.answered == 0, row: h.row, alike: h.alike, idle: h.flying == 0, vouched: h.vouched,
		canary: l.hasCanary(c),
	}
}

// sent notes that a record of the class is sent now. lane.landed lowers flying again. The caller holds l.mu.
func (h *history) sent(now time.Time) {
	h.began = now
	h.flying++
}

// succeed notes an answer to a request that was sent at the time began: a record if own, else a canary. It reports whether that ends a pause.
func (h *history) succeed(began time.Time, own bool) (resumed bool) {
	if began.After(h.answered) {
		h.answered = began
	}
	now := time.Now()
	switch {
	case !own && h.paused:
		h.vouched, h.vouchedAt = h.vouched+1, now
	case own && h.vouched > 0 && now.Sub(h.vouchedAt) > vouchedFor:
		h.vouched, h.vouchedAt = h.vouched-1, now
	}
	if h.paused && h.missed > 0 {
		h.excused = now
	}
	h.row, h.alike, h.condemned = 0, 0, false
	return h.resume()
}

// fail notes a failed attempt at a record. first tells that it is the record's first failure. Attempts that never reached the server are not
// noted.
func (h *history) fail(f *batholith.Failure, first bool) {
	h.row++
	if f.Kind != batholith.FailureBadRecord {
		return
	}
	if f.Status != h.status { // the words of two refusals alike may differ: they hold numbers and ids of the request
		h.status, h.alike = f.Status, 0
	}
	if first {
		h.alike++
	}
}

// pause begins a pause, unless the class is paused already, and reports whether it did. The first probe is due at once.
func (h *history) pause(now time.Time, why *batholith.Failure) bool {
	if h.paused {
		return false
	}
	h.condemned = false
	h.paused, h.why, h.since, h.probe, h.delay, h.turn, h.tries, h.missed, h.alive = true, why, now, now, firstProbe, 0, 0, 0, time.Time{}
	return true
}

// resume ends the pause, and reports whether there was one.
func (h *history) resume() bool {
	paused := h.paused
	h.paused, h.why, h.last = false, nil, nil
	return paused
}

// condemn ends the pause and condemns the class, if all its trials failed while the lane answered other classes. It reports whether it did.
// canaries: the lane has answered a canary at some time, or nothing at all. Where it answers everything but canaries, nothing tells a bad
// class from a bad server: then the two hours of blindFor count, from the beginning of the pause.
func (h *history) condemn(now time.Time, canaries bool) bool {
	since, long := h.alive, trialsFor
	if !canaries {
		since, long = h.since, blindFor
	}
	if !h.paused || since.IsZero() || h.tries < leastTrials || now.Sub(since) < long {
		return false
	}
	h.condemned, h.excused = true, since // what failed before may be the server's fault
	return h.resume()
}

// next sets the time and the turn of the probe after the one that is sent now, and notes since when the lane has answered other classes.
// answered is when the latest request that the lane answered was sent, of any class; zero: none since the lane was last out.
func (h *history) next(now, answered time.Time) {
	most := lastProbe
	switch lives := answered.After(h.since) && now.Sub(answered) < 5*rareProbe; {
	case !lives:
		h.alive = time.Time{}
	case h.alive.IsZero():
		h.alive, h.tries = now, 0
		fallthrough
	default:
		most = rareProbe
	}
	h.probe = now.Add(h.delay)
	h.delay = min(2*h.delay, most)
	h.turn++
}
