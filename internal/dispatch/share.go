package dispatch

import (
	"math"
	"slices"
	"time"

	"github.com/batholith/batholith"
)

// shares divides a model's tokens: among the principals alike, among a principal's priorities by weight, and at one priority between
// two jobs: the one with the least left, so that small jobs do not wait for a large one, and the oldest, so that nobody waits for ever.
// The others get what these two cannot use. All of it is guarded by queue.mu.
type shares struct {
	tenants []*tenant
}

// tenant is one principal of one account.
type tenant struct {
	account
	name  string
	lines [priorities]line
}

// line is a tenant's jobs of one priority, in the order in which they came.
type line struct {
	account // over the weight of the priority
	feeds   []*feed
	roles   [2]account
}

// account is tokens: those of records that are done, and what is reckoned of those that are in flight.
type account struct{ spent, flying float64 }

func (a *account) used() float64 { return a.spent + a.flying }

// join begins an account beside others: one that comes to an empty place has no claim to what it missed.
func (a *account) join(least float64) { a.spent = max(a.spent, least) }

// The two jobs of a line that are served before the others, and their shares of its tokens.
const (
	shortest = iota
	oldest
	both
)

var roleShares = [2]float64{shortest: 3, oldest: 1}

// maxLag bounds what a tenant that could not be served for a while may catch up, in tokens.
const maxLag = 256 << 10

func tenantName(job *batholith.Job) string { return job.Account + "/" + job.Owner }

// add puts a feed into the line of its priority.
func (s *shares) add(f *feed) {
	name := tenantName(&f.job)
	i := slices.IndexFunc(s.tenants, func(t *tenant) bool { return t.name == name })
	if i < 0 {
		i = len(s.tenants)
		t := &tenant{name: name}
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

// least is what the tenant with the least has spent.
func (s *shares) least() float64 {
	least := math.Inf(1)
	for _, t := range s.tenants {
		least = min(least, t.spent)
	}
	return zeroIfNone(least)
}

// least is what the line with the least has spent.
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

func (s *shares) remove(f *feed) {
	l := &f.tenant.lines[f.priority]
	l.feeds = without(l.feeds, f)
	if !f.tenant.any(func(*feed) bool { return true }) {
		s.tenants = slices.DeleteFunc(s.tenants, func(t *tenant) bool { return t == f.tenant })
	}
}

// move changes a feed's priority to another one. What is in flight stays on the account that it was charged to. The lines of a tenant have spent about as much
// as one another, so a line that was empty begins where the feed's former line is.
func (s *shares) move(f *feed, to priority) {
	from, l := &f.tenant.lines[f.priority], &f.tenant.lines[to]
	from.feeds = without(from.feeds, f)
	if len(l.feeds) == 0 {
		l.join(from.spent)
	}
	l.feeds = append(l.feeds, f)
	f.priority = to
}

func (t *tenant) any(can func(*feed) bool) bool {
	for i := range t.lines {
		if slices.ContainsFunc(t.lines[i].feeds, can) {
			return true
		}
	}
	return false
}

// entitled is the feed whose turn it is among those that can, or nil.
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
	if at == nil { // a lane's classes may be paused, and a job begun, between two looks: whoever does that has the lanes look again
		return nil
	}
	return at.turn(can)
}

// turn is the job of a line to serve next: one that can, which there must be.
func (l *line) turn(can func(*feed) bool) *feed {
	first, short := l.heads(can)
	if l.roles[oldest].used()/roleShares[oldest] < l.roles[shortest].used()/roleShares[shortest] {
		return first
	}
	return short
}

// heads are the first of a line that can, and the one of them with the least left.
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

// charge takes what a record is reckoned to take off the shares of its job.
func (s *shares) charge(it *item) {
	it.charged = it.size()
	it.line, it.role = it.feed.priority, it.feed.role()
	it.feed.book(it, func(a *account, weight float64) { a.flying += it.charged / weight })
}

// pay replaces what was reckoned of a record by what it took; nothing, when it was not done.
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

// most is what the tenant with the most has spent.
func (s *shares) most() (most float64) {
	for _, t := range s.tenants {
		most = max(most, t.spent)
	}
	return most
}

// book changes every account that a record of the feed is on.
func (f *feed) book(it *item, change func(a *account, weight float64)) {
	l := &f.tenant.lines[it.line]
	change(&f.tenant.account, 1)
	change(&l.account, weights[it.line])
	if it.role != both {
		change(&l.roles[it.role], 1)
	}
}

// role says on whose share of its line's tokens the job is. One that is the oldest and has the least left has both.
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

// ahead counts the records that are ready of the jobs before f in its line: those that came before, and those with less left.
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

// flights is a list of the records of a job that are in flight. It is guarded by queue.mu.
type flights struct{ first *item }

func (l *flights) add(it *item) {
	it.ahead, it.behind = nil, l.first
	if l.first != nil {
		l.first.ahead = it
	}
	l.first = it
}

// remove takes out a record, if it is there.
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

// overdue charges records that have been in flight for longer than their tokens take as a rule: what matters to the others is the slot.
// Otherwise a principal whose requests are never answered would seem to use next to nothing.
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
