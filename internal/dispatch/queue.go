package dispatch

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/batholith/batholith/internal/memory"
)

// lateRead is how long a chunk may take to be read before other jobs stop counting on its records.
const lateRead = 2 * time.Second

// Bounds of what the feeds of a queue hold in memory.
const (
	leastReady = 512               // records that should be ready for the lanes at any time, if there are so many
	queueBytes = walkBytes + 4<<20 // of claimed chunks. A job's window takes no more than a part of it (walk.bound), so that another can begin
	mostBytes  = 256 << 20         // of claimed chunks, as long as the lanes would have to wait otherwise: records may be of many megabytes
	reserve    = 1 << 20           // set aside for a chunk before its size is known
)

// queue is one model's jobs, and the lanes that take their records. Whose turn it is, shares.go says; when a job goes first because
// its time would run out, outlook.go; which of its records is next, walk.go.
type queue struct {
	d      *Dispatcher
	model  string
	lanes  []*lane
	chunks *memory.Account

	mu       sync.Mutex
	feeds    []*feed // in the order of Enqueue
	shares   shares
	held     int64 // bytes of claimed chunks, and what is set aside for the next
	served   int   // records ever handed out
	rate     meter
	meanIn   average // tokens of a record of any job
	meanOut  average
	meanTook average   // seconds of an attempt that was answered
	answers  answers   // that twins of records to come may share
	slowNext int       // of served: when to look again for a record that takes long
	looked   time.Time // at the outlook
}

// newQueue makes the queue of a model. The caller holds d.mu.
func newQueue(d *Dispatcher, s Serving) *queue {
	q := &queue{d: d, model: s.Model, chunks: d.o.Room.Account(chunkFloor)}
	for _, b := range s.Backends {
		if l := d.lane(b); !slices.Contains(q.lanes, l) {
			q.lanes = append(q.lanes, l)
			l.serve(q)
		}
	}
	return q
}

// enqueue puts f into the line of its owner. The caller holds d.mu.
func (q *queue) enqueue(f *feed) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.feeds = append(q.feeds, f)
	q.shares.add(f)
	q.run(f)
}

// run starts a feed's goroutine, once the Dispatcher runs. The caller holds mu and d.mu.
func (q *queue) run(f *feed) {
	if q.d.take != nil && q.d.take.Err() == nil && !f.running {
		f.running = true
		q.d.wg.Go(f.run)
	}
}

// admit looks whether jobs may begin. It is called when a backend has become usable.
func (q *queue) admit() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.grant()
}

// grant lets jobs claim their next chunks: those whose turn it is as far as their windows reach, and others while the lanes have less
// than enough. A job stays Scheduled until its first, and until a backend can be used. The caller holds mu.
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

func (q *queue) grantee() *feed {
	ready, wide := 0, q.width()
	for _, f := range q.feeds {
		ready += f.stock()
	}
	short := ready < q.slots()/2
	may := func(f *feed) bool { return f.wanting && q.fits(f, short) && f.sendable() < f.ready.wide(wide) }
	if f := q.urgent(may); f != nil {
		return f
	}
	if ready < wide {
		return q.shares.entitled(may)
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

// companion is a job whose turn it is not yet, while the order of prompts pays for another: they may begin alike, and then its records
// go together with the other's (see neighbour). Otherwise nil.
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

// fits tells whether there is memory for another chunk of f, and, before its first, a backend. The lanes are short of records or not.
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

// width is how many records should be ready: as many as the lanes take at once, or more.
func (q *queue) width() int { return max(q.slots(), leastReady) }

// slots is how many records the lanes take at once.
func (q *queue) slots() (n int) {
	for _, l := range q.lanes {
		n += l.width()
	}
	return n
}

func (q *queue) usable() bool {
	return slices.ContainsFunc(q.lanes, func(l *lane) bool { return l.usable() })
}

// remove takes f out of the line, and lets go of its records that are not in flight. A feed that was never started ends here.
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

// drop forgets a feed. The caller holds mu.
func (q *queue) drop(f *feed) {
	if slices.Contains(q.feeds, f) {
		q.feeds = without(q.feeds, f)
		q.shares.remove(f)
	}
}

// takes tells whether records of a class can be sent somewhere now.
func (q *queue) takes(c *class) bool {
	return slices.ContainsFunc(q.lanes, func(l *lane) bool { return l.takes(c) })
}

// tell has the owners of jobs know why records of theirs wait, and when they no longer do.
func (q *queue) tell() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, f := range q.feeds {
		f.tell()
	}
}

// tell compares why the job waits with what its owner was told. A goroutine tells what is new, so that a database which does not answer holds
// up no lane. The caller holds queue.mu.
func (f *feed) tell() {
	f.told = f.waitsFor()
	if f.told != f.said && !f.telling && f.d.send != nil {
		f.telling = true
		f.d.wg.Go(f.tells)
	}
}

func (f *feed) tells() {
	q := f.queue
	for {
		q.mu.Lock()
		why := f.told
		if f.telling = why != f.said; !f.telling {
			q.mu.Unlock()
			return
		}
		f.said = why
		q.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(f.d.send), 10*time.Second)
		if err := f.d.o.Store.Note(ctx, f.job.ID, why); err != nil {
			f.d.o.Log.Warn("note on job", "job", f.job.ID, "err", err)
		}
		cancel()
	}
}

// waitsFor is the message of a job whose records wait for a model server; "" if none does. The caller holds queue.mu.
func (f *feed) waitsFor() string {
	q := f.queue
	why := ""
	if !q.usable() {
		why = q.lanes[0].halts(nil)
	}
	blocked := func(c *class) {
		if why == "" && !q.takes(c) {
			why = q.lanes[0].halts(c)
		}
	}
	if why == "" && slices.ContainsFunc(q.lanes, func(l *lane) bool { return l.paused.Load() > 0 }) {
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
	return "Records wait: " + why + ". Batholith tries again by itself; if this lasts, check the model server."
}

func without(feeds []*feed, f *feed) []*feed {
	return slices.DeleteFunc(feeds, func(g *feed) bool { return g == f })
}
