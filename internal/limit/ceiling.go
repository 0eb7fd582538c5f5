package limit

import (
	"math"
	"time"
)

// Servers refuse for many reasons: the queue is full, a burst came faster than they admit, a quota is used up, a replica is sick, a proxy
// refuses at random. Only for some of them does it help to send less. So a refusal lowers the limit only as a trial:
//
//	share = refused / sent                    of requests by the time at which they were sent
//	odds  = refused / (sent - refused + 1)
//	rate  = (sent - refused) / seconds        requests that are taken in a second
//	loss  = 1 - rate / rate before
//	cut     if refused ≥ 4 and refused > sent × (1.3 × base + 0.1) + 3 × √(sent × base)
//	kept    if odds ≤ 0.5 × odds before and loss ≤ max(0.02, (share before - share)/3) + 1 standard error
//	undone  otherwise; base rises to the share, so that as many refusals do not cause the next trial
//
// A bound that was kept rises again after a quiet time, by 1/32, 1/16 and then 1/8 of it, until refusals show that it is found where it was.
const (
	leastCount = 4
	aboveBase  = 1.3
	aboveZero  = 0.1
	helped     = 0.5
	hardly     = 0.8  // above this share of the odds before, a decrease made no difference
	worsened   = 2    // above this multiple of them, the server has changed meanwhile
	slower     = 0.02 // loss that is accepted for any gain
	assumable  = 0.45 // a smaller share is taken for a random one as long as the limit grows
	mostly     = 0.5  // a larger share is judged after few requests
	plenty     = 400  // requests tell a rate to 5 %
	lastBase   = 0.8
	cutTo      = 0.95 // of the limit, when what is in flight beside refusals does not tell how far to go
	riseBy     = 1. / 32
	leastJudge = 2 * time.Second        // span of the requests that are judged
	leastSpan  = 200 * time.Millisecond // of the settling time
	mostSpan   = 2 * time.Second        // of the settling time
	ripeAfter  = time.Minute            // a bound rises after so long though goodput could not be measured meanwhile
	leastQuiet = 5 * time.Second        // before a bound rises again; doubled each time that it is found where it was
	lastQuiet  = 320 * time.Second
)

// ceiling is the memory of refusals: how many requests may be in flight at most.
type ceiling struct {
	bound
	safe   bound // as it was when the server last took most of what was sent
	sends  sends
	trial  trial
	clean  time.Time // refusals of requests sent before say nothing of the limit: a burst, or another limit
	beside recent    // in flight at the refusals since then
	widest int       // the highest limit in force since the last burst
	judged time.Time
	looked time.Time // when the server was last seen
	press  bool      // to refuse more than usual,
	share  float64   // and what share
}

// bound is what was found.
type bound struct {
	at      int           // the most that may be in flight; 0: there is no bound
	good    int           // the highest bound at which nothing was refused
	rose    bool          // it has risen since it was found
	step    int           // of the next rise
	next    time.Time     // when it comes
	quiet   time.Duration // before the first rise
	base    float64       // share of requests that are refused whatever is in flight
	assumed bool          // base was not tried
}

// forget undoes what was concluded since the server began to refuse everything: how much was in flight had nothing to do with it.
func (c *ceiling) forget() { c.bound, c.trial = c.safe, trial{} }

// trial is a decrease of the limit that must still show that it helps.
type trial struct {
	on     bool
	since  time.Time // when no more was in flight than it allows; zero: not yet
	from   int       // the limit before it
	was    int       // the bound before it
	to     int       // the limit in it
	before load
	low    int  // a limit that lowers the refusals, and seemed to lower what is taken
	back   bool // to a bound that was good before; a deeper one may follow
}

// load is what was sent in a span of time.
type load struct {
	sent, refused, seconds float64
}

func (l load) share() float64 { return min(l.refused/max(l.sent, 1), 1) }
func (l load) taken() float64 { return max(l.sent-l.refused, 0) }
func (l load) rate() float64  { return l.taken() / max(l.seconds, 1e-3) }
func (l load) odds() float64  { return l.refused / (l.taken() + 1) }

// excess tells whether more was refused than is usual.
func (l load) excess(base float64) bool {
	return l.refused >= leastCount && l.refused > l.sent*(aboveBase*base+aboveZero)+3*math.Sqrt(l.sent*base)
}

// burst notes that the limit in force is so much now: when it has grown, more is sent at once than before, and a server may refuse some of
// it only because it comes at once.
func (c *ceiling) burst(now time.Time, limit int, settle time.Duration) {
	if limit > c.widest+c.widest/8+1 {
		c.clear(now.Add(settle))
		c.widest = limit
	}
	c.widest = min(c.widest, limit)
}

// clear forgets what was refused of requests sent before.
func (c *ceiling) clear(since time.Time) {
	if since.After(c.clean) {
		c.clean, c.beside = since, recent{}
	}
}

// refused notes a refusal with so many others in flight.
func (c *ceiling) refused(f Flight, others int) {
	c.sends.refused(f)
	if !f.sent.Before(c.clean) {
		c.beside.add(float64(others), 1./16)
	}
}

// load is what was sent since then, as far as it is known what became of it.
func (c *ceiling) load(since, now time.Time) load {
	known := c.sends.known(now)
	sent, refused := c.sends.count(since, known)
	return load{sent, refused, known.Sub(c.sends.begun(since, known)).Seconds()}
}

// pressed tells whether more is refused at the moment than is usual, for whatever reason. It is renewed once in a bin of time.
func (c *ceiling) pressed(now time.Time, settle time.Duration) bool {
	if now.Sub(c.looked) >= binWidth {
		c.looked = now
		l := c.load(c.sends.known(now).Add(-settle-binWidth), now)
		c.press, c.share = l.excess(c.base), l.share()
	}
	return c.press
}

// standing of what is in flight when refusals are judged.
type pressure struct {
	growing bool // the limit is still on its way up
	ripe    bool // goodput was measured since the last disturbance
	limit   int
	held    int // slots that are taken or rest
	settle  time.Duration
}

// judge decides, at most once in a bin of time, and tells whether the bound was changed.
func (c *ceiling) judge(now time.Time, p pressure) bool {
	if now.Sub(c.judged) < binWidth {
		return false
	}
	c.judged = now
	if c.trial.on {
		return c.decide(now, p)
	}
	since := now.Add(-max(leastJudge, 2*p.settle))
	if c.clean.After(since) {
		since = c.clean
	}
	l := c.load(since, now)
	if l.sent >= leastCount && l.share() < mostly {
		c.safe = c.bound
	}
	if c.assumed && (!p.growing || c.at > 0) {
		c.base, c.assumed = 0, false
	}
	if !l.excess(c.base) {
		if share := l.share(); l.sent >= 32 && share < c.base {
			c.base += (share - c.base) / 64
		}
		return c.rise(now, p)
	}
	if p.growing && c.at == 0 && l.share() < assumable { // more in flight will show whether it depends on that
		if l.seconds >= p.settle.Seconds() {
			c.base, c.assumed = max(c.base, l.share()), true
		}
		return false
	}
	if l.seconds < p.settle.Seconds()/2 || l.share() < mostly && l.taken() < plenty && l.seconds < leastJudge.Seconds()/2 {
		return false
	}
	t := trial{on: true, from: p.limit, was: c.at, before: l, to: c.lower(p.limit)}
	if c.at > 0 && c.good < p.limit { // it was tried whether the bound has risen
		t.to, t.back = c.good, true
	}
	if t.to >= p.limit {
		return false
	}
	c.begin(now, t)
	return true
}

// rise tries a higher bound, a little at first.
func (c *ceiling) rise(now time.Time, p pressure) bool {
	if c.at == 0 || p.limit*5 < c.at*4 || p.held < p.limit || now.Before(c.next) || !p.ripe && now.Sub(c.next) < ripeAfter {
		return false
	}
	c.good, c.rose = min(c.at, p.limit), true
	c.at += c.step
	c.step = min(2*c.step, max(c.at/8, 1))
	c.next = now.Add(p.settle)
	if c.at >= Last {
		c.at = 0
	}
	return true
}

// lower is the limit that a trial has: what was in flight beside the refusals, which is what the server takes, since the slots of the
// refused rest. When that is hardly less than the limit it is less by a tenth all the same, so that a difference can be seen.
func (c *ceiling) lower(limit int) int {
	to := int(math.Ceil(c.beside.mean))
	if to > limit-max(limit/64, 1) {
		to = int(cutTo * float64(limit))
	}
	return max(to, limit/8, 1)
}

func (c *ceiling) begin(now time.Time, t trial) {
	c.trial, c.widest = t, t.to
	c.clear(now)
}

// decide ends a trial once enough was sent in it.
func (c *ceiling) decide(now time.Time, p pressure) bool {
	t := &c.trial
	if t.since.IsZero() {
		if p.held <= t.to {
			t.since = now
		}
		return false
	}
	l := c.load(t.since, now)
	if !t.enough(l, p.settle) {
		return false
	}
	before, after := t.before.odds(), l.odds()
	gain := t.before.share() - l.share()
	loss := 1 - l.rate()/max(t.before.rate(), 1e-9)
	slow := loss > max(slower, gain/3)+math.Sqrt(1/max(l.taken(), 1)+1/max(t.before.taken(), 1))
	again := *t
	again.since = time.Time{}
	helps := after <= helped*before
	switch {
	case after > worsened*before: // something else has changed meanwhile
		c.at, c.good = t.to, t.to
	case helps && !slow:
		c.keep(now, p.settle)
	case helps && t.to+1 < t.from && t.to*5 < t.from*4: // it is between the two
		again.low, again.to = t.to, (t.to+t.from)/2
		c.begin(now, again)
		return true
	case !helps && t.low > 0: // the lower one is better than none
		t.to = t.low
		c.keep(now, p.settle)
	case !helps && !slow && (t.back || after <= hardly*before): // less is taken than was
		again.back, again.to = false, c.lower(t.to)
		if again.to < t.to {
			c.begin(now, again)
			return true
		}
		c.undo(t.before.share())
	default:
		c.undo(max(t.before.share(), l.share()))
	}
	c.trial = trial{}
	c.clear(now)
	return true
}

// enough tells whether the trial has seen enough. Where little was refused it takes more to see whether fewer are taken.
func (t *trial) enough(l load, settle time.Duration) bool {
	if l.sent < float64(min(max(t.to, leastCount), 32)) || l.seconds < settle.Seconds() {
		return false
	}
	if max(t.before.share(), l.share()) > mostly && l.taken() >= few {
		return true
	}
	return l.taken() >= plenty || l.seconds >= 2*leastJudge.Seconds()
}

func (c *ceiling) keep(now time.Time, settle time.Duration) {
	t := &c.trial
	near := c.good > 0 && t.to*8 >= c.good*7 && t.to*8 <= c.good*9
	switch {
	case near && c.rose:
		c.quiet = min(2*c.quiet, lastQuiet)
	case !near || c.quiet == 0:
		c.quiet = max(2*settle, leastQuiet)
	}
	c.rose = false
	c.at, c.good = t.to, t.to
	c.step = max(int(riseBy*float64(c.at)), 1)
	c.next = now.Add(c.quiet)
}

func (c *ceiling) undo(share float64) {
	c.base = min(max(c.base, share), lastBase)
	c.at = c.trial.was
}

// now is the most that may be in flight.
func (c *ceiling) now() int {
	switch {
	case c.trial.on:
		return c.trial.to
	case c.at > 0:
		return c.at
	}
	return Last
}

// lift ends the quiet time: there is a sign that the backend takes more by now.
func (c *ceiling) lift(now time.Time) {
	if now.Before(c.next) {
		c.next = now
	}
}
