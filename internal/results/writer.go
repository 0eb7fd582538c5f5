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
	segmentEvery = time.Second // an outcome waits no longer than this for its segment to begin
	segmentBytes = 4 << 20     // of lines; as many outcomes make a segment at once
	overhead     = 160         // memory of a pending outcome beside its line
	pendingBytes = 64 << 20

	diskTime = 100 * time.Millisecond // of Adds that wait longer than this for the journal, a few return before it has written
	maxLoose = 16                     // so many: their outcomes are neither journalled nor committed yet

	// Commits that go on at once. Those that have failed before wait for one another only, so that however many jobs have a bucket that
	// hangs, the others are held up by each of them at most once, for attemptTime.
	commitsAtOnce = 32
	retriesAtOnce = 8
)

// Options are the parts that a Writer joins. Dir, Worker, Store and Open are needed.
type Options struct {
	Dir    string // of the journal; no other process writes there
	Worker string // id under which the chunks are leased; the same at every start with the same Dir
	Store  Store
	Open   Opener
	Log    *slog.Logger

	// OnCommit is told a job's counters after each of its commits.
	OnCommit func(job string, c batholith.Counts)
	// OnFault is told why a job's outcomes cannot be stored although the store answers: access was denied, or the bucket is
	// gone. They are kept and tried again all the same, until it works or Drop is called.
	// It is told again with every attempt. It is also told of batholith.ErrOutcomesLost, when a merge comes upon that.
	OnFault func(job string, err error)

	// OnWait is told of every attempt to store outcomes that failed, and since when they have been tried. OnCommit ends the wait.
	OnWait func(job string, since time.Time, err error)

	Listener batholith.Listener // is told of Committed and Merged

	PendingBytes int64 // outcomes in memory; 0: 64 MiB

	// Shelf is a bucket on this worker's own disk, for the segments of failing jobs: see Shelve. nil: there is none.
	Shelf blob.Bucket
}

// Writer takes finished outcomes and sees to it that they are committed. Add, Flush and Drop may be called by any goroutine.
type Writer struct {
	o       Options
	boot    string // tells the segments of this process from those of earlier ones
	made    atomic.Int64
	journal *journal
	shelf   shelf
	slots   chan struct{} // one token for each commit that is on its way for the first time
	retries chan struct{} // and one for each that has failed before
	fresh   chan struct{} // holds one token when idle queues wait for a goroutine; never closed
	crowded chan struct{} // holds one token when there are too many journal files; never closed
	merges  chan string   // jobs that may have segments to merge; never closed
	width   int           // mergeWidth; tests make it smaller

	keeping sync.Mutex
	kept    map[string][]string // job → objects of merged segments that a publisher may read

	mu      sync.Mutex
	queues  map[string]*queue // one for each job with outcomes that are not settled
	starts  []*queue          // those among them that no goroutine drives yet
	pending int64             // bytes of all queues
	loose   []loose           // at most maxLoose
	failing map[string]bool   // jobs whose segments may go to the shelf
	freed   chan struct{}     // closed, and replaced, when pending has fallen
	closing bool              // Run is ending: what is pending is committed at once
	ended   bool              // Run has ended
}

// NewWriter prepares the journal folder. Nothing happens before Recover and Run are called.
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
	s := shelf{o.Shelf, o.Worker}
	o.Open = s.over(o.Open)
	return &Writer{o: o, boot: newID(), journal: j, shelf: s, failing: map[string]bool{}, slots: make(chan struct{}, commitsAtOnce), retries: make(chan struct{}, retriesAtOnce),
		fresh: make(chan struct{}, 1), crowded: make(chan struct{}, 1), merges: make(chan string, 64), width: mergeWidth, kept: map[string][]string{},
		queues: map[string]*queue{}, freed: make(chan struct{})}, nil
}

// lastCommits is how long Run tries to commit what is pending after its context has ended. The rest stays in the journal.
const lastCommits = 5 * time.Second

// Run journals, commits and merges until ctx ends. Then it commits what is pending if that takes no longer than some seconds,
// and leaves the rest in the journal. It must be the last part to stop: an Add after that is refused.
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

// end turns away whoever waits in Add or Flush.
func (w *Writer) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	close(w.freed)
	for _, q := range w.queues {
		close(q.moved)
	}
}

// startQueues gives each queue that has none a goroutine of its own.
func (w *Writer) startQueues(ctx context.Context, drives *errgroup.Group) {
	w.mu.Lock()
	starts := w.starts
	w.starts = nil
	w.mu.Unlock()
	for _, q := range starts {
		drives.Go(func() error { w.drive(ctx, q); return nil })
	}
}

// close has every queue commit what it holds at once.
func (w *Writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closing = true
	for _, q := range w.queues {
		q.nudge()
	}
}

// Add takes an outcome over, its line included, unless Run has ended. It returns when the outcome is safe from kill -9: when it is
// written to the journal or committed, whichever comes first. So a slot that is free has nothing to lose, and the answers that a kill
// can cost are at most as many as there are slots, and maxLoose: where the disk hangs, so many outcomes are not waited for. A disk that
// refuses is not waited for either; see journal.
//
// After that it waits while too much is pending, at most until ctx ends. The outcome is taken over in any case: it is in memory
// already, and journalled. A single job never gets all of the room: it waits when it holds as much as is free, so that one whose bucket
// is out of reach leaves room for the others.
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

// awaitSafe waits until the nth outcome of a queue is written, which its channel tells, or settled.
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

// loose is an outcome whose Add has returned before it was written or settled.
type loose struct {
	written <-chan struct{}
	q       *queue
	n       int64
}

// setLoose lets an outcome be one of the loose ones, if there are not too many. The caller holds mu.
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

// awaitRoom waits until the nth outcome of a queue can be counted among what is pending, or is settled, or ctx ends. What it waits for
// is a change of q or of pending; settled tells of both, also when it empties the queue for good.
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

// count counts the nth outcome of a queue, if its job may have so many more bytes pending. A job with nothing pending always may. The
// caller holds mu.
func (w *Writer) count(q *queue, n int64) bool {
	size := q.items[n-q.settled-1].size()
	if q.bytes > 0 && q.bytes+size > w.o.PendingBytes-w.pending-size {
		return false
	}
	w.pending += q.count(n)
	return true
}

// enqueue puts an outcome into its job's queue and returns that and the outcome's number in it. The caller holds mu.
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

// Flush returns nil when every outcome of the job that was added before is committed, or known to be refused.
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

// errDropped ends the attempts to commit the outcomes of a job that was given up.
var errDropped = errors.New("the job was given up")

// Drop gives up the outcomes of a job that are not committed. Those of a commit that is on its way may count all the same.
func (w *Writer) Drop(job string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if q := w.queues[job]; q != nil {
		q.drop(errDropped)
	}
}

// key names a new object of the worker: never twice, whatever happens.
func (w *Writer) key(prefix, ext string) string {
	return fmt.Sprintf("%s%s%s-%s-%d%s", prefix, segmentFolder, w.o.Worker, w.boot, w.made.Add(1), ext)
}
