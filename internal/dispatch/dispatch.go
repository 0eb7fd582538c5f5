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

// Store is the part of the database that dispatch uses. Every method may be called by several goroutines at once. Errors are retried unless
// [batholith.ErrMoved] or [batholith.ErrNotFound] says that a retry cannot help.
type Store interface {
	// Claim leases up to n chunks of a job that is Scheduled or InProgress, in order, each under a new epoch.
	Claim(ctx context.Context, worker, job string, n int, now time.Time) ([]batholith.Chunk, error)
	// ClaimLost is Claim for chunks whose owner has lost its lease only.
	ClaimLost(ctx context.Context, worker, job string, n int) ([]batholith.Chunk, error)
	// Release makes the worker's chunks of a job claimable again. The store then refuses later commits of the worker for them.
	Release(ctx context.Context, worker, job string) error
	// Unfinished lists the jobs that are not terminal.
	Unfinished(ctx context.Context) ([]batholith.Job, error)
	// Heartbeat extends the lease of the worker's chunks to the given time.
	Heartbeat(ctx context.Context, worker string, until time.Time) error
	// Files lists the input files of a job, which validation has counted.
	Files(ctx context.Context, job string) ([]batholith.File, error)
	// Tags returns the present tags of a job, which may include PriorityTag.
	Tags(ctx context.Context, account, job string) ([]batholith.Tag, error)
	// Tagged returns the present value of one tag for every job that has it and is not terminal, by job id.
	Tagged(ctx context.Context, key string) (map[string]string, error)
	// Note replaces the note of a job that is not terminal. An empty message removes it.
	Note(ctx context.Context, job, message string) error
	// Reserve replaces what the worker has reserved for a job by base, and adds need if the caps permit it.
	Reserve(ctx context.Context, worker string, job batholith.Job, base, need batholith.Amount, caps []batholith.Cap) (batholith.Allowance, error)
	// Unreserve gives up what the worker has reserved for a job.
	Unreserve(ctx context.Context, worker, job string) error
	// ClaimSample leases up to n chunks that are spread evenly over the job, always the same ones. passed is true if the sample has passed
	// or has paused the job: then no record is sent before the others.
	ClaimSample(ctx context.Context, worker, job string, n int) (chunks []batholith.Chunk, passed bool, err error)
	// PassSample stores that the sample has passed. A job has only one sample.
	PassSample(ctx context.Context, job string) error
	// PauseJobUntil pauses a job for its worker. A paused job stays as it is. The pause ends by itself at until; if until is zero, a user
	// must resume the job. The job gets no sample after that.
	PauseJobUntil(ctx context.Context, job, reason string, until time.Time) error
}

// Sink takes finished outcomes. Add returns when the outcome is in the journal's queue, which does not mean that it is on disk. Flush
// returns nil when every outcome that was added for the job is committed, or was refused because another worker owns its chunk.
type Sink interface {
	Add(ctx context.Context, o batholith.Outcome) error
	Flush(ctx context.Context, job string) error
}

// Backend is one model server, with one model. Its methods may be called by several goroutines at once.
type Backend interface {
	// Do sends one request. It returns the body of a 200, a *batholith.Failure, a *batholith.MediaError, or the cause of its context.
	Do(ctx context.Context, c batholith.Call) ([]byte, error)
	// Probe returns nil if the server answers and lists the model. A *batholith.Failure of kind FailureUnreachable means that it does not
	// answer; any other error means that it answers, but may not serve the model.
	Probe(ctx context.Context) error
	// Slots returns how many requests the server processes in parallel, or false if the server does not publish it.
	Slots(ctx context.Context) (int, bool)
	MaxInFlight() int  // as configured, in requests; 0: dispatch finds the number
	ModelName() string // the server's own name of the model
	Protocol() string  // name of the server's protocol; see dialect.Protocols
	String() string    // for messages; holds no secret
	// Gauges returns the server's present metrics, or false if it has none.
	Gauges(ctx context.Context) (batholith.Gauges, bool)
}

// Serving says which backends serve a job, and in which format. Jobs with the same Model, Network and Type share a queue and its lanes.
type Serving struct {
	Set     batholith.Abilities // what the settings say that the model can do
	Model   string
	Network string // through which the backends are reached; "": the process's own
	// Type is the job's invocation type if Backends are not all of the model's, because others cannot take bodies of this type; else "".
	Type     batholith.InvocationType
	Backends []Backend
	// Access changes when the buckets of the job must be opened anew, because its role's rights have changed.
	Access string
	// Dialect returns the translator of the job's bodies for backends with a protocol. It is called for every record.
	Dialect func(protocol string) dialect.Dialect
	// Recipe returns the recipe of the answers of a backend, see batholith.Serving; nil: not known.
	Recipe func(Backend) string
}

// route names a queue.
type route struct {
	model, network string
	typ            batholith.InvocationType
}

// route returns the name of the queue.
func (s Serving) route() route { return route{s.Model, s.Network, s.Type} }

// Options configures a Dispatcher. Optional are Canary, Waits, Log, Memory, Trace, Listener, Room and everything below it.
type Options struct {
	Worker  string // id of this process; owns the chunks it claims
	Store   Store
	Sink    Sink
	Serving func(batholith.Job) (Serving, error)
	Place   func(context.Context, batholith.Job) (blob.Place, error)
	// Begin moves a job to InProgress. Dispatch calls it before the job's first outcome, and before one of its records is sent to a backend
	// that has already answered something. A temporary error is retried. After a permanent one nothing of the job is sent.
	Begin func(ctx context.Context, job string) error
	// Canary returns the n-th fixed request with this path and these features, for a backend with this protocol that serves the model under
	// this name, or false if there is none. nil: no canaries are sent.
	Canary func(protocol, path string, f dialect.Features, model string, n int) (call batholith.Call, ok bool)
	// Fault reports that a job cannot continue and that retries cannot help: for example, its input was deleted or changed.
	Fault func(job string, err error)
	// Waits reports that a call to the job's bucket or to the database fails and is retried, and since when. Denied access is one of these
	// errors. A nil error reports that the job continues. nil: no reports.
	Waits func(job string, since time.Time, err error)
	Log   *slog.Logger
	// Caps returns what bounds what a job may take, and the price of its tokens. nil: no job has a cap.
	Caps func(batholith.Job) ([]batholith.Cap, batholith.Price)
	// Sample returns the size of a job's sample in records; 0: no sample. nil: no job has a sample.
	Sample func(batholith.Job) int
	// Memory stores the limits found for the backends. nil: each start searches them again.
	Memory Memory
	// Loads lets the workers of one server share its limit. nil: this worker has the limit for itself.
	Loads Loads
	// Leases returns how many leases of workers this process has seen end, and when the next one ends if it is not renewed; zero: none. It
	// is up to date after each Heartbeat. nil: no other worker exists.
	Leases func() (ended int, next time.Time)
	// Workers returns the number of living workers that serve a model, with this one; 0: it is not known yet. nil: 1.
	Workers func(model string) int
	// Trace gets the state of each lane several times a second while requests are in flight. nil: no samples.
	Trace func(limit.Sample)
	// Tracer follows requests. nil: nobody does.
	Tracer Tracer
	// Listener is called for every attempt.
	Listener batholith.Listener

	// Room bounds the memory of chunks, answers and output lines, in bytes, for all Dispatchers that share it. nil: no bound.
	Room *memory.Budget

	Attempts int  // failures after which a record ends with an error line, if they count against it; 0: 4
	Reuse    bool // send identical records of a job once, if temperature 0 or a seed fixes their answer
	// Earlier says of which earlier jobs a job without batholith.ReuseTag takes answers.
	Earlier  batholith.Reuse
	Scratch  string        // folder for tables of earlier answers that do not fit the memory; "": the system's
	Silent   bool          // leave modelInput out of output lines, unless the job's tag says otherwise
	Sourced  bool          // write into each output line which model server and model answered it
	Discreet bool          // no job's note quotes an error line, which may quote a prompt; so it is always for a job with an encryption key
	Lease    time.Duration // from the last heartbeat until another worker may claim this worker's chunks; 0: 5 s
	Drain    time.Duration // time that requests in flight get to finish at a shutdown; 0: 30 s
}

// Dispatcher sends the records of jobs to backends. Its methods may be called by any goroutine.
type Dispatcher struct {
	o       Options
	lines   *memory.Account     // memory of long output lines that are not committed yet
	asked   *memory.Account     // memory of long bodies of interactive calls
	reads   *semaphore.Weighted // chunks read in parallel, not counting the first of each job
	fetches *semaphore.Weighted // objects of records read in parallel
	earlier *semaphore.Weighted // bytes of earlier answers that are read in parallel
	looks   *semaphore.Weighted // objects of interactive calls read in parallel, before they are sent

	flying     atomic.Int64 // requests for records that are being sent or answered
	born       time.Time
	leaseUntil atomic.Int64          // end of the lease by the wall clock, in Unix nanoseconds
	leaseMono  atomic.Int64          // end of the lease by the monotonic clock, in nanoseconds since born
	unrenewed  atomic.Pointer[error] // error of the first renewal that failed since the last one that succeeded; nil: none
	lost       atomic.Bool           // the end of the lease is logged; the next renewal resets it

	sharing chan struct{} // 1-buffered, never closed; gets a value when the table of loads should be looked at

	mu      sync.Mutex
	take    context.Context // ends at shutdown: no new work is taken; nil before Run
	send    context.Context // ends when the drain time is over: requests in flight are cancelled
	wg      sync.WaitGroup  // every goroutine except Run's own; Run waits for them
	lanes   map[any]*lane   // by Backend.Key where there is one, else by the Backend itself
	hosts   map[any]*host   // by Backend.Server where there is one, else by the Backend itself
	classes classes
	news    news // a backend has become usable
	queues  map[route]*queue
	spreads map[string]*spread // of interactive calls, by model; nil: no lane of the model has a weight
	feeds   map[string]*feed   // by job id, from Enqueue to the end of the feed
	parked  map[string]*parked // by job id: jobs that no backend of the settings serves
	reloads int                // counts calls of Reload
	dropped func(Backend) bool // reports whether a backend is not in the settings any more; at first none is
	leaving map[string]*host   // during a Reload: hosts of removed backends, by Backend.Origin
	drains  func(Backend) bool // reports whether an operator drains a backend's server
	tuning  atomic.Pointer[Tuning]
}

// New makes a Dispatcher. It starts no goroutine, and sends nothing before Run.
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
	d := &Dispatcher{o: o, lines: o.Room.Account(0), asked: o.Room.Account(callFloor), reads: semaphore.NewWeighted(mostReads), fetches: semaphore.NewWeighted(mostLoads), earlier: semaphore.NewWeighted(earlierBytes), looks: semaphore.NewWeighted(mostLoads), born: time.Now(), sharing: make(chan struct{}, 1), lanes: map[any]*lane{}, hosts: map[any]*host{}, queues: map[route]*queue{}, spreads: map[string]*spread{}, feeds: map[string]*feed{}, parked: map[string]*parked{}, drains: func(Backend) bool { return false }, dropped: func(Backend) bool { return false }}
	d.tuning.Store(&Tuning{Attempts: o.Attempts, Reuse: o.Reuse, Earlier: o.Earlier, Sourced: o.Sourced, Silent: o.Silent})
	return d
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

// InFlight is how many requests for records are being sent or answered now, at all backends.
func (d *Dispatcher) InFlight() int { return int(d.flying.Load()) }

// Run sends records until ctx ends, and then shuts down: it takes no new records, waits at most Options.Drain for requests in flight,
// commits the finished outcomes, and releases the chunks. It may be called once. It returns an error only if it never took the lease.
func (d *Dispatcher) Run(ctx context.Context) error {
	if err := d.insist(ctx, "take the worker's lease", func() error { return d.beat(ctx) }); err != nil {
		return fmt.Errorf("take the worker's lease: %w", err)
	}
	send, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abort(nil)
	d.mu.Lock()
	d.take, d.send = ctx, send
	d.news.tell()
	for _, q := range d.queues {
		d.start(q)
	}
	for _, p := range d.parked {
		p.tell(d)
	}
	d.wg.Go(func() { d.ranks(ctx) })
	d.mu.Unlock()

	beats, stopBeats := context.WithCancel(context.WithoutCancel(ctx))
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		var both sync.WaitGroup
		defer both.Wait()
		if d.o.Loads != nil {
			both.Go(func() { d.shares(beats) })
		}
		d.heartbeats(beats)
	}()

	<-ctx.Done()
	d.drain(abort)
	failpoint.Here("dispatch.drained")
	stopBeats()
	<-beating
	d.handBack(ctx)
	failpoint.Here("dispatch.released")
	return nil
}

// drain waits for the requests in flight, at most Options.Drain. Then it cancels the rest with ErrShutdown.
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

// handBack calls HandBack at the end of Run, for at most 10 s. If the database does not answer by then, the next start releases the chunks.
func (d *Dispatcher) handBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := d.insist(ctx, "hand back chunks", func() error { return d.HandBack(ctx) })
	if err != nil {
		d.o.Log.Warn("this worker's records are not released, because the database does not answer; the next start releases them", "err", err)
	}
}

// HandBack releases this worker's chunks and reservations of every job whose outcomes are all committed or refused. Other jobs keep their chunks: the store
// accepts an outcome only while its chunk has the same owner and epoch, so a release would make it refuse the outcomes that are still in
// the journal, and their records would be sent again. feed.giveUp releases these chunks later, or another worker claims them when this
// worker's lease ends. HandBack may be called again.
func (d *Dispatcher) HandBack(ctx context.Context) error {
	jobs, err := d.o.Store.Unfinished(ctx)
	if err != nil {
		return fmt.Errorf("list jobs: %w", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel() // with this context Flush does not wait, so that a bucket that does not answer does not delay the other jobs
	for _, job := range jobs {
		if job.Status != batholith.StatusScheduled && job.Status != batholith.StatusInProgress && job.Status != batholith.StatusStopping {
			continue // no chunk of it was claimed yet
		}
		if d.o.Sink.Flush(ended, job.ID) != nil {
			d.o.Log.Info("chunks are kept: outcomes in the journal are not committed yet", "job", job.ID)
			continue
		}
		if err := d.o.Store.Unreserve(ctx, d.o.Worker, job.ID); err != nil {
			return fmt.Errorf("give up what is reserved for job %s: %w", job.ID, err)
		}
		if err := d.o.Store.Release(ctx, d.o.Worker, job.ID); err != nil {
			return fmt.Errorf("release the chunks of job %s: %w", job.ID, err)
		}
	}
	return nil
}

// Enqueue appends a job that is Scheduled or InProgress to its model's queue. It does nothing if the job is queued already; a job that
// rests is queued when its last request in flight has ended. A job that nothing serves, because its model was removed from the settings,
// waits until a Reload; its note says so.
func (d *Dispatcher) Enqueue(job batholith.Job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.feeds[job.ID]
	switch {
	case f == nil:
		d.enqueue(job)
	case f.resting.Load():
		f.next = &job
	}
}

// enqueue makes the feed of a job that has none, or parks it. The caller holds d.mu.
func (d *Dispatcher) enqueue(job batholith.Job) {
	s, err := d.o.Serving(job)
	if err != nil {
		d.park(job, err)
		return
	}
	d.unpark(&job)
	q := d.queues[s.route()]
	if q == nil {
		q = newQueue(d, s)
		d.queues[s.route()] = q
		if d.take != nil {
			d.start(q)
		}
	}
	f := newFeed(d, q, job, s)
	d.feeds[job.ID] = f
	q.enqueue(f)
	d.share()
}

// Halt removes a job. It cancels the job's requests in flight with the given cause, waits until they have ended, and commits the finished
// outcomes. After nil all of them are committed. For a job that is not queued it only commits.
func (d *Dispatcher) Halt(ctx context.Context, job string, cause error) error {
	d.mu.Lock()
	f := d.feeds[job]
	delete(d.parked, job)
	if f != nil {
		f.next = nil
	}
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
	if err := d.o.Sink.Flush(ctx, job); err != nil {
		return err
	}
	return d.unreserve(ctx, f, job)
}

// start starts a queue's lanes and feeds. The caller holds d.mu, and Run has begun.
func (d *Dispatcher) start(q *queue) {
	for _, l := range q.lanes() { // the lane may serve another queue already
		d.launch(l)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, f := range q.feeds {
		q.run(f)
	}
}

// forget removes a feed that has ended. If its job goes on after a pause or a reload, it is queued again.
func (d *Dispatcher) forget(f *feed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.feeds[f.job.ID] == f {
		delete(d.feeds, f.job.ID)
	}
	if f.next != nil {
		d.enqueue(*f.next)
	}
}
