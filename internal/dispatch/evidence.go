package dispatch

import (
	"time"

	"github.com/batholith/batholith"
)

// history is what a lane knows of one class: what was answered, what failed, and whether the class is paused. It is guarded by lane.mu.
//
// While a class is paused, its records wait and other classes go on. One request is sent at each probe, in turn: a canary of the class, a
// record of it that was not tried yet, and, where the class is not that of plain canaries, one of those. The first two end the pause when
// they are answered. The third tells that the server works for others: when it was so for ten minutes of trials, the class is condemned,
// which means that its records are sent once each and end with what the server says.
type history struct {
	class     *class
	answered  time.Time // when the latest request that was answered had begun; zero: none yet
	began     time.Time // when the latest request was sent
	flying    int
	row       int
	alike     int    // different records, refused with the same words in a row
	words     string // those
	vouched   int
	vouchedAt time.Time
	share     failing
	excused   time.Time // failures until then were in a pause in which the canary failed too: they say nothing of a record

	paused    bool
	condemned bool
	why       *batholith.Failure // that paused it
	since     time.Time          // of the pause
	probe     time.Time          // the next one
	delay     time.Duration      // between probes
	turn      int                // of probes
	tries     int                // records that were sent in this pause
	last      *item              // the record that was tried last, which is not tried again while there are others
	asking    bool               // a canary about it is in flight
	missed    int                // canaries of the class that were not answered in this pause, or records where there are no canaries
}

// Probing of a paused class: the delays double between the first two. Where the lane answers others, more time passes, so that some twenty
// trials are spread over the ten minutes.
const (
	firstProbe  = 250 * time.Millisecond
	lastProbe   = 10 * time.Second
	rareProbe   = 30 * time.Second
	trialsFor   = 10 * time.Minute
	leastTrials = 6
	vouchedFor  = time.Minute   // a canary that was answered counts, and as long again for each before it
	fewMisses   = 3             // records that fail in a pause without canaries and may be bad ones all the same
	blindFor    = 2 * time.Hour // in place of trialsFor where no canary was ever answered, so that nothing tells a bad class from a bad server
)

// at is what is known of a class, made when it is first asked for. The caller holds l.mu.
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

// evidence is the table's view of a record's class, for a failure at that time. The caller holds l.mu.
func (l *lane) evidence(c *class, failed time.Time) evidence {
	h := l.at(c)
	return evidence{
		since: h.answered.After(failed), excused: !failed.After(h.excused), begun: h.flying > 0 && h.began.After(failed), known: !h.answered.IsZero(),
		paused: h.paused, condemned: h.condemned, row: h.row, alike: h.alike, idle: h.flying == 0, vouched: h.vouched,
		canary: l.hasCanary(c),
	}
}

// sent notes that a request of the class is on its way, and answered, failed or nothing when it is no more. The caller holds l.mu.
func (h *history) sent(now time.Time) {
	h.began = now
	h.flying++
}

// succeed takes in an answer to a request that began then. It tells whether that ends a pause.
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

// fail takes in a failure of a record. Nothing that was not sent is among them.
func (h *history) fail(f *batholith.Failure, first bool) {
	h.row++
	if f.Kind != batholith.FailureBadRecord {
		return
	}
	if words := f.Public + "\n" + f.Message; words != h.words { // the same words over other numbers are taken for others, which only delays
		h.words, h.alike = words, 0
	}
	if first {
		h.alike++
	}
}

// pause begins one, and tells whether it is new. The first probe is due at once.
func (h *history) pause(now time.Time, why *batholith.Failure) bool {
	if h.paused {
		return false
	}
	h.paused, h.why, h.since, h.probe, h.delay, h.turn, h.tries, h.missed = true, why, now, now, firstProbe, 0, 0, 0
	return true
}

func (h *history) resume() bool {
	was := h.paused
	h.paused, h.why, h.last = false, nil, nil
	return was
}

// condemn ends the pause of a class that had its trials in vain while the lane answered others. answered is when the latest request of any
// class that the lane answered had begun.
func (h *history) condemn(now, answered time.Time, canaries bool) bool {
	long := trialsFor
	if !canaries {
		long = blindFor
	}
	lives := answered.After(h.since) && now.Sub(answered) < 5*rareProbe
	if !canaries {
		lives = !answered.IsZero()
	}
	if !h.paused || !lives || h.tries < leastTrials || now.Sub(h.since) < long {
		return false
	}
	h.condemned = true
	return h.resume()
}

// next sets when the class is probed after now. Where the lane answers others, its tries are spread.
func (h *history) next(now, answered time.Time) {
	h.probe = now.Add(h.delay)
	most := lastProbe
	if answered.After(h.since) {
		most = rareProbe
	}
	h.delay = min(2*h.delay, most)
	h.turn++
}
