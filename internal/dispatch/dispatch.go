package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/memory"
)

// Store is what dispatch asks of the database.
type Store interface {
	// Claim leases up to n chunks of a job that is Scheduled or InProgress, in order, each under a new epoch.
	Claim(ctx context.Context, worker, job string, n int, now time.Time) ([]batholith.Chunk, error)
	// Release makes the worker's chunks of a job claimable again. What the worker commits of them afterwards is refused.
	Release(ctx context.Context, worker, job string) error
	// Unfinished lists the jobs that are not terminal.
	Unfinished(ctx context.Context) ([]batholith.Job, error)
	Heartbeat(ctx context.Context, worker string, until time.Time) error
	Files(ctx context.Context, job string) ([]batholith.File, error)
	// Tags are those that the job has now; one of them may be PriorityTag.
	Tags(ctx context.Context, account, job string) ([]batholith.Tag, error)
	// Tagged returns the present value of a tag of every job that has it and is not terminal, by the job's id.
	Tagged(ctx context.Context, key string) (map[string]string, error)
	// Note replaces the message of a job that goes on; an empty one takes it away.
	Note(ctx context.Context, job, message string) error
}

// Sink takes finished outcomes. Add returns once the outcome is in the journal's queue; Flush once everything added for the job is
// committed or known to be refused.
type Sink interface {
	Add(ctx context.Context, o batholith.Outcome) error
	Flush(ctx context.Context, job string) error
}

// Backend is one model server. Do returns the body of a 200, or a *batholith.Failure, or the cause of its context.
type Backend interface {
	Do(ctx context.Context, c batholith.Call) ([]byte, error)
	// Probe asks whether the server is there and serves its model.
	Probe(ctx context.Context) error
	// Slots is how many requests the server works on at once, where it publishes that.
	Slots(ctx context.Context) (int, bool)
	MaxInFlight() int  // as configured; 0 leaves it to dispatch
	ModelName() string // the server's own name of the model
	String() string    // for messages; holds no secret
	// Gauges are what the server says of itself at the moment; not ok when it says nothing.
	Gauges(ctx context.Context) (batholith.Gauges, bool)
}

// Serving is how a job's records are served. Jobs with the same Model share a queue and its lanes.
type Serving struct {
	Model    string
	Backends []Backend
	Dialect  dialect.Dialect
}

// Options are the parts that a Dispatcher joins. All but Log, Memory, Trace and the numbers are needed.
type Options struct {
	Worker  string // id of this process; owns the chunks it claims
	Store   Store
	Sink    Sink
	Serving func(batholith.Job) (Serving, error)
	Place   func(context.Context, batholith.Job) (blob.Place, error)
	// Begin moves a job to InProgress: before the first of its records goes to a backend that has answered something, or before its first
	// outcome. It is repeated until it succeeds or says that it never will; then nothing of the job is sent.
	Begin func(ctx context.Context, job string) error
	// Canary is the n-th fixed request of this path and features for a backend that serves the model under this name; not ok when there is
	// none. nil: no canaries are sent.
	Canary func(path string, f dialect.Features, model string, n int) (call batholith.Call, ok bool)
	// Fault tells that a job cannot go on, whatever is repeated: its input is gone or changed, or access was taken away.
	Fault func(job string, err error)
	// Waits tells that the job's bucket or the database failed a call, since when, and that it is tried again; with a nil error, that it
	// goes on. Access that is taken away is among that. nil: nobody wants to know.
	Waits func(job string, since time.Time, err error)
	Log   *slog.Logger
	// Memory keeps what was found of the backends; nil: every start finds it anew.
	Memory Memory
	// Trace is told, while requests are in flight, how each lane stands, a few times a second; nil: nobody wants to know.
	Trace func(limit.Sample)
	// Listener is told of every attempt.
	Listener batholith.Listener

	// Room is what chunks, answers and lines may take in memory, of this Dispatcher and others; nil: without a bound.
	Room *memory.Budget

	Attempts int           // counted attempts a record gets; 0: 4
	Reuse    bool          // records of a job that are the same, and fixed by temperature 0 or a seed, are sent once
	Sourced  bool          // each output line names the model server and the model that answered it
	Lease    time.Duration // how long a claim outlives the last heartbeat; 0: 5 s
	Drain    time.Duration // what records in flight get at a shutdown; 0: 30 s
}

// Dispatcher sends the records of jobs to backends. Its methods may be called by any goroutine.
type Dispatcher struct {
	o     Options
	lines *memory.Account     // of outcomes that are not committed
	reads *semaphore.Weighted // of chunks, beside the first that each job reads

	born       time.Time
	leaseUntil atomic.Int64 // Unix nanoseconds until which this worker may send
	leaseMono  atomic.Int64 // the same in nanoseconds since born, by the monotonic clock

	mu      sync.Mutex
	take    context.Context // ends when no new work may be taken; nil before Run
	send    context.Context // ends when what is in flight must end
	wg      sync.WaitGroup  // every goroutine but Run's own; Run waits for it
	lanes   map[any]*lane
	classes classes
	queues  map[string]*queue
	feeds   map[string]*feed // by job id, from Enqueue to the end of the feed
}

// New makes a Dispatcher. Nothing is sent before Run.
func New(o Options) *Dispatcher {
	o.Attempts = orInt(o.Attempts, 4)
	o.Lease = orDuration(o.Lease, 5*time.Second)
	o.Drain = orDuration(o.Drain, 30*time.Second)
	if o.Waits == nil {
		o.Waits = func(string, time.Time, error) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Room == nil {
		o.Room = memory.NewBudget(math.MaxInt64)
	}
	return &Dispatcher{o: o, lines: o.Room.Account(0), reads: semaphore.NewWeighted(mostReads), born: time.Now(), lanes: map[any]*lane{}, queues: map[string]*queue{}, feeds: map[string]*feed{}}
}

func orInt(v, def int) int {
	if v == 0 {
		return def
	}
	return v
}

func orDuration(v, def time.Duration) time.Duration {
	if v == 0 {
		return def
	}
	return v
}

// Run sends until ctx ends. Then it takes nothing new, gives what is in flight the drain time, commits what was finished, hands the
// rest back, and returns.
func (d *Dispatcher) Run(ctx context.Context) error {
	if err := d.insist(ctx, "take the worker's lease", func() error { return d.beat(ctx) }); err != nil {
		return fmt.Errorf("take the worker's lease: %w", err)
	}
	send, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abort(nil)
	d.mu.Lock()
	d.take, d.send = ctx, send
	for _, q := range d.queues {
		d.start(q)
	}
	d.wg.Go(func() { d.ranks(ctx) })
	d.mu.Unlock()

	beats, stopBeats := context.WithCancel(context.WithoutCancel(ctx))
	beating := make(chan struct{})
	go func() { defer close(beating); d.heartbeats(beats) }()

	<-ctx.Done()
	d.drain(abort)
	failpoint.Here("dispatch.drained")
	stopBeats()
	<-beating
	d.handBack(ctx)
	failpoint.Here("dispatch.released")
	return nil
}

// drain waits until nothing is in flight, at most the drain time; then it calls the rest off.
func (d *Dispatcher) drain(abort context.CancelCauseFunc) {
	done := make(chan struct{})
	go func() { d.wg.Wait(); close(done) }()
	late := time.NewTimer(d.o.Drain)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		abort(batholith.ErrShutdown)
		<-done
	}
}

// handBack releases this worker's chunks at the end of Run. Where the database does not answer, the next start does it.
func (d *Dispatcher) handBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := d.insist(ctx, "hand back chunks", func() error { return d.HandBack(ctx) })
	if err != nil {
		d.o.Log.Warn("chunks are handed back at the next start", "err", err)
	}
}

// HandBack releases this worker's chunks of every job whose outcomes are all committed, or known to be refused. The other jobs keep
// theirs: an outcome that waits in the journal counts only while its chunk has the same owner and epoch, so after a release it would be
// refused and its record asked again. Those chunks are released when the outcomes are settled (see feed.giveUp), or claimed by
// another worker when the lease of this one has run out. It may be repeated.
func (d *Dispatcher) HandBack(ctx context.Context) error {
	jobs, err := d.o.Store.Unfinished(ctx)
	if err != nil {
		return fmt.Errorf("list jobs: %w", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel() // Flush only looks; waiting for a bucket that is away would keep the chunks of the other jobs as well
	for _, job := range jobs {
		if job.Status != batholith.StatusScheduled && job.Status != batholith.StatusInProgress && job.Status != batholith.StatusStopping {
			continue // it has no chunks that were ever claimed
		}
		if d.o.Sink.Flush(ended, job.ID) != nil {
			d.o.Log.Info("chunks are kept: outcomes in the journal are not committed yet", "job", job.ID)
			continue
		}
		if err := d.o.Store.Release(ctx, d.o.Worker, job.ID); err != nil {
			return fmt.Errorf("release the chunks of job %s: %w", job.ID, err)
		}
	}
	return nil
}

// Enqueue puts a job that is Scheduled or InProgress at the end of its model's queue. A job that is there already stays where it is.
func (d *Dispatcher) Enqueue(job batholith.Job) error {
	s, err := d.o.Serving(job)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.feeds[job.ID] != nil {
		return nil
	}
	q := d.queues[s.Model]
	if q == nil {
		q = newQueue(d, s)
		d.queues[s.Model] = q
		if d.take != nil {
			d.start(q)
		}
	}
	f := newFeed(d, q, job, s.Dialect)
	d.feeds[job.ID] = f
	q.enqueue(f)
	return nil
}

// Halt takes a job out: nothing of it is sent any more, what is in flight is called off with this cause, and what was finished is
// committed when Halt returns nil. Halting a job that is not here only commits.
func (d *Dispatcher) Halt(ctx context.Context, job string, cause error) error {
	d.mu.Lock()
	f := d.feeds[job]
	d.mu.Unlock()
	if f != nil {
		f.cancel(cause)
		f.queue.remove(f)
		select {
		case <-f.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return d.o.Sink.Flush(ctx, job)
}

// start sets a queue's lanes going. The caller holds d.mu, and Run has begun.
func (d *Dispatcher) start(q *queue) {
	for _, l := range q.lanes {
		if !l.running { // it may serve another queue already
			l.running = true
			d.wg.Go(func() { l.run(d.take) })
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, f := range q.feeds {
		q.run(f)
	}
}

// forget drops a feed that has ended.
func (d *Dispatcher) forget(f *feed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.feeds[f.job.ID] == f {
		delete(d.feeds, f.job.ID)
	}
}
