package limit

import (
	"time"

	"github.com/batholith/batholith"
)

// audit checks now and then whether gauges show all of what is at the server. They may be those of one replica of several, or bounded. The
// limit is raised by an eighth for some seconds, and what runs and waits at the server must rise with what is in flight. Gauges are not
// believed any more when
//
//	seen raised - seen before < 2/3 × (in flight raised - in flight before)      seen = running + waiting, in the mean
//
// Where the server has more or fewer slots by now, that changes what of it runs and what waits, and not the sum.
type audit struct {
	phase  auditPhase
	bonus  int           // requests above the limit from the gauges
	next   time.Time     // earliest start of the next audit
	every  time.Duration // until the next
	from   time.Time     // readings count since then,
	until  time.Time     // and until then
	now    presence      // sums over readings
	before presence      // means before the limit was raised
}

// presence is what is in flight, what of it is seen at the server, and in how many readings.
type presence struct{ flying, seen, n float64 }

func (p presence) mean() presence { return presence{p.flying / p.n, p.seen / p.n, 1} }

// auditPhase is the present step of an audit.
type auditPhase int

const (
	auditIdle   auditPhase = iota
	auditBefore            // measures at the limit
	auditRaised            // measures at the raised limit, which stays as it is meanwhile
)

const (
	firstAudit = 15 * time.Second
	lastAudit  = 8 * time.Minute
	auditShare = 2. / 3
	auditTime  = 2 * time.Second // of each of the two measurements, and three times as long as the gauges stay the same
	auditLeast = 4               // readings in each

	longestAuditGap = 4 * time.Second // gauges that are renewed more seldom are not waited for
)

// due begins an audit when it is time. The first is as soon as the slots are known. The gap is for how long gauges may stay the same, settle
// how long a change of the limit takes to show.
func (a *audit) due(now time.Time, settle, gap time.Duration) {
	if a.phase == auditIdle && !now.Before(a.next) {
		a.measure(auditBefore, now, settle, gap)
	}
}

func (a *audit) measure(p auditPhase, now time.Time, settle, gap time.Duration) {
	a.phase, a.now = p, presence{}
	a.from = now.Add(settle + gap)
	a.until = a.from.Add(auditTime + 3*gap)
}

// stop ends an audit. The time to the next one doubles, from 15 s to 8 min.
func (a *audit) stop(now time.Time) {
	a.phase, a.bonus = auditIdle, 0
	a.every = min(max(2*a.every, firstAudit), lastAudit)
	a.next = now.Add(a.every)
}

// putOff ends an audit without a result, because the server has more or fewer slots by now: the limit must follow them at once, and a limit
// that is doubled in search of them must not be raised further. The next audit begins at the earliest 15 s later.
func (a *audit) putOff(now time.Time) {
	a.phase, a.bonus = auditIdle, 0
	a.next = now.Add(firstAudit)
}

// reading takes a reading beside so many in flight, and tells whether the gauges were found wrong.
func (a *audit) reading(now time.Time, g batholith.Gauges, flying, limit int, settle, gap time.Duration) (wrong bool) {
	if a.phase == auditIdle || now.Before(a.from) {
		return false
	}
	a.now.flying += float64(flying)
	a.now.seen += float64(g.Running + g.Waiting)
	if a.now.n++; now.Before(a.until) || a.now.n < auditLeast {
		return false
	}
	got := a.now.mean()
	if a.phase == auditBefore {
		a.before, a.bonus = got, max(limit/8, 2)
		a.measure(auditRaised, now, settle, gap)
		return false
	}
	added, bonus := got.flying-a.before.flying, a.bonus
	a.stop(now)
	return added >= float64(bonus)/2 && got.seen-a.before.seen < auditShare*added
}
