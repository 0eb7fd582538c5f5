package limit

import (
	"math"
	"time"
)

// Servers refuse for many reasons: the queue is full, a burst came faster than they admit, a quota is used up, a replica is sick, a proxy
// refuses at random. Sending less helps against some of them only. So refusals begin a trial: the limit is lowered, and the lower limit is
// kept only if it helps.
//
//	share = refused / sent                    refusals are counted by the time at which their requests were sent
//	odds  = refused / (sent - refused + 1)
//	rate  = (sent - refused) / seconds        requests that the server takes, per second
//	loss  = 1 - rate / rate before
//	begin   if refused ≥ 4 and refused > sent × (1.3 × base + 0.1) + 3 × √(sent × base)
//	keep    if odds ≤ 0.5 × odds before and loss ≤ max(0.02, (share before - share)/3) + min(1 standard error, 0.05)
//	retry   halfway up if only the loss is too high, further down if the odds fell a little or the server has changed (see decide)
//	undo    otherwise; base, the usual share, rises to this share, so that as many refusals do not begin the next trial
//
// After a quiet time a bound that was kept rises again, by 1/32, 1/16 and then 1/8 of itself, until refusals begin the next trial. The quiet
// time doubles when that trial finds the same bound, within an eighth.
const (
	leastCount = 4
	aboveBase  = 1.3
	aboveZero  = 0.1
	helped     = 0.5
	hardly     = 0.8  // a decrease that leaves more than this share of the odds made no difference
	worsened   = 2    // odds above this multiple of those before show that the server changed during the trial
	slower     = 0.02 // loss that is always accepted
	bearable   = 0.25 // loss at which a lower limit is still better than none, when no limit above it helps
	price      = 3    // so much of the share of refusals is worth as much as one of the rate
	unsure     = 0.05 // most of the standard error that a loss is forgiven
	assumable  = 0.45 // while the limit grows, a smaller share is assumed not to depend on it
	mostly     = 0.5  // a larger share is judged after few requests
	small      = 32   // requests in flight whose answers tell the rate too seldom for a trial of four seconds
	seldom     = 0.25 // while less than this is refused, a trial goes on until the loss is known
	plenty     = 400  // requests that give a rate to 5 %
	lastBase   = 0.8  // the highest base
	cutTo      = 0.95 // of the limit: the trial when the number in flight at refusals is hardly below the limit
	riseBy     = 1. / 32
	leastJudge = 2 * time.Second        // requests of at least the last so many seconds are judged
	mostTrial  = 12 * time.Second       // for as long a trial goes on that does not tell yet whether the loss is too high
	leastSpan  = 200 * time.Millisecond // the shortest settling time (see Limiter.settle)
	mostSpan   = 2 * time.Second        // the longest
	ripeAfter  = time.Minute            // a bound rises this long after its time even if goodput could not be measured
	leastQuiet = 5 * time.Second        // the first quiet time
	leastPause = 10 * time.Second       // the first time without a trial, after one that was undone
	lastQuiet  = 320 * time.Second      // the longest
)

// ceiling bounds how many requests may be in flight, from the server's refusals.
type ceiling struct {
	bound
	safe   bound // the bound when the server last took more than half of what was sent
	sends  sends
	trial  trial
	clean  time.Time // requests sent before this time are not judged: they belong to a burst or to another limit
	beside recent    // mean number in flight at refusals of requests sent since then
	widest int       // the lowest limit since the last burst; a limit an eighth above it is the next burst
	judged time.Time // when judge last decided
	looked time.Time // when pressed last computed the next two
	press  bool      // more was refused than usual
	share  float64   // the share that was refused
}

// bound is what the trials found.
type bound struct {
	at      int           // the most requests that may be in flight; 0: no bound
	good    int           // the latest bound at which no more than usual was refused
	rose    bool          // at has risen since it was found
	step    int           // requests that the next rise adds
	next    time.Time     // the next rise is not before
	quiet   time.Duration // from the time when at was found until its first rise
	base    float64       // the usual share: it is refused whatever the limit
	pause   time.Duration // from the latest trial that was undone until refusals of the usual share begin one again; 0: none was
	again   time.Time     // when it is over
	assumed bool          // base was assumed while the limit grew; no trial found it
}

// forget goes back to the bound from before the server began to refuse everything. What was concluded since is wrong: those refusals did not
// depend on the number in flight.
func (c *ceiling) forget() { c.bound, c.trial = c.safe, trial{} }

// trial is a lower limit that is tried out.
type trial struct {
	on     bool
	since  time.Time // from then on no more was in flight than the trial allows; zero: more is still in flight
	from   int       // the limit before the trial
	was    int       // the bound before the trial
	to     int       // the limit during the trial
	before load      // before the trial
	low    int       // a lower limit that was tried first: it halved the odds, but the loss was too high; 0: none
	cost   float64   // the loss at that limit
	back   bool      // to is the last good bound; a lower limit may be tried next
}

// load is what was sent in a span of time, and what of it was refused.
type load struct {
	sent, refused, seconds float64
	part                   float64 // share of the limit that the worker had; 0: all of it
}

func (l load) share() float64 { return min(l.refused/max(l.sent, 1), 1) }
func (l load) taken() float64 { return max(l.sent-l.refused, 0) }

// rate is what the server takes per second, of all workers.
func (l load) rate() float64 {
	rate := l.taken() / max(l.seconds, 1e-3)
	if l.part > 0 {
		rate /= l.part
	}
	return rate
}

func (l load) odds() float64 { return l.refused / (l.taken() + 1) }

// excess reports whether more was refused than usual. The formula is above: begin.
func (l load) excess(base float64) bool {
	return l.refused >= leastCount && l.refused > l.sent*(aboveBase*base+aboveZero)+3*math.Sqrt(l.sent*base)
}

// burst notes the limit that is in force. A limit that grew by more than an eighth sends a burst, and a server may refuse part of it only
// because it comes at once. So what is sent before the settling time is over is not judged.
func (c *ceiling) burst(now time.Time, limit int, settle time.Duration) {
	if limit > c.widest+c.widest/8+1 {
		c.clear(now.Add(settle))
		c.widest = limit
	}
	c.widest = min(c.widest, limit)
}

// clear excludes requests that were sent before a time from the next judgement.
func (c *ceiling) clear(since time.Time) {
	if since.After(c.clean) {
		c.clean, c.beside = since, recent{}
	}
}

// refused notes a refusal, and how many other requests were in flight when it came.
func (c *ceiling) refused(f Flight, others int) {
	c.sends.refused(f)
	if !f.sent.Before(c.clean) {
		c.beside.add(float64(others), 1./16)
	}
}

// load is what was sent since a time. It leaves out the latest requests, which may still be refused.
func (c *ceiling) load(since, now time.Time) load {
	known := c.sends.known(now)
	sent, refused, part := c.sends.count(since, known)
	return load{sent, refused, known.Sub(c.sends.begun(since, known)).Seconds(), part}
}

// pressed reports whether more was refused than usual during the last settling time. It is computed at most every 50 ms.
func (c *ceiling) pressed(now time.Time, settle time.Duration) bool {
	if now.Sub(c.looked) >= binWidth {
		c.looked = now
		l := c.load(c.sends.known(now).Add(-settle-binWidth), now)
		c.press, c.share = l.excess(c.base), l.share()
	}
	return c.press
}

// pressure is the limiter's state when refusals are judged.
type pressure struct {
	growing bool // the limit is still on its way up
	ripe    bool // goodput was measured since the last change, or does not set the limit
	limit   int
	held    int           // slots that are taken or rest
	settle  time.Duration // for so long after a change, refusals belong to the limit before
}

// judge begins or ends a trial, or lets the bound rise, at most every 50 ms. It reports whether it did, so that the limit may have changed.
func (c *ceiling) judge(now time.Time, p pressure) bool {
	if now.Sub(c.judged) < binWidth {
		return false
	}
	c.judged = now
	if c.trial.on {
		return c.decide(now, p)
	}
	since := c.sends.known(now).Add(-max(leastJudge, 2*p.settle))
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
	if !l.excess(c.usual(now)) {
		if share := l.share(); l.sent >= 32 && share < c.base {
			c.base += (share - c.base) / 64
		}
		return c.rise(now, p)
	}
	if p.growing && c.at == 0 && l.share() < assumable { // the limit grows, which will show whether the share depends on it
		if l.seconds >= p.settle.Seconds() {
			c.base, c.assumed = max(c.base, l.share()), true
		}
		return false
	}
	if l.seconds < p.settle.Seconds()/2 || l.share() < mostly && l.taken() < plenty && l.seconds < leastJudge.Seconds()/2 {
		return false
	}
	since = c.sends.known(now).Add(-mostTrial)
	if c.clean.After(since) {
		since = c.clean
	}
	if all := c.load(since, now); p.limit <= small && all.excess(c.usual(now)) && all.odds()*2 > l.odds() { // a longer time tells the rate more precisely
		l = all
	}
	t := trial{on: true, from: p.limit, was: c.at, before: l, to: c.lower(p.limit)}
	if c.at > 0 && c.good < p.limit { // the bound has risen above the last good one: try that first
		t.to, t.back = c.good, true
	}
	if t.to >= p.limit {
		return false
	}
	c.begin(now, t)
	return true
}

// rise raises the bound by one step when it is time and the slots are in use. It reports whether it did.
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

// lower is the limit of a trial: the mean number in flight at refusals, which is what the server takes, since the slots of refused requests
// rest. If that is within 1/64 of the limit, the trial has 95 % of the limit, so that a difference shows. It has at least an eighth.
func (c *ceiling) lower(limit int) int {
	to := int(math.Ceil(c.beside.mean))
	if to > limit-max(limit/64, 1) {
		to = int(cutTo * float64(limit))
	}
	return max(to, limit/8, 1)
}

// begin begins a trial. Refusals of requests sent before do not count in it.
func (c *ceiling) begin(now time.Time, t trial) {
	c.trial, c.widest = t, t.to
	c.clear(now)
}

// decide ends a trial once enough was sent in it: it keeps the lower limit, undoes it, or begins another trial. It reports whether the trial
// ended.
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
	loss := min(1-l.rate()/max(t.before.rate(), 1e-9), 1-float64(t.to)/float64(t.from)) // goodput falls at most in proportion to what is in flight
	err, most := math.Sqrt(1/max(l.taken(), 1)+1/max(t.before.taken(), 1)), max(slower, gain/price)
	helps := after <= helped*before
	if t.from <= small && helps && !p.growing && t.before.share() < seldom && math.Abs(loss-most) < 2*err && l.taken() < plenty && l.seconds < mostTrial.Seconds() {
		return false
	}
	slow := loss > most+min(err, unsure)
	again := *t
	again.since = time.Time{}
	switch {
	case after > worsened*before: // the server has changed meanwhile: compare with what it is now
		if to := max(c.lower(t.to), t.to/2); to < t.to {
			c.begin(now, trial{on: true, from: t.to, was: t.was, before: l, to: to})
			return true
		}
		c.at = t.was
	case helps && !slow:
		c.keep(now, p.settle)
	case helps && t.to+1 < t.from && t.to*5 < t.from*4: // too low: the right limit is between the two
		again.low, again.cost, again.to = t.to, loss, (t.to+t.from)/2
		c.begin(now, again)
		return true
	case !helps && t.low > 0 && t.cost <= bearable: // too high: the lower limit of before is better than none
		t.to = t.low
		c.keep(now, p.settle)
	case !helps && !slow && (t.back || after <= hardly*before): // it helped a little, or the server takes less by now: go lower
		again.back, again.to = false, c.lower(t.to)
		if again.to < t.to {
			c.begin(now, again)
			return true
		}
		c.undo(now, t.before.share())
	default:
		c.undo(now, max(t.before.share(), l.share()))
	}
	c.trial = trial{}
	c.clear(now)
	return true
}

// enough reports whether the trial has lasted long enough: if more than half is refused, until 48 requests were taken; otherwise until 400
// were taken or 4 s have passed, since a small change of the rate takes more of them to show.
func (t *trial) enough(l load, settle time.Duration) bool {
	if l.sent < float64(min(max(t.to, leastCount), 32)) || l.seconds < settle.Seconds() {
		return false
	}
	if max(t.before.share(), l.share()) > mostly && l.taken() >= few {
		return true
	}
	return l.taken() >= plenty || l.seconds >= 2*leastJudge.Seconds()
}

// keep makes the trial's limit the bound, and plans its first rise.
func (c *ceiling) keep(now time.Time, settle time.Duration) {
	t := &c.trial
	near := c.good > 0 && t.to*8 >= c.good*7 && t.to*8 <= c.good*9
	switch {
	case near && c.rose:
		c.quiet = min(2*c.quiet, lastQuiet)
	case !near || c.quiet == 0:
		c.quiet = max(2*settle, leastQuiet)
	}
	c.rose, c.pause = false, 0
	c.at, c.good = t.to, t.to
	c.step = max(int(riseBy*float64(c.at)), 1)
	c.next = now.Add(c.quiet)
}

// undo goes back to the bound before the trial. Refusals do not depend on the limit, so their share is the usual one, until the next trial:
// a few requests may have told by chance that a lower limit does not help.
func (c *ceiling) undo(now time.Time, share float64) {
	c.base = min(max(c.base, share), lastBase)
	c.at = c.trial.was
	c.pause = min(max(2*c.pause, leastPause), lastQuiet)
	c.again = now.Add(c.pause)
}

// usual is the share of refusals that begins no trial.
func (c *ceiling) usual(now time.Time) float64 {
	if c.pause > 0 && !now.Before(c.again) {
		return 0
	}
	return c.base
}

// now is the most requests that may be in flight now.
func (c *ceiling) now() int {
	switch {
	case c.trial.on:
		return c.trial.to
	case c.at > 0:
		return c.at
	}
	return Last
}

// lift ends the quiet time, because goodput shows that the backend may take more by now.
func (c *ceiling) lift(now time.Time) {
	if now.Before(c.next) {
		c.next = now
	}
}
