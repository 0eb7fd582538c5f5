package dispatch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
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
	answers  answers       // that twins of records to come may share
	slowNext int           // of served: when to look again for a record that takes long
	looked   time.Time     // at the outlook
	changed  chan struct{} // closed, and replaced, whenever a record may have become ready
}

func newQueue(d *Dispatcher, s Serving) *queue {
	q := &queue{d: d, model: s.Model, chunks: d.o.Room.Account(chunkFloor), changed: make(chan struct{})}
	for _, b := range s.Backends {
		q.lanes = append(q.lanes, newLane(q, b))
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
	may := func(f *feed) bool { return f.wanting && q.fits(f, short) && len(f.ready.items) < f.ready.wide(wide) }
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
		f.end()
	}
}

// drop forgets a feed. The caller holds mu.
func (q *queue) drop(f *feed) {
	if slices.Contains(q.feeds, f) {
		q.feeds = without(q.feeds, f)
		q.shares.remove(f)
	}
}

// note tells the jobs of the queue why they wait, or, when message is empty, that they no longer do. Those that have been told why are
// not told again when the message is the same as before.
func (q *queue) note(ctx context.Context, message string, again bool) {
	q.mu.Lock()
	var ids []string
	for _, f := range q.feeds {
		if f.noted && !again || !f.noted && message != "" {
			f.noted = message != ""
			ids = append(ids, f.job.ID)
		}
	}
	q.mu.Unlock()
	for _, id := range ids {
		if err := q.d.o.Store.Note(ctx, id, message); err != nil {
			q.d.o.Log.Warn("note on job", "job", id, "err", err)
		}
	}
}

func without(feeds []*feed, f *feed) []*feed {
	return slices.DeleteFunc(feeds, func(g *feed) bool { return g == f })
}

// permanent tells an error that no repetition mends. Access that is denied may be given back: lifecycle decides for how long it is tried.
func permanent(err error) bool {
	if _, ok := errors.AsType[*batholith.Broken](err); ok {
		return true
	}
	return blob.Permanent(err) && !blob.Denied(err) || errors.Is(err, errIndex) || errors.Is(err, batholith.ErrMoved) || errors.Is(err, batholith.ErrNotFound)
}
