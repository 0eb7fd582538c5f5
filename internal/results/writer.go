package results

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
)

const (
	segmentEvery = time.Second // longest wait of an outcome until its segment begins
	segmentBytes = 4 << 20     // with so many bytes of lines, a segment begins at once
	overhead     = 160         // bytes of memory of a pending outcome, without its line
	pendingBytes = 64 << 20    // default of Options.PendingBytes

	diskTime = 100 * time.Millisecond // after this wait for the journal, an Add may return before its outcome is written
	maxLoose = 16                     // at most so many such outcomes exist: neither journalled nor committed

	// Commits that run in parallel: first attempts, and retries. Since retries have slots of their own, a bucket that hangs delays other
	// jobs at most once, for attemptTime.
	commitsAtOnce = 32
	retriesAtOnce = 8
)

// Options configures a Writer. Dir, Worker, Store and Open are required.
type Options struct {
	Dir    string // folder of the journal; no other process writes there
	Worker string // id under which the chunks are leased; the same at every start with the same Dir
	Store  Store
	Open   Opener
	Log    *slog.Logger

	// OnCommit is called with a job's counters after each of its commits.
	OnCommit func(job string, c batholith.Counts)
	// OnFault is called after every attempt to store outcomes that fails permanently: access is denied, or the bucket does not
	// exist. The Writer retries all the same, until it succeeds or Drop is called. OnFault is also called with
	// batholith.ErrOutcomesLost, if a merge finds a lost segment.
	OnFault func(job string, err error)

	// OnWait is called after every failed attempt to store outcomes, with the time of the first attempt. OnCommit ends the wait.
	OnWait func(job string, since time.Time, err error)

	Listener batholith.Listener // its Committed and Merged are called

	PendingBytes int64 // bound of outcomes in memory, in bytes; 0: 64 MiB

	// Keys encrypt the journal, and decrypt the files of earlier processes; nil: none.
	Keys Keys

	// Shelf is a bucket on this worker's own disk, for the segments of failing jobs: see Shelve. nil: there is none.
	Shelf blob.Bucket
}

// Writer commits finished outcomes. Add, Flush, Drop, Shelve and Unshelve may be called by any goroutine.
type Writer struct {
	o       Options
	boot    string       // random; distinguishes this process's keys from those of earlier ones
	made    atomic.Int64 // number of keys made
	journal *journal
	shelf   shelf
	slots   chan struct{} // one token for each running first attempt
	retries chan struct{} // one token for each running retry
	fresh   chan struct{} // 1-buffered, never closed; gets a value when new queues need a goroutine
	crowded chan struct{} // 1-buffered, never closed; gets a value when there are too many journal files
	merges  chan string   // jobs that may have segments to merge; never closed
	width   int           // mergeWidth; tests make it smaller

	keeping sync.Mutex
	kept    map[string][]string // job → objects of merged segments that a publisher may read

	mu      sync.Mutex
	queues  map[string]*queue // one for each job with unsettled outcomes
	starts  []*queue          // queues without a goroutine so far
	pending int64             // counted bytes of all queues
	loose   []loose           // at most maxLoose
	failing map[string]bool   // jobs whose segments may go to the shelf
	freed   chan struct{}     // closed, and replaced, when pending falls
	closing bool              // Run is ending: pending outcomes are committed at once
	ended   bool              // Run has ended
}

// NewWriter opens the journal folder, which it makes if it does not exist. Recover and Run must be called next, in this order.
func NewWriter(o Options) (*Writer, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.PendingBytes == 0 {
		o.PendingBytes = pendingBytes
	}
	if o.OnCommit == nil {
		o.OnCommit = func(string, batholith.Counts) {}
	}
	if o.OnWait == nil {
		o.OnWait = func(string, time.Time, error) {}
	}
	if o.OnFault == nil {
		o.OnFault = func(string, error) {}
	}
	j, err := openJournal(o.Dir, o.Worker, o.Log)
	if err != nil {
		return nil, err
	}
	j.keys = o.Keys
	s := shelf{o.Shelf, o.Worker}
	o.Open = s.over(o.Open)
	return &Writer{o: o, boot: newID(), journal: j, shelf: s, failing: map[string]bool{}, slots: make(chan struct{}, commitsAtOnce), retries: make(chan struct{}, retriesAtOnce),
		fresh: make(chan struct{}, 1), crowded: make(chan struct{}, 1), merges: make(chan string, 64), width: mergeWidth, kept: map[string][]string{},
		queues: map[string]*queue{}, freed: make(chan struct{})}, nil
}

// lastCommits is how long Run tries to commit pending outcomes after its context has ended. The rest stays in the journal.
const lastCommits = 5 * time.Second

// Run journals, commits and merges until ctx ends. Then it tries to commit the pending outcomes for lastCommits, and leaves the rest in the
// journal. It must be the last part of the process to stop, since a later Add is refused. It returns nil.
func (w *Writer) Run(ctx context.Context) error {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	var drives, others errgroup.Group
	others.Go(func() error { w.journal.run(work); return nil })
	others.Go(func() error { w.unpinAll(work); return nil })
	others.Go(func() error { w.mergeAll(ctx); return nil })
	for ctx.Err() == nil {
		w.startQueues(work, &drives)
		select {
		case <-w.fresh:
		case <-ctx.Done():
		}
	}
	w.close()
	w.startQueues(work, &drives)
	late := time.AfterFunc(lastCommits, func() { cancel(batholith.ErrShutdown) })
	drives.Wait()
	late.Stop()
	w.end()
	cancel(batholith.ErrShutdown)
	others.Wait()
	failpoint.Here("results.closed")
	return nil
}

// end makes all waiting calls of Add and Flush return.
func (w *Writer) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	close(w.freed)
	for _, q := range w.queues {
		close(q.moved)
	}
}

// startQueues starts a goroutine for each queue that has none.
func (w *Writer) startQueues(ctx context.Context, drives *errgroup.Group) {
	w.mu.Lock()
	starts := w.starts
	w.starts = nil
	w.mu.Unlock()
	for _, q := range starts {
		drives.Go(func() error { w.drive(ctx, q); return nil })
	}
}

// close makes every queue commit its outcomes at once.
func (w *Writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closing = true
	for _, q := range w.queues {
		q.nudge()
	}
}

// Add takes over an outcome with its line. After Run has ended it returns batholith.ErrShutdown. It returns when the outcome survives
// kill -9: when it is written to the journal or committed, whichever is first. The slot is released after Add, so a kill loses at most one
// answer for each slot, plus maxLoose while the disk hangs. If the disk returns errors, Add does not wait for it; see journal.
//
// Then Add waits while too many bytes are pending, at most until ctx ends. The outcome is taken over in any case, since it is in memory and in
// the journal already. One job never gets all of the memory: it waits when it holds as much as is free, so that a job whose bucket
// does not answer leaves memory for the others.
func (w *Writer) Add(ctx context.Context, o batholith.Outcome) error {
	w.mu.Lock()
	if w.ended {
		w.mu.Unlock()
		return batholith.ErrShutdown
	}
	file, written := w.journal.append(&o)
	q, n := w.enqueue(item{Outcome: o, file: file})
	counted := w.count(q, n)
	w.mu.Unlock()
	if w.journal.crowded() != nil {
		w.crowd()
	}
	if written != nil {
		w.awaitSafe(written, q, n)
	}
	failpoint.Here("results.journalled")
	if !counted {
		w.awaitRoom(ctx, q, n)
	}
	return nil
}

// awaitSafe waits until the nth outcome of a queue is written, which closes its channel, or settled. After diskTime it may return earlier;
// see maxLoose.
func (w *Writer) awaitSafe(written <-chan struct{}, q *queue, n int64) {
	late := time.NewTimer(diskTime)
	defer late.Stop()
	select {
	case <-written:
		return
	case <-late.C:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for q.settled < n && !w.ended && !w.setLoose(written, q, n) {
		q.hurry(n)
		moved := q.moved
		w.mu.Unlock()
		select {
		case <-written:
			w.mu.Lock()
			return
		case <-moved:
		}
		w.mu.Lock()
	}
}

// loose is an outcome whose Add returned before it was written or settled.
type loose struct {
	written <-chan struct{}
	q       *queue
	n       int64
}

// setLoose makes an outcome loose if there are fewer than maxLoose. The caller holds mu.
func (w *Writer) setLoose(written <-chan struct{}, q *queue, n int64) bool {
	w.loose = slices.DeleteFunc(w.loose, func(l loose) bool {
		select {
		case <-l.written:
			return true
		default:
			return l.q.settled >= l.n
		}
	})
	if len(w.loose) == maxLoose {
		return false
	}
	w.loose = append(w.loose, loose{written, q, n})
	return true
}

// awaitRoom waits until the nth outcome of a queue can be counted as pending, is settled, or ctx ends. The channel freed is closed at each
// of these changes, also when the queue becomes empty.
func (w *Writer) awaitRoom(ctx context.Context, q *queue, n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for q.settled < n && !w.ended && !w.count(q, n) {
		freed := w.freed
		w.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
		}
		w.mu.Lock()
		if ctx.Err() != nil {
			return
		}
	}
}

// count counts the nth outcome of a queue as pending if its job may have so many more bytes:
//
//	bytes of the job + size ≤ PendingBytes - bytes of all jobs - size
//
// A job with nothing pending always may. The caller holds mu.
func (w *Writer) count(q *queue, n int64) bool {
	size := q.items[n-q.settled-1].size()
	if q.bytes > 0 && q.bytes+size > w.o.PendingBytes-w.pending-size {
		return false
	}
	w.pending += q.count(n)
	return true
}

// enqueue puts an outcome into its job's queue, and returns the queue and the outcome's number in it. The caller holds mu.
func (w *Writer) enqueue(i item) (*queue, int64) {
	q := w.queues[i.Job]
	if q == nil {
		q = newQueue(i.Job)
		w.queues[i.Job] = q
		w.starts = append(w.starts, q)
		select {
		case w.fresh <- struct{}{}:
		default:
		}
	}
	return q, q.push(i)
}

// Flush returns nil when every outcome of the job that was added before is settled. If ctx ends first it returns the cause; with an ended
// context it only checks.
func (w *Writer) Flush(ctx context.Context, job string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.queues[job]
	if q == nil {
		return nil
	}
	target := q.added
	q.hurry(target)
	for q.settled < target {
		if w.ended {
			return batholith.ErrShutdown
		}
		moved := q.moved
		w.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
		}
		w.mu.Lock()
		if q.settled < target && ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// errDropped is the cause with which Drop ends the commits of a job.
var errDropped = errors.New("the job was given up")

// Drop gives up the uncommitted outcomes of a job. A commit that is running may still take effect.
func (w *Writer) Drop(job string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if q := w.queues[job]; q != nil {
		q.drop(errDropped)
	}
}

// key is the key of a new object of the worker. No key is made twice.
func (w *Writer) key(prefix, ext string) string {
	return fmt.Sprintf("%s%s%s-%s-%d%s", prefix, segmentFolder, w.o.Worker, w.boot, w.made.Add(1), ext)
}
