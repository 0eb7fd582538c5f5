package dispatch

import (
	"context"
	"math/rand/v2"
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
	server, model string // names that are equal in all processes; empty: no other process reaches the server
	wants         int    // requests that it could have in flight lately
	used          time.Time
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
	m := member{}
	m.server, m.model = shared(b)
	for _, other := range d.hosts {
		if other.member.server == m.server && other.member.model == m.model { // other settings for the same server: they have a limit of their own
			return
		}
	}
	if m.server != "" {
		h.member = m
		h.limit.Join()
	}
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
		names = append(names, h.member.server)
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
}

// enlisted returns the servers that other workers may use too.
func (d *Dispatcher) enlisted() (hosts []*host) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.hosts {
		if h.member.server != "" {
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
	m := &h.member
	var others []batholith.Load
	for _, l := range all {
		if l.Backend == m.server && l.Model == m.model {
			others = append(others, l)
		}
	}
	me := batholith.Load{Worker: worker, Backend: m.server, Model: m.model}
	me.Wants, me.Calls = h.wants()
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
func (h *host) wants() (all, calls int) {
	calls = h.limit.Reserve()
	ready := 0
	for _, l := range h.members() {
		if !l.usable() {
			continue
		}
		for _, q := range l.served() {
			ready += q.stock()
		}
	}
	m := &h.member
	m.wants = max(h.limit.InFlight()+ready+ready/4+calls, m.wants*4/5)
	return m.wants, calls
}

// members returns the lanes of the server.
func (h *host) members() []*lane {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lanes[:len(h.lanes):len(h.lanes)]
}

// stock is the number of records of the queue that could be sent now or soon.
func (q *queue) stock() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, f := range q.feeds {
		n += f.sendable() + len(f.later)
		if f.wanting || f.granted { // it is about to have some
			n++
		}
	}
	return n
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
		x.InFlight, x.Wants, x.Calls, x.Goodput, x.Idle = y.InFlight, y.Wants, y.Calls, y.Goodput, y.Idle
		if x != y {
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
