package limit

import "time"

// audit checks now and then whether what the server says of itself is so. Gauges may be those of one replica of several, or bounded, or of
// another engine: then more in flight brings more back. The limit is raised by an eighth for as long as it takes to measure goodput, and
// gauges are not believed any more when
//
//	goodput raised ≥ goodput before × (1 + 1/16), and by three standard errors
//
// since a limit that was too low gives up to an eighth more, and one that was not gives nothing.
type audit struct {
	phase  auditPhase
	bonus  int       // requests above what the gauges advise
	next   time.Time // of the next
	every  time.Duration
	began  time.Time
	before level
	w      period
}

type auditPhase int

const (
	auditIdle auditPhase = iota
	auditBefore
	auditRaised
)

const (
	firstAudit = 15 * time.Second
	lastAudit  = 8 * time.Minute
	auditGain  = 1. / 16
	auditTime  = 20 * time.Second // at most, for each of the two measurements
)

// due begins an audit when it is time. The first is as soon as the slots are known.
func (a *audit) due(now time.Time, limit int, settle time.Duration) {
	if a.phase != auditIdle || now.Before(a.next) {
		return
	}
	a.phase, a.began = auditBefore, now
	a.w.reset(limit + limit/16 + 1)
	a.w.after = now.Add(settle)
	a.w.skip = 0
}

// expire ends an audit that takes too long.
func (a *audit) expire(now time.Time) {
	if a.phase != auditIdle && a.late(now) {
		a.stop(now)
	}
}

func (a *audit) late(now time.Time) bool { return now.Sub(a.began) > auditTime }

// stop ends an audit; the next comes later than this did.
func (a *audit) stop(now time.Time) {
	a.phase, a.bonus = auditIdle, 0
	a.every = min(max(2*a.every, firstAudit), lastAudit)
	a.next = now.Add(a.every)
}

// answered takes an answer, and tells whether the gauges were found wrong.
func (a *audit) answered(now time.Time, f Flight, work float64, limit int) bool {
	a.w.add(now, f, work)
	if !a.w.sure(max(min(limit, 4*answersOfLevel), answersOfLevel), 0.015) && !(a.late(now) && a.w.n >= answersOfLevel/2) {
		return false
	}
	goodput, held := a.w.close()
	at := level{limit: int(held), goodput: goodput, err: a.w.errorOf()}
	if a.phase == auditBefore {
		a.before, a.phase, a.began = at, auditRaised, now
		a.bonus = max(limit/8, 1)
		a.w.reset(limit + a.bonus)
		a.w.skip = limit / 2
		return false
	}
	a.stop(now)
	return at.goodput > a.before.goodput*(1+auditGain+2*at.err)
}
