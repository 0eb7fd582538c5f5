package dispatch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"github.com/batholith/batholith"
)

// Loads is the table through which the workers that send to one server share its limit (see package limit, fleet.go).
type Loads interface {
	// PutLoads replaces the worker's rows.
	PutLoads(ctx context.Context, worker string, loads []batholith.Load) error
	// Loads returns the rows of the other living workers for these backends, ordered by worker, and how many other workers live.
	Loads(ctx context.Context, worker string, backends []string) (others []batholith.Load, workers int, err error)
}

// Times of the table of loads.
const (
	shareEvery = time.Second     // between two looks at the table, at least; each look writes at most once
	shareTime  = 2 * time.Second // of one read or write
	idleHost   = 10 * time.Second
)

// members are the servers that other workers may use too. The fields below belong to the goroutine of shares.
type members struct {
	wrote  []batholith.Load // the rows as they are in the table
	failed bool             // the latest look failed
}

// member is what the goroutine of shares knows of one server.
type member struct {
	wants  int               // requests that it could have in flight lately
	purses []batholith.Purse // of the latest row
	used   time.Time
}

// shared returns the names of a backend's server that are equal in all processes.
func shared(b Backend) (server, model string) {
	if s, ok := b.(interface{ Shared() (server, model string) }); ok {
		return s.Shared()
	}
	return "", ""
}

// enlist makes a new server one of those that workers share. The caller holds d.mu.
func (d *Dispatcher) enlist(h *host, b Backend) {
	if d.o.Loads == nil {
		return
	}
	if d.rename(h, b); h.names()[0] != "" {
		h.limit.Join()
	}
}

// rename gives a host the names of a backend. It gets none if another host has them: other settings for the same server have a limit of their
// own. The caller holds d.mu.
func (d *Dispatcher) rename(h *host, b Backend) {
	if d.o.Loads == nil {
		return
	}
	var names [2]string
	names[0], names[1] = shared(b)
	for _, other := range d.hosts {
		if other != h && other.names() == names {
			names = [2]string{}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.named = names
}

// names are those of the server and model in the table of loads, which are equal in all processes; empty: no other process reaches the server.
func (h *host) names() [2]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.named
}

// share makes the goroutine of shares look at the table at once. It does not block.
func (d *Dispatcher) share() {
	select {
	case d.sharing <- struct{}{}:
	default:
	}
}

// shares looks at the table of loads once a second until ctx ends, and then deletes this worker's rows. Nothing waits for it: while the database
// does not answer, each server keeps its share.
func (d *Dispatcher) shares(ctx context.Context) {
	var m members
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shareTime)
			defer cancel()
			if len(m.wrote) > 0 {
				_ = d.o.Loads.PutLoads(ctx, d.o.Worker, nil) // else they do not count any more when the lease ends
			}
			return
		case <-d.sharing:
		case <-wait.C:
		}
		d.meet(ctx, &m)
		// The jitter keeps workers that start together from looking at the same moment.
		wait.Reset(shareEvery + time.Duration(rand.Int64N(int64(shareEvery/10))))
	}
}

// meet reads the others' rows, divides the limits, and writes this worker's rows if they have changed.
func (d *Dispatcher) meet(ctx context.Context, m *members) {
	hosts := d.enlisted()
	if len(hosts) == 0 {
		return
	}
	names := make([]string, 0, len(hosts))
	for _, h := range hosts {
		names = append(names, h.names()[0])
	}
	others, workers, err := d.readLoads(ctx, names)
	if err != nil {
		if !m.failed && ctx.Err() == nil {
			d.o.Log.Debug("the loads of other workers cannot be read; the model servers' limits stay divided as they are", "err", err)
		}
		m.failed = true
		return
	}
	m.failed = false
	var rows []batholith.Load
	for _, h := range hosts {
		if row, ok := h.meets(d.o.Worker, others, workers+1); ok {
			rows = append(rows, row)
		}
	}
	if workers == 0 { // nobody would read them
		rows = nil
	}
	if !d.writeLoads(ctx, m, rows) {
		return
	}
	for _, h := range hosts {
		h.limit.Stored()
	}
	for _, q := range d.allQueues() {
		q.weigh()
	}
}

// allQueues returns the queues of all models.
func (d *Dispatcher) allQueues() []*queue {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.queues))
}

// enlisted returns the servers that other workers may use too.
func (d *Dispatcher) enlisted() (hosts []*host) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.hosts {
		if h.names()[0] != "" {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

func (d *Dispatcher) readLoads(ctx context.Context, names []string) ([]batholith.Load, int, error) {
	ctx, cancel := context.WithTimeout(ctx, shareTime)
	defer cancel()
	return d.o.Loads.Loads(ctx, d.o.Worker, names)
}

// writeLoads writes the rows if they say something else than those in the table. It reports whether the table has them.
func (d *Dispatcher) writeLoads(ctx context.Context, m *members, rows []batholith.Load) bool {
	if sameLoads(rows, m.wrote) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, shareTime)
	defer cancel()
	if d.o.Loads.PutLoads(ctx, d.o.Worker, rows) != nil {
		return false
	}
	m.wrote = rows
	return true
}

// meets divides the limit of one server with the other workers. It returns this worker's row; ok is false if the worker does not use the server.
func (h *host) meets(worker string, all []batholith.Load, workers int) (row batholith.Load, ok bool) {
	m, named := &h.member, h.names()
	var others []batholith.Load
	for _, l := range all {
		if l.Backend == named[0] && l.Model == named[1] {
			others = append(others, l)
		}
	}
	me := batholith.Load{Worker: worker, Backend: named[0], Model: named[1]}
	me.Wants, me.Calls, me.Purses = h.wants()
	m.purses = me.Purses
	now := time.Now()
	if me.Wants > 0 {
		m.used = now
	}
	if workers > 1 && now.Sub(m.used) > idleHost {
		h.limit.Left(false)
		return batholith.Load{}, false
	}
	return h.limit.Meet(me, others, workers), true
}

// wants is how many requests the worker could have in flight at the server now or lately, and how many slots calls need. While there are fewer
// records than slots, there is a quarter more, so that a share is not lost in the gap between two chunks:
//
//	wants = max(calls + in flight + ready × 1.25, 0.8 × wants of a second ago)
func (h *host) wants() (all, calls int, purses []batholith.Purse) {
	calls = h.limit.Reserve()
	ready := map[batholith.Purse]int{}
	n := 0
	for _, l := range h.members() {
		if !l.usable() {
			continue
		}
		for _, q := range l.served() {
			n += q.stocks(ready)
		}
	}
	m := &h.member
	m.wants = max(h.limit.InFlight()+n+n/4+calls, m.wants*4/5)
	return m.wants, calls, pursesOf(ready)
}

// mostPurses bounds the purses of a row.
const mostPurses = 16

// pursesOf makes the purses of a row. Numbers are rounded up to 1, 2, 3, 4, 6, 8, 12 and so on, so that the row seldom changes. If there are
// too many, those that want least count as one principal.
func pursesOf(ready map[batholith.Purse]int) (purses []batholith.Purse) {
	for p, n := range ready {
		p.Wants = roughly(n + n/4)
		purses = append(purses, p)
	}
	slices.SortFunc(purses, func(a, b batholith.Purse) int {
		return cmp.Or(cmp.Compare(b.Wants, a.Wants), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Weight, b.Weight))
	})
	if len(purses) > mostPurses {
		rest := batholith.Purse{Group: "-", Weight: 1}
		for _, p := range purses[mostPurses-1:] {
			rest.Wants += p.Wants
		}
		purses = append(purses[:mostPurses-1], rest)
	}
	return purses
}

// roughly rounds a number up to a power of two, or to three halves of one.
func roughly(n int) int {
	for at := 1; ; at *= 2 {
		switch {
		case n <= at:
			return at
		case n <= at+at/2:
			return at + at/2
		}
	}
}

// purse names what a job's records count for when workers divide a server.
func (f *feed) purse() batholith.Purse {
	if f.outlook.urgent {
		return batholith.Purse{Weight: 1}
	}
	return batholith.Purse{Group: groupOf(f.tenant.name), Weight: int(weights[f.priority])}
}

// groupOf is the name of a principal in the table of loads.
func groupOf(tenant string) string {
	sum := sha256.Sum256([]byte(tenant))
	return hex.EncodeToString(sum[:6])
}

// stocks adds the records of the queue that are in flight or could be sent now or soon to the purses that they belong to. It returns the number
// of those that are not in flight.
func (q *queue) stocks(ready map[batholith.Purse]int) (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, f := range q.feeds {
		k := f.sendable() + len(f.later)
		if f.wanting || f.granted { // it is about to have some
			k++
		}
		if n += k; k+f.flying > 0 {
			ready[f.purse()] += k + f.flying
		}
	}
	return n
}

// leastWeight bounds the weights of principals and priorities from below, as a part of the highest.
const leastWeight = 0.02

// weigh divides this worker's part of the servers among the principals as the parts of all workers say: a principal whose records are all
// here gets more of this worker than one whose records are everywhere. If nobody shares the servers, all principals are equal.
func (q *queue) weigh() {
	parts := map[batholith.Purse]float64{}
	shared := false
	seen := map[*host]bool{}
	for _, l := range q.lanes() {
		if seen[l.host] {
			continue
		}
		seen[l.host] = true
		for i, n := range l.host.limit.Parts() {
			if at := l.host.member.purses; i < len(at) {
				p := at[i]
				p.Wants = 0
				parts[p] += n
				shared = true
			}
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	most := 0.0
	tenants := make([]float64, len(q.shares.tenants))
	for i, t := range q.shares.tenants {
		group := groupOf(t.name)
		high := 0.0
		var lines [priorities]float64
		for k := range t.lines {
			lines[k] = parts[batholith.Purse{Group: group, Weight: int(weights[k])}]
			tenants[i] += lines[k]
			high = max(high, lines[k])
		}
		for k := range t.lines {
			if t.lines[k].weight = weights[k]; shared && high > 0 {
				t.lines[k].weight = weights[0] * max(lines[k]/high, leastWeight)
			}
		}
		most = max(most, tenants[i])
	}
	for i, t := range q.shares.tenants {
		if t.weight = 1; shared && tenants[i] > 0 {
			t.weight = max(tenants[i]/most, leastWeight)
		}
	}
}

// workers is how many times as much as this worker all workers of the model have in flight. A worker that uses three quarters of its part counts
// as one that uses all of it, since some requests are always between an answer and the next record. The caller holds queue.mu.
func (q *queue) workers() float64 {
	own, others := 0, 0
	for _, l := range q.lanes() {
		n, size := l.limit.Peak(), l.limit.Size()
		if 4*n >= 3*size {
			n = max(n, size)
		}
		own, others = own+n, others+l.limit.Beside()
	}
	if own == 0 {
		return 1
	}
	return 1 + float64(others)/float64(own)
}

// Committed tells how many records of a job have an outcome by now, of all workers.
func (d *Dispatcher) Committed(job string, c batholith.Counts) {
	d.mu.Lock()
	f := d.feeds[job]
	d.mu.Unlock()
	if f == nil {
		return
	}
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	if c.Processed > f.stored {
		f.stored, f.storedAt = c.Processed, f.concluded
	}
}

// members returns the lanes of the server.
func (h *host) members() []*lane {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lanes[:len(h.lanes):len(h.lanes)]
}

// sameLoads reports whether rows say the same, apart from small changes of what is in flight and wanted.
func sameLoads(a, b []batholith.Load) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		if !near(x.InFlight, y.InFlight) || !near(x.Wants, y.Wants) || !near(x.Calls, y.Calls) || !near(int(x.Goodput), int(y.Goodput)) {
			return false
		}
		if !slices.Equal(x.Purses, y.Purses) {
			return false
		}
		x.Purses, y.Purses = nil, nil
		x.InFlight, x.Wants, x.Calls, x.Goodput, x.Idle = y.InFlight, y.Wants, y.Calls, y.Goodput, y.Idle
		if !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}

// near reports whether two numbers differ by at most 1, or by at most a sixteenth.
func near(a, b int) bool {
	d := max(a, b) - min(a, b)
	return d <= 1 || d*16 <= max(a, b)
}
