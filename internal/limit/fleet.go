package limit

import (
	"math"
	"time"

	"github.com/batholith/batholith"
)

// fleet is what a limiter knows of the other workers that send to the same server. The limiter finds one limit for all workers together and
// uses its share of it (see divide.go). So the searches of this package count requests of all workers. n requests of this worker stand for
//
//	n × limit / own        own = share × limit
//
// as if every other worker filled its share as this one does.
//
// With gauges each worker steers by itself: a reading shows the load of all workers, and each makes up for its share of the difference. Goodput
// and refusals are measured at one number in flight. So one worker, the lead, measures and searches, and the others use its limit. If the
// lead is gone, another worker continues at the limit that all have. Nobody waits for a lead: without one the limit stays.
type fleet struct {
	joined bool      // the worker has seen the table of loads, or shares with nobody
	share  float64   // of the limit, 0 to 1; 1: alone
	next   float64   // the share after Stored
	before float64   // shares of the workers before this one by name, for rounding
	others int       // workers that share the server
	flying int       // requests in flight of the others, as they wrote it
	parts  []float64 // requests that are fair, of each of the purses of this worker
	lead   bool      // this worker searches the limit
	limit  int       // of the lead; 0: this worker's own counts
	bound  int       // from refusals, of the lead; 0: none
	found  bool      // the limit was measured
	sought time.Time // when this worker began to search it before others had a share
	began  time.Time // when the limiter joined
	met    time.Time // when the table was read last
	seen   int       // the limit at that time
	rests  time.Time // no request before, if the share is less than one request
}

const (
	// lag is the time after which all workers use a new limit: the lead writes its row once a second, and each worker reads it once a second.
	lag = 2500 * time.Millisecond
	// answersIn is the time in which a worker that used a server alone writes its row.
	answersIn = 2200 * time.Millisecond
	// outdated is the age of the table after which the limit does not grow.
	outdated = 3 * time.Second
	// nearlyAll is the share from which a worker searches as if it were alone, for at most seekFor.
	nearlyAll = 0.9
	seekFor   = 2 * time.Minute
	// leastMean is the smallest number of requests in flight that a worker has in the mean.
	leastMean = 0.25
)

// Join makes the limiter one of several: it has one slot until Meet.
func (l *Limiter) Join() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fleet = fleet{lead: true, began: l.now()}
	l.climb.part = 1
}

// Left gives up the share, because the worker does not use the server, or has lost its lease (lost), so that others may have taken its share.
func (l *Limiter) Left(lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &l.fleet
	if f.alone() {
		return
	}
	if f.share, f.next, f.joined = 0, 0, false; lost {
		f.began = l.now()
	}
}

// alone reports whether no other worker shares the server.
func (f *fleet) alone() bool { return f.joined && f.others == 0 && f.share == 1 }

// own is the part of a limit that this worker may use, at least 1. Shares are rounded so that the parts of all workers add up to the limit.
func (f *fleet) own(limit int) int {
	if f.alone() {
		return limit
	}
	below := math.Round(f.before * float64(limit))
	return max(int(math.Round((f.before+f.share)*float64(limit))-below), 1)
}

// all is the number of requests of all workers for which n of this worker stand.
func (f *fleet) all(n, limit int) int {
	if f.alone() {
		return n
	}
	own := f.own(limit)
	return (n*limit + own/2) / own
}

// part is this worker's part of n requests of all workers, rounded up.
func (f *fleet) part(n, limit int) int {
	if f.alone() {
		return n
	}
	return (n*f.own(limit) + limit - 1) / limit
}

// outdated reports whether the table could not be read for a while, so that there may be other workers by now.
func (f *fleet) outdated(now time.Time) bool { return f.others > 0 && now.Sub(f.met) > outdated }

// ended notes the end of a request. A worker whose share is less than one request rests after each:
//
//	rest = time of the request × (1 / (share × limit) - 1)
func (f *fleet) ended(now time.Time, took time.Duration, limit int) {
	if part := f.share * float64(limit); part < 1 && !f.alone() {
		f.rests = now.Add(time.Duration(float64(took) * (1/max(part, leastMean) - 1)))
	}
}

// Meet takes in the rows of the other living workers that send to the server, and how many workers live, this one included. me names this worker and
// says what it wants. Meet returns the worker's row, for the table. A larger share counts after Stored, when the others can see it.
func (l *Limiter) Meet(me batholith.Load, others []batholith.Load, workers int) batholith.Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, f := l.now(), &l.fleet
	if !f.joined {
		l.enterFleet(now, others)
	}
	rows := append([]batholith.Load{me}, others...)
	total := l.total(now)
	rows[0].Share, rows[0].Limit, rows[0].InFlight, rows[0].Lead = f.share, total, l.flying, f.lead && len(others) > 0
	parts := divide(total, rows)
	fair := sharesOf(total, parts)
	f.parts = parts[0].purses
	f.next = move(rows, fair, 0, float64(l.held+1)/float64(total))
	switch {
	case len(others) > 0 && f.next < f.share && l.seeks(now):
		f.next = f.share
	case len(others) > 0:
	case f.joined:
		f.next = 1
	case workers > 1 && now.Sub(f.began) < answersIn: // one of them may use the server, and writes its row when it sees this worker
		f.next = 0
	default:
		f.next = 1
	}
	if len(others) < f.others {
		l.regroup(now)
	}
	f.joined = f.joined || f.next > 0 || len(others) > 0
	f.others, f.met = len(others), now
	f.before, f.flying = 0, 0
	for _, r := range others {
		f.flying += r.InFlight
		if r.Worker < me.Worker {
			f.before += r.Share
		}
	}
	l.choose(now, rows, fair)
	if f.next < f.share {
		l.reshare(now, f.next)
	}
	f.seen = l.total(now)
	row := rows[0]
	row.Share, row.Limit, row.Bound, row.Source, row.Found, row.Lead = f.next, f.seen, 0, l.source.String(), l.found(), f.lead && len(others) > 0
	if bound := l.bound(); bound < Last {
		row.Bound = bound
	}
	row.Idle, row.Goodput = l.climb.idle, l.climb.hold.goodput
	l.signal()
	return row
}

// Beside is the number of requests that the other workers have in flight, as they wrote it.
func (l *Limiter) Beside() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fleet.flying
}

// Parts returns how many requests of each of the worker's purses are fair, in the order of the row that Meet took; nil if the worker is alone.
// Within the worker they are weights.
func (l *Limiter) Parts() []float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fleet.others == 0 {
		return nil
	}
	return l.fleet.parts
}

// seeks reports whether this worker has nearly all of the limit, and searches it for the first time. It keeps its share until then, at most
// for two minutes, so that the search is as fast as that of one worker. The others have one request each meanwhile.
func (l *Limiter) seeks(now time.Time) bool {
	f := &l.fleet
	switch {
	case f.found || !f.lead || f.share < nearlyAll || l.source != fromGoodput:
		return false
	case l.found() || l.ceiling.at > 0:
		f.found = true
		return false
	}
	if f.sought.IsZero() {
		f.sought = now
	}
	return now.Sub(f.sought) < seekFor
}

// Stored lets the share count that Meet has returned.
func (l *Limiter) Stored() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reshare(l.now(), l.fleet.next)
	l.signal()
}

// enterFleet begins with the limit of the others. The caller holds mu, as for the methods below.
func (l *Limiter) enterFleet(now time.Time, others []batholith.Load) {
	if len(others) == 0 {
		return
	}
	at := leads(others, fairShares(max(others[0].Limit, 1), others))
	if at < 0 {
		at = widest(others)
	}
	l.adopt(now, others[at])
}

// choose decides which worker searches the limit from now on.
func (l *Limiter) choose(now time.Time, rows []batholith.Load, fair []float64) {
	f, was := &l.fleet, l.fleet.lead
	at := leads(rows, fair)
	if at < 0 && len(rows) > 1 {
		return // no worker uses all of its share
	}
	f.lead = at <= 0
	l.climb.lag = 0
	if len(rows) > 1 {
		l.audit.putOff(now)
		if f.share < nearlyAll {
			l.climb.lag = lag
		}
	}
	switch {
	case !f.lead:
		l.adopt(now, rows[at])
	case !was:
		l.succeed(now)
	}
	l.level(rows)
}

// adopt takes in what the lead has found.
func (l *Limiter) adopt(now time.Time, lead batholith.Load) {
	f := &l.fleet
	f.lead, f.bound, f.found = false, lead.Bound, lead.Found
	l.climb.begun(lead.Idle)
	if lead.Limit <= 0 || l.source == fromOperator {
		return
	}
	if gauged := lead.Source == fromGauges.String() || lead.Source == fromSlots.String(); gauged && l.waiting.reads {
		if f.limit > 0 && l.waiting.slots == 0 && lead.Found {
			l.waiting.resume(lead.Limit)
		}
		f.limit = 0
		return
	}
	if f.limit != lead.Limit {
		l.pass(now)
		f.limit = lead.Limit
	}
}

// succeed makes this worker the lead: it continues at the limit of the one before.
func (l *Limiter) succeed(now time.Time) {
	f := &l.fleet
	l.pass(now)
	if f.bound > 0 {
		l.ceiling.bound = bound{at: f.bound, good: f.bound, step: max(int(riseBy*float64(f.bound)), 1), quiet: leastQuiet, next: now.Add(leastQuiet)}
	}
	if limit := f.limit; limit > 0 {
		if l.waiting.limit = limit; l.source == fromGoodput || l.counts() {
			l.search(newHeld(limit, f.found, l.source == fromSlots))
		}
	}
	f.limit, f.bound = 0, 0
	l.ceiling.clear(now.Add(lag))
}

// level brings the limits that workers with gauges have found nearer together: each takes a quarter of the way to the mean, weighted by
// the shares, so that the sum of what they may use stays.
func (l *Limiter) level(rows []batholith.Load) {
	if l.fleet.limit > 0 || !l.waiting.reads || l.waiting.slots == 0 || l.source == fromGoodput || len(rows) < 2 {
		return
	}
	sum, shares := 0.0, 0.0
	for _, r := range rows {
		if r.Source == l.source.String() || r.Worker == rows[0].Worker {
			sum += r.Share * float64(r.Limit)
			shares += r.Share
		}
	}
	if shares > 0 {
		l.waiting.set(float64(l.waiting.limit) + (sum/shares-float64(l.waiting.limit))/4)
	}
}

// reshare changes the share. With gauges the limit may count requests of workers that are gone; a larger share must not multiply these.
func (l *Limiter) reshare(now time.Time, share float64) {
	f := &l.fleet
	if share == f.share {
		return
	}
	l.pass(now)
	own := f.own(l.total(now))
	if share > f.share && f.limit == 0 && l.waiting.reads && l.waiting.slots > 0 && !f.alone() {
		g := l.waiting.last
		seen := l.held + f.flying + l.waiting.slots - g.Running + l.waiting.queue() - g.Waiting
		if most := max(seen, own); l.waiting.limit > most {
			l.waiting.set(float64(most))
		}
	}
	if f.joined && f.found { // the requests move from one worker to another; those of others are known a second later
		l.climb.restart(Last, now.Add(lag))
	}
	f.share = share
	l.climb.part = max(share, 1./Last)
	l.pace.part = l.climb.part
}

// regroup is called when workers have gone. Their requests are gone too, so what was measured is void.
func (l *Limiter) regroup(now time.Time) {
	l.ceiling.trial = trial{}
	l.ceiling.clear(now.Add(l.settle()))
	l.climb.restart(Last, now.Add(l.settle()))
	l.waiting.fall.flying = -1
}

// search replaces the search by goodput. It keeps what does not depend on the search.
func (l *Limiter) search(c climb) {
	idle := l.climb.idle
	c.part, c.lag, c.now = l.climb.part, l.climb.lag, l.climb.now
	c.w.reset(c.limit, c.mine(c.limit))
	l.climb = c
	if !l.fleet.alone() {
		l.climb.begun(idle)
	}
}
