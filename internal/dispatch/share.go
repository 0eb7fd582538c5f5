package dispatch

import (
	"math"
	"slices"
	"time"

	"github.com/batholith/batholith"
)

// shares divides a model's tokens: equally among principals, by weight among a principal's priorities, and within one priority between two
// jobs: the shortest (fewest tokens left), so that small jobs do not wait for large ones, and the oldest, so that no job waits for ever.
// Other jobs get what these two cannot use. Guarded by queue.mu.
type shares struct {
	tenants []*tenant
}

// tenant is one principal of one account, with its jobs in this queue.
type tenant struct {
	account         // tokens divided by weight
	weight  float64 // part of the tokens of this worker, if several workers divide the model server (see weigh); else 1
	name    string
	lines   [priorities]line
}

// line holds a tenant's jobs of one priority, oldest first.
type line struct {
	account         // tokens divided by weight
	weight  float64 // of the priority
	feeds   []*feed
	roles   [2]account // by shortest and oldest
}

// account counts tokens: spent by finished records, and estimated for records in flight.
type account struct{ spent, flying float64 }

// used is the sum that decides whose turn it is: the account that has used least is next.
func (a *account) used() float64 { return a.spent + a.flying }

// join raises a new account to the least of the others. A newcomer gets no compensation for the time before it came.
func (a *account) join(least float64) { a.spent = max(a.spent, least) }

// The two jobs of a line that are served before the others, and the ratio of their shares of its tokens (roleShares).
const (
	shortest = iota
	oldest
	both // the job is the shortest and the oldest
)

var roleShares = [2]float64{shortest: 3, oldest: 1}

// maxLag bounds, in tokens, how far a tenant that could not be served may lag behind the one that has spent most, and so how much it
// catches up.
const maxLag = 256 << 10

func tenantName(job *batholith.Job) string { return job.Account + "/" + job.Owner }

func newTenant(name string) *tenant {
	t := &tenant{name: name, weight: 1}
	for i := range t.lines {
		t.lines[i].weight = weights[i]
	}
	return t
}

// add puts a feed into the line of its tenant and priority. The caller holds queue.mu, as for all methods of shares.
func (s *shares) add(f *feed) {
	name := tenantName(&f.job)
	i := slices.IndexFunc(s.tenants, func(t *tenant) bool { return t.name == name })
	if i < 0 {
		i = len(s.tenants)
		t := newTenant(name)
		t.join(s.least())
		s.tenants = append(s.tenants, t)
	}
	f.tenant = s.tenants[i]
	l := &f.tenant.lines[f.priority]
	if len(l.feeds) == 0 {
		l.join(f.tenant.least())
	}
	l.feeds = append(l.feeds, f)
}

// least is the lowest amount that a tenant has spent, 0 if there is none.
func (s *shares) least() float64 {
	least := math.Inf(1)
	for _, t := range s.tenants {
		least = min(least, t.spent)
	}
	return zeroIfNone(least)
}

// least is the lowest amount that a line with jobs has spent, 0 if there is none.
func (t *tenant) least() float64 {
	least := math.Inf(1)
	for i := range t.lines {
		if l := &t.lines[i]; len(l.feeds) > 0 {
			least = min(least, l.spent)
		}
	}
	return zeroIfNone(least)
}

func zeroIfNone(least float64) float64 {
	if math.IsInf(least, 1) {
		return 0
	}
	return least
}

// remove takes a feed out, and its tenant with its last feed.
func (s *shares) remove(f *feed) {
	l := &f.tenant.lines[f.priority]
	l.feeds = without(l.feeds, f)
	if !f.tenant.any(func(*feed) bool { return true }) {
		s.tenants = slices.DeleteFunc(s.tenants, func(t *tenant) bool { return t == f.tenant })
	}
}

// move changes a feed's priority. Records in flight stay on the accounts that were charged for them. The lines of a tenant have spent about
// equal amounts, so a line that was empty starts with what the feed's former line has spent.
func (s *shares) move(f *feed, to priority) {
	from, l := &f.tenant.lines[f.priority], &f.tenant.lines[to]
	from.feeds = without(from.feeds, f)
	if len(l.feeds) == 0 {
		l.join(from.spent)
	}
	l.feeds = append(l.feeds, f)
	f.priority = to
}

// any reports whether can accepts a job of the tenant.
func (t *tenant) any(can func(*feed) bool) bool {
	for i := range t.lines {
		if slices.ContainsFunc(t.lines[i].feeds, can) {
			return true
		}
	}
	return false
}

// entitled returns the feed whose turn it is among those that can accepts, or nil: of the tenant that has used least, the line that has
// used least, and of it the shortest or oldest job.
func (s *shares) entitled(can func(*feed) bool) *feed {
	var turn *tenant
	for _, t := range s.tenants {
		if (turn == nil || t.used() < turn.used()) && t.any(can) {
			turn = t
		}
	}
	if turn == nil {
		return nil
	}
	var at *line
	for i := range turn.lines {
		l := &turn.lines[i]
		if (at == nil || l.used() < at.used()) && slices.ContainsFunc(l.feeds, can) {
			at = l
		}
	}
	if at == nil { // between the two calls of can a class was paused or a job begun; the lanes look again after either
		return nil
	}
	return at.turn(can)
}

// turn returns the job of a line to serve next, among those that can accepts. There must be one.
func (l *line) turn(can func(*feed) bool) *feed {
	first, short := l.heads(can)
	if l.roles[oldest].used()/roleShares[oldest] < l.roles[shortest].used()/roleShares[shortest] {
		return first
	}
	return short
}

// heads returns the oldest and the shortest job of a line among those that can accepts; nil, nil if there is none.
func (l *line) heads(can func(*feed) bool) (first, short *feed) {
	for _, f := range l.feeds {
		if !can(f) {
			continue
		}
		if first == nil {
			first, short = f, f
		}
		if f.left() < short.left() {
			short = f
		}
	}
	return first, short
}

// charge adds a record's estimated tokens to the accounts of its job, when the record is taken.
func (s *shares) charge(it *item) {
	it.charged = it.size()
	it.line, it.role = it.feed.priority, it.feed.role()
	it.weights = [2]float64{it.feed.tenant.weight, it.feed.tenant.lines[it.line].weight}
	it.feed.book(it, func(a *account, weight float64) { a.flying += it.charged / weight })
}

// pay replaces a record's estimate by the tokens that it took; 0 if it was not processed.
func (s *shares) pay(it *item, took float64) {
	it.feed.book(it, func(a *account, weight float64) {
		a.flying -= it.charged / weight
		a.spent += took / weight
	})
	behind := s.most() - maxLag
	for _, t := range s.tenants {
		t.join(behind)
	}
}

// most is the highest amount that a tenant has spent.
func (s *shares) most() (most float64) {
	for _, t := range s.tenants {
		most = max(most, t.spent)
	}
	return most
}

// book applies a change to each account that a record of the feed is charged to: tenant, line, and role.
func (f *feed) book(it *item, change func(a *account, weight float64)) {
	l := &f.tenant.lines[it.line]
	change(&f.tenant.account, it.weights[0])
	change(&l.account, it.weights[1])
	if it.role != both {
		change(&l.roles[it.role], 1)
	}
}

// role reports whether the job is the shortest of its line, the oldest, or both; any further job counts as shortest.
func (f *feed) role() int {
	first, short := f.tenant.lines[f.priority].heads(func(*feed) bool { return true })
	switch {
	case first == short:
		return both
	case f == first:
		return oldest
	}
	return shortest
}

// ahead counts the ready records of the jobs that are older than f in its line, and of those with no more tokens left than f.
func (l *line) ahead(f *feed) (older, shorter int) {
	seen := false
	for _, g := range l.feeds {
		if g == f {
			seen = true
			continue
		}
		if !seen {
			older += g.stock()
		}
		if g.left() <= f.left() {
			shorter += g.stock()
		}
	}
	return older, shorter
}

// flights is a linked list of a job's records in flight. Guarded by queue.mu.
type flights struct{ first *item }

func (l *flights) add(it *item) {
	it.ahead, it.behind = nil, l.first
	if l.first != nil {
		l.first.ahead = it
	}
	l.first = it
}

// remove takes a record out of the list. It does nothing for a record that is not in it.
func (l *flights) remove(it *item) {
	switch {
	case it.ahead != nil:
		it.ahead.behind = it.behind
	case l.first == it:
		l.first = it.behind
	}
	if it.behind != nil {
		it.behind.ahead = it.ahead
	}
	it.ahead, it.behind = nil, nil
}

// overdue raises the charge of records that are in flight for longer than usual:
//
//	charge = max(estimate, seconds in flight × tokens per slot and second)
//
// Otherwise a principal whose requests are never answered would hold slots and seem to use next to nothing.
func (q *queue) overdue(now time.Time) {
	if q.meanTook.n == 0 {
		return
	}
	rate := (q.meanIn.or(0) + q.meanOut.or(0)) / max(q.meanTook.or(1), 1e-6)
	for _, f := range q.feeds {
		for it := f.out.first; it != nil; it = it.behind {
			if more := now.Sub(it.taken).Seconds()*rate - it.charged; more > 0 {
				f.book(it, func(a *account, weight float64) { a.flying += more / weight })
				it.charged += more
			}
		}
	}
}
