package limit

import "time"

// audit checks from time to time whether the gauges are right. They may come from one replica of several, have an upper bound, or belong to
// another engine; then a higher limit raises goodput. An audit measures goodput at the limit, and again with 1/8 more requests in flight. The
// gauges are wrong if
//
//	raised goodput > goodput before × (1 + 1/16 + 2 × standard error)
//
// since a limit that is too low gives up to 1/8 more goodput, and a limit that is right gives no more.
type audit struct {
	phase  auditPhase
	bonus  int           // requests above the limit from the gauges
	next   time.Time     // earliest start of the next audit
	every  time.Duration // from the end of an audit to the next
	began  time.Time     // start of the present phase
	before level         // goodput at the limit
	w      period
}

// auditPhase is the present step of an audit.
type auditPhase int

const (
	auditIdle   auditPhase = iota
	auditBefore            // measures goodput at the limit
	auditRaised
)

const (
	firstAudit = 15 * time.Second
	lastAudit  = 8 * time.Minute
	auditGain  = 1. / 16
	auditTime  = 20 * time.Second // at most, for each of the two measurements
)

// due starts an audit if its time has come. The first one comes as soon as the slots are known. It measures after the settling time.
func (a *audit) due(now time.Time, limit int, settle time.Duration) {
	if a.phase != auditIdle || now.Before(a.next) {
		return
	}
	a.phase, a.began = auditBefore, now
	a.w.reset(limit + limit/16 + 1)
	a.w.after = now.Add(settle)
	a.w.skip = 0
}

// expire stops an audit that takes longer than auditTime.
func (a *audit) expire(now time.Time) {
	if a.phase != auditIdle && a.late(now) {
		a.stop(now)
	}
}

// late reports whether the present phase takes longer than auditTime.
func (a *audit) late(now time.Time) bool { return now.Sub(a.began) > auditTime }

// stop ends an audit. The time to the next one doubles, from 15 s to 8 min.
func (a *audit) stop(now time.Time) {
	a.phase, a.bonus = auditIdle, 0
	a.every = min(max(2*a.every, firstAudit), lastAudit)
	a.next = now.Add(a.every)
}

// answered takes in an answer, and reports whether the audit has found the gauges wrong.
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
