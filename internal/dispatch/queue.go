package dispatch

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/memory"
)

// lateRead is how long the read of a chunk may take before other jobs may claim in its place.
const lateRead = 2 * time.Second

// Bounds of what the feeds of a queue hold in memory.
const (
	leastReady = 512               // records that should be ready for the lanes at any time
	queueBytes = walkBytes + 4<<20 // of claimed chunks. One job takes at most walk.bound of it, so that another job can begin
	mostBytes  = 256 << 20         // of claimed chunks, if the lanes are short of records: one record may have many megabytes
	reserve    = 1 << 20           // reserved for a chunk before its size is known
)

// queue holds one model's jobs, and the lanes that send their records. share.go decides which job is next, outlook.go which job goes first
// because of its deadline, walk.go which of a job's records is next.
type queue struct {
	d      *Dispatcher
	model  string
	route  route
	view   atomic.Pointer[view] // replaced as a whole by a reload
	chunks *memory.Account
	media  *memory.Account // of objects that records name

	mu       sync.Mutex
	feeds    []*feed // in the order of Enqueue
	shares   shares
	held     int64     // bytes of claimed chunks, with the reserves of chunks to come
	served   int       // records given to lanes since the start
	rate     meter     // tokens per second of the model
	meanIn   average   // input tokens per answered record, over all jobs
	meanOut  average   // output tokens per answered record, over all jobs
	meanTook average   // seconds per answered attempt
	answers  answers   // recent answers, for identical records that are read later
	slowNext int       // value of served at which slowest looks again
	scarce   int       // ready records of the lane that can answer fewest, see starves
	recount  int       // value of served at which they are counted again
	looked   time.Time // latest computation of the outlooks
}

// view is how a queue's model is served.
type view struct {
	lanes  []*lane
	set    batholith.Abilities // by the settings
	spread *spread             // of records over the lanes; nil: no lane has a weight
}

// newQueue makes the queue of a model and adds it to its lanes. The caller holds d.mu.
func newQueue(d *Dispatcher, s Serving) *queue {
	q := &queue{d: d, model: s.Model, route: s.route(), chunks: d.o.Room.Account(chunkFloor), media: d.o.Room.Account(mediaFloor)}
	q.use(s)
	return q
}

// use makes the backends of a serving those of the queue. Requests in flight on other lanes go on. The caller holds d.mu.
func (q *queue) use(s Serving) {
	to := &view{set: s.Set}
	for _, b := range s.Backends {
		if l := q.d.lane(b, s.Model); !slices.Contains(to.lanes, l) {
			to.lanes = append(to.lanes, l)
		}
	}
	before := q.lanes()
	if slices.Equal(before, to.lanes) {
		to.spread = q.spread()
	} else {
		to.spread = newSpread(to.lanes)
	}
	q.view.Store(to)
	for _, l := range before {
		if !slices.Contains(to.lanes, l) {
			l.unserve(q)
		}
	}
	for _, l := range to.lanes {
		if !slices.Contains(before, l) {
			l.serve(q)
		}
	}
}

// lanes returns the lanes of the model's backends. The slice is not changed any more.
func (q *queue) lanes() []*lane {
	if v := q.view.Load(); v != nil {
		return v.lanes
	}
	return nil
}

// set returns what the settings say that the model can do.
func (q *queue) set() (can batholith.Abilities) {
	if v := q.view.Load(); v != nil {
		can = v.set
	}
	return can
}

// spread returns the shares of the lanes; nil: no lane has a weight.
func (q *queue) spread() *spread {
	if v := q.view.Load(); v != nil {
		return v.spread
	}
	return nil
}

// enqueue appends a feed. The caller holds d.mu.
func (q *queue) enqueue(f *feed) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.feeds = append(q.feeds, f)
	q.shares.add(f)
	q.run(f)
}

// run starts a feed's goroutine if the Dispatcher runs. The caller holds mu and d.mu.
func (q *queue) run(f *feed) {
	if q.d.take != nil && q.d.take.Err() == nil && !f.running {
		f.running = true
		q.d.wg.Go(f.run)
	}
}

// admit lets jobs claim their first chunks. It is called when a backend becomes usable.
func (q *queue) admit() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.recount = 0
	q.grant()
}

// grant lets jobs claim chunks, until the lanes have enough records or the memory is used up. A job stays Scheduled until its first grant,
// which needs a usable backend. The caller holds mu.
func (q *queue) grant() {
	if !slices.ContainsFunc(q.feeds, func(f *feed) bool { return f.wanting }) {
		return
	}
	for f := q.grantee(); f != nil; f = q.grantee() {
		f.wanting, f.granted, f.opened = false, true, true
		f.late = time.AfterFunc(lateRead, f.stall)
		q.held += reserve
		f.nudge()
	}
}

// grantee returns the job that may claim a chunk next, or nil if none needs to: one that inherits chunks of a lost worker; an urgent job;
// else, while too few records are ready, the job whose turn it is; else a job for a lane that is short of records that it can answer; else
// a job before which too few records are ready in its line; else a companion. The caller holds mu.
func (q *queue) grantee() *feed {
	ready, wide := 0, q.width()
	for _, f := range q.feeds {
		ready += f.stock()
	}
	short := ready < q.slots()/2
	may := func(f *feed) bool {
		return f.wanting && q.fits(f, short) && f.sendable() < q.part(f, wide, f.ready.wide(wide))
	}
	for _, f := range q.feeds {
		if f.inherits && f.wanting && q.fits(f, true) {
			return f
		}
	}
	if f := q.urgent(may); f != nil {
		return f
	}
	if ready < wide {
		return q.shares.entitled(may)
	}
	if f := q.provider(wide); f != nil {
		return f
	}
	for _, t := range q.shares.tenants {
		for i := range t.lines {
			l := &t.lines[i]
			first, short := l.heads(may)
			if first == nil {
				continue
			}
			if _, shorter := l.ahead(short); shorter < wide {
				return short
			}
			if older, _ := l.ahead(first); older < wide {
				return first
			}
		}
	}
	return q.companion(may)
}

// companion returns a job that may claim before its turn, or nil. There is one only while prompt order pays for another job: both jobs'
// prompts may share beginnings, and then neighbour sends their records together. The caller holds mu.
func (q *queue) companion(may func(*feed) bool) *feed {
	if !slices.ContainsFunc(q.feeds, func(f *feed) bool { return f.ready.ordered && f.ready.chunks > 0 && f.ready.pays() }) {
		return nil
	}
	for _, f := range q.feeds[:min(len(q.feeds), looksAside)] {
		if f.ready.ordered && may(f) && q.held+reserve <= walkBytes {
			return f
		}
	}
	return nil
}

// fits reports whether there is memory for another chunk of f, and for its first chunk also a usable backend. short: the lanes have too few
// ready records, so that more memory is allowed (mostBytes). The caller holds mu.
func (q *queue) fits(f *feed, short bool) bool {
	switch {
	case !f.opened && !q.usable():
		return false
	case short:
		return q.held+reserve <= mostBytes
	case f.held == 0:
		return q.held == 0 || q.held+reserve <= queueBytes
	}
	return f.held+reserve <= f.ready.bound() && q.held+reserve <= f.ready.bound()
}

// width is the number of records that should be ready: max(slots, leastReady). See fleetWidth for one of several workers.
func (q *queue) width() int {
	if q.fellows() != 1 {
		return q.fleetWidth()
	}
	return max(q.slots(), leastReady)
}

// slots is the number of requests that all lanes together may have in flight.
func (q *queue) slots() (n int) {
	for _, l := range q.lanes() {
		n += l.width()
	}
	return n
}

// usable reports whether at least one lane is usable.
func (q *queue) usable() bool {
	return slices.ContainsFunc(q.lanes(), func(l *lane) bool { return l.usable() })
}

// remove takes f out of the queue and drops its records, except those in flight. A feed that never started is closed here.
func (q *queue) remove(f *feed) {
	q.mu.Lock()
	q.drop(f)
	f.letGo()
	never := !f.running
	f.running = true
	q.mu.Unlock()
	if never {
		f.close()
	}
}

// drop takes a feed out of the queue and its shares. The caller holds mu.
func (q *queue) drop(f *feed) {
	if slices.Contains(q.feeds, f) {
		q.feeds = without(q.feeds, f)
		q.shares.remove(f)
	}
}

// takes reports whether some lane may send records of a class now.
func (q *queue) takes(c *class) bool {
	return slices.ContainsFunc(q.lanes(), func(l *lane) bool { return l.takes(c) })
}

// tell updates the notes of the queue's jobs: why records wait, or that they no longer do.
func (q *queue) tell() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, f := range q.feeds {
		f.tell()
	}
}

// tell computes why the job waits, and starts a goroutine if its note says something else. The lanes do not wait for the database. The
// caller holds queue.mu.
func (f *feed) tell() {
	f.told = f.waitsFor()
	if f.told != f.said && !f.telling && f.d.send != nil {
		f.telling = true
		f.d.wg.Go(f.tells)
	}
}

// tells writes the note until it says why the job waits now. It runs on a goroutine of its own, at most one for each feed.
func (f *feed) tells() {
	q := f.queue
	for {
		q.mu.Lock()
		why := f.told
		if f.telling = why != f.said; !f.telling {
			q.mu.Unlock()
			return
		}
		waited := f.said != ""
		f.said = why
		q.mu.Unlock()
		switch {
		case why != "":
			f.d.o.Log.Info("records of the job wait", "job", f.job.ID, "why", strings.TrimPrefix(why, waitNote)) // the fault itself is a warning of its server's
		case waited:
			f.d.o.Log.Info("records of the job are sent again", "job", f.job.ID)
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(f.d.send), 10*time.Second)
		if err := f.d.o.Store.Note(ctx, f.job.ID, why); err != nil {
			f.d.o.Log.Warn("note on job", "job", f.job.ID, "err", err)
		}
		cancel()
	}
}

// waitNote begins each note of this package.
const waitNote = "Records wait: "

// waitsFor is the note of a job whose records wait for a model server, "" if none waits. The caller holds queue.mu.
func (f *feed) waitsFor() string {
	q := f.queue
	why := ""
	if !q.usable() {
		why = q.halts(nil)
	}
	blocked := func(c *class) {
		if why == "" && !q.takes(c) {
			why = q.halts(c)
		}
	}
	if why == "" && slices.ContainsFunc(q.lanes(), func(l *lane) bool { return l.paused.Load() > 0 }) {
		for c, n := range f.ready.count {
			if n > 0 {
				blocked(c)
			}
		}
		for c, n := range f.trials {
			if n > 0 {
				blocked(c)
			}
		}
		for _, it := range f.later {
			blocked(it.class)
		}
	}
	if why == "" {
		return ""
	}
	if q.drained() {
		return waitNote + why + "." // only an operator ends it
	}
	return waitNote + why + ". Batholith retries automatically. If this lasts, check the model server with: batholith doctor"
}

func without(feeds []*feed, f *feed) []*feed {
	return slices.DeleteFunc(feeds, func(g *feed) bool { return g == f })
}
