package lifecycle

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/backoff"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/jsonl"
)

// Jobs is the part of the database with the jobs and their statuses.
type Jobs interface {
	// Job returns the job of an account, or batholith.ErrNotFound.
	Job(ctx context.Context, account, id string) (batholith.Job, error)
	// Jobs returns one page of an account's jobs, and the cursor of the next page; 0: there is none.
	Jobs(ctx context.Context, q batholith.ListQuery) ([]batholith.Job, int64, error)
	// Tags returns the present tags of a job.
	Tags(ctx context.Context, account, id string) ([]batholith.Tag, error)
	// Unfinished lists the jobs that are not terminal, oldest first.
	Unfinished(ctx context.Context) ([]batholith.Job, error)
	// Find returns the job of any account with this id, or batholith.ErrNotFound.
	Find(ctx context.Context, id string) (batholith.Job, error)
	// Unclean lists the ids of terminal jobs that still have files, chunks, segments or uploads.
	Unclean(ctx context.Context) ([]string, error)
	// Unswept lists the ids of the jobs whose second clean-up is due by then.
	Unswept(ctx context.Context, until time.Time) ([]string, error)
	// Move changes the status and adds one event, in one transaction. It returns batholith.ErrMoved if the status is not from.
	Move(ctx context.Context, id string, from, to batholith.Status, message string, at time.Time) error
	// Note replaces the note of a job that is not terminal. Unnote removes the note if it is still this one.
	Note(ctx context.Context, id, note string) error
	Unnote(ctx context.Context, id, note string) error
	// Subscribe returns a channel that gets a value after changes of jobs; several changes may give one value.
	Subscribe() (changes <-chan struct{}, cancel func())
}

// Plans is the part of the database with the files and chunks of jobs.
type Plans interface {
	// Accept replaces a Validating job's files, chunks and total, and moves the job to Scheduled. After an error
	// the job is still Validating, with a plan or without. batholith.ErrMoved: it is not Validating any more, or another worker plans it.
	Accept(ctx context.Context, id string, files []batholith.File, chunks iter.Seq[batholith.Chunk], total int64, at time.Time) error
	// Files lists the job's files; none before Accept.
	Files(ctx context.Context, id string) ([]batholith.File, error)
	// SealToPublish makes the store refuse every further claim and commit of the job, and claims the final publication for the worker, in one
	// transaction. The epoch is 0 if another worker has the publication. A non-empty why is stored as the job's Failing.
	SealToPublish(ctx context.Context, id, why, worker string) (epoch int64, err error)
	// Forget deletes the rows that only a running job needs, and sets the time of the second clean-up.
	Forget(ctx context.Context, id string, sweep time.Time) error
	// Swept notes that the second clean-up is done, if it was due by now.
	Swept(ctx context.Context, id string, now time.Time) error
	// PutUpload stores the id of a multipart upload, so that it can be aborted after a crash.
	PutUpload(ctx context.Context, u batholith.Upload) error
}

// Publications is the part of the database that lets only one worker at a time write a job's output.
type Publications interface {
	// ClaimPublication gives the worker the publication under the next epoch. It returns batholith.ErrHeld while another living worker has
	// it, unless that one writes partial output and this one the final output. batholith.ErrSealed: the job is sealed, and final is false.
	ClaimPublication(ctx context.Context, id, worker string, final bool, now time.Time) (epoch int64, err error)
	// YieldPublication gives the publication up, so that another worker can claim it.
	YieldPublication(ctx context.Context, id string, epoch int64) error
	// RestPublication notes that the publisher does not read the job's segments for now, so that merges may delete them.
	RestPublication(ctx context.Context, id string, epoch int64) error
	// Decide fixes the terminal status of a job whose output is written. batholith.ErrHeld: the epoch is not the present one.
	// batholith.ErrMoved: the job is not in the status from, or its end is decided. A manifest that is still to be written is stored;
	// until it is written, the decision may be changed under the same epoch.
	Decide(ctx context.Context, id string, epoch int64, from, to batholith.Status, message string, manifest []byte) error
	// Decided returns the message of the decided end and the stored manifest; nil if none is to be written.
	Decided(ctx context.Context, id string) (message string, manifest []byte, err error)
	// End sets the decided status. batholith.ErrHeld: the epoch is not the present one. If sweep is not zero and the job has few rows, the
	// same transaction does what Forget does, and forgotten is true.
	End(ctx context.Context, id string, epoch int64, at, sweep time.Time) (forgotten bool, err error)
}

// Kept is the part of the database with the results of jobs whose output could not be written.
type Kept interface {
	// DecideKept is Decide for the status Failed, and keeps the finished results until they are published or discarded.
	DecideKept(ctx context.Context, id string, epoch int64, from batholith.Status, message string) error
	// Asked lists the ids of the jobs whose kept results a user wants published or discarded.
	Asked(ctx context.Context) ([]string, error)
	// Published stores that the kept results are in the output, with the job's new message.
	Published(ctx context.Context, id string, epoch int64, message string, at time.Time) error
	// Discarded stores that the kept results may be deleted, with the job's new message.
	Discarded(ctx context.Context, id, message string, at time.Time) error
	// Unpublished stores why the results could not be published; they stay kept.
	Unpublished(ctx context.Context, id, why string) error
}

// Restoring is the part of the database that knows of jobs which may be older than their buckets.
type Restoring interface {
	// Rebook replaces what the database has of a restored job, which then is not marked any more. batholith.ErrMoved: its segments have changed
	// since the books were made.
	Rebook(ctx context.Context, id string, b batholith.Books) error
	// EndRestored ends a restored job as its manifest says.
	EndRestored(ctx context.Context, id string, from batholith.Status, m batholith.Manifest, message string, at time.Time) error
}

// Forgetting is the part of the database that erases jobs.
type Forgetting interface {
	// Forgetting lists the ids of the jobs that are to be forgotten, and which of them with their output.
	Forgetting(ctx context.Context) (ids []string, withOutput map[string]bool, err error)
	// Outdate notes that jobs which ended longer than age ago, or have keep later ones in their account, are to be forgotten. 0: no bound.
	Outdate(ctx context.Context, age time.Duration, keep int) (n int64, err error)
	// DeleteEvents deletes events of jobs that have ended which are older than age, unless a receiver waits for them.
	DeleteEvents(ctx context.Context, age time.Duration) (deleted int64, err error)
	// EraseJob deletes the rows of such a job.
	EraseJob(ctx context.Context, id string) error
	// Compact removes the bytes of deleted rows from the files of the database. whole is false if some may be left.
	Compact(ctx context.Context) (whole bool, err error)
}

// Shared is the part of the database with which several workers divide what is not done by the chunk.
type Shared interface {
	// Undertake gives a duty to the worker, unless another living worker has it. Resign gives it up.
	Undertake(ctx context.Context, worker, duty string) (mine bool, err error)
	Resign(ctx context.Context, worker, duty string) error
	// TidyProcesses deletes what workers left that have ended.
	TidyProcesses(ctx context.Context) error
	// Processes lists the living processes.
	Processes(ctx context.Context) ([]batholith.Process, error)
	// Stopping lists the ids of the jobs that are Stopping.
	Stopping(ctx context.Context) ([]string, error)
	// ResumeDue ends the pause of a job that ends by itself, if it is time.
	ResumeDue(ctx context.Context, id string) error
	// Paused lists the ids of the paused jobs.
	Paused(ctx context.Context) ([]string, error)
	// Release makes the worker's chunks of a job claimable.
	Release(ctx context.Context, worker, job string) error
	// LeasedByOthers reports whether other living workers have chunks of the job.
	LeasedByOthers(ctx context.Context, worker, job string) (bool, error)
	// PutFirstError stores the first error line of a job, if none is stored. FirstError returns it; nil: there is none.
	PutFirstError(ctx context.Context, job string, e batholith.RecordError) error
	FirstError(ctx context.Context, job string) (*batholith.RecordError, error)
}

// Store is the part of the database that lifecycle uses.
type Store interface {
	Jobs
	Plans
	Publications
	Kept
	Forgetting
	Restoring
	Shared
}

// Dispatch sends the records of jobs.
type Dispatch interface {
	// Enqueue starts to send a job's records when its turn comes. A job may be enqueued again. A job that no model server serves waits.
	Enqueue(job batholith.Job)
	// Rest stops sending the records of a paused job, lets those in flight finish, and returns when their outcomes are committed and no chunk
	// of the job is leased by this worker; or with the cause of ctx. Enqueue lets the job go on.
	Rest(ctx context.Context, job string) error
	// Halt returns when nothing of the job is in flight and its finished outcomes are committed.
	Halt(ctx context.Context, job string, cause error) error
	// FirstError returns the job's first error line in this process, or nil.
	FirstError(job string) *batholith.RecordError
}

// Publisher writes output objects from committed outcomes.
type Publisher interface {
	// Publish writes every output object, under a claimed epoch. If final, it also writes the manifest, and fails unless outcomes and
	// counters agree. A small manifest is not written but returned, as Pending.
	Publish(ctx context.Context, job batholith.Job, epoch int64, final bool) (batholith.Manifest, error)
	// Announce writes a manifest that was Pending, after the job's end was decided with it.
	Announce(ctx context.Context, job batholith.Job, manifest []byte) error
	// Salvage publishes the readable outcomes after Publish returned batholith.ErrOutcomesLost for a job that is not terminal.
	Salvage(ctx context.Context, job batholith.Job, epoch int64) error
	// Clean deletes the job's temporary objects and aborts its uploads.
	Clean(ctx context.Context, job batholith.Job) error
	// Books reads what the job's bucket shows to be done.
	Books(ctx context.Context, job batholith.Job) (batholith.Books, error)
	// Erase deletes the job's output.
	Erase(ctx context.Context, job batholith.Job) error
}

// Shelf stores outcomes of failing jobs that the output bucket refuses. Its methods may be called repeatedly.
type Shelf interface {
	Shelve(job string)   // the job is failing: segments that its bucket refuses are committed on the worker's disk from now on
	Unshelve(job string) // the job is terminal
}

// Options configures a Lifecycle. Shelf, Log, Listener and the numbers are optional.
type Options struct {
	Store     Store
	Dispatch  Dispatch
	Publisher Publisher
	Shelf     Shelf // nil: a failing job waits until the bucket accepts its outcomes
	// Place opens the job's buckets with its role's rights. It returns batholith.ErrAccessDenied if the role is not known.
	Place  func(context.Context, batholith.Job) (blob.Place, error)
	Limits batholith.Limits
	// LimitsNow, Strict and EarlierNow replace Limits, StrictBodies and Earlier in a server whose settings may change. nil: those.
	LimitsNow  func() batholith.Limits
	Strict     func() bool
	EarlierNow func() batholith.Reuse
	// Bodies returns a function that tells why a job's model would refuse the body of a record, or "" if it would not. It is called by
	// several goroutines. nil, and a nil function: bodies are not checked.
	Bodies func(batholith.Job) func(input []byte) string
	// Names returns the names by which the lines of a job in OpenAI's form may name its model. nil: they are not checked.
	Names func(batholith.Job) []string
	// Takes says why the model of a job cannot take bodies of the job's type; nil: it can. A nil function: it is not checked.
	Takes        func(batholith.Job) error
	StrictBodies bool // a body that the model would refuse is a bad line, for which the job fails; all bodies are checked
	Discreet     bool // no text about a job quotes a body; so it is always for a job with an encryption key

	// Earlier says of which earlier jobs a job without batholith.ReuseTag takes answers.
	Earlier batholith.Reuse
	// Serving returns what decides the answers to a job's records now. nil: answers of earlier jobs are taken of any model.
	Serving func(batholith.Job) []batholith.Serving
	Scratch string // folder in which the table of earlier answers is sorted, if it does not fit the memory; "": the system's

	Worker string // id of this process, which publishes and holds leases under it
	// Shared says that other workers may use the database.
	Shared bool
	// Reaches reports whether this worker can run a job: it has the job's model and network. Other jobs are only ended here. nil: it can run
	// all.
	Reaches  func(batholith.Job) bool
	Now      func() time.Time // the database's clock, as far as it is known; nil: time.Now
	Log      *slog.Logger
	Listener batholith.Listener // its Moved is called

	// Turn returns when nothing of ended jobs is in this worker's journal. nil: it has none.
	Turn func(context.Context) error
	// Retention returns how long jobs that have ended are kept, and how many of each account; 0: for good. nil: all are kept for good.
	Retention func() (age time.Duration, keep int)
	// EventsAge returns the age at which events of jobs that have ended are deleted; 0: with their job. nil: the same.
	EventsAge func() time.Duration

	Validations  int           // jobs whose input is read in parallel; 0: 2
	Patience     time.Duration // how long denied access is retried before a job fails; 0: 10 minutes
	Look         time.Duration // between two reads of all jobs, if no change is notified; 0: 5 s
	FirstPartial int64         // outcomes before the first partial output that is written because the output has doubled; 0: 1000
	PartialEvery time.Duration // least time between two such publications; 0: 15 s
}

// Lifecycle drives the jobs of one worker. Stop, Begin, Committed, Fault and Waits may be called by any goroutine.
type Lifecycle struct {
	o          Options
	fast, slow *places     // places for reading inputs, of usual and of slow jobs
	lobby      *places     // places for jobs that this worker validates, until they have a place for reading
	pool       *jsonl.Pool // scans the inputs of all jobs with a place in fast
	weights    *semaphore.Weighted
	partials   *semaphore.Weighted
	proofs     proofs

	mu     sync.Mutex
	drives map[string]*drive // by job id
}

// New makes a Lifecycle. It does nothing before Run.
func New(o Options) *Lifecycle {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Shelf == nil {
		o.Shelf = noShelf{}
	}
	if o.Validations == 0 {
		o.Validations = 2
	}
	if o.Look == 0 {
		o.Look = lookEvery
	}
	if o.FirstPartial == 0 {
		o.FirstPartial = firstPartial
	}
	if o.PartialEvery == 0 {
		o.PartialEvery = partialEvery
	}
	if o.Patience == 0 {
		o.Patience = patience
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.LimitsNow == nil {
		o.LimitsNow = func() batholith.Limits { return o.Limits }
	}
	if o.EarlierNow == nil {
		o.EarlierNow = func() batholith.Reuse { return o.Earlier }
	}
	if o.Strict == nil {
		o.Strict = func() bool { return o.StrictBodies }
	}
	return &Lifecycle{o: o, lobby: newPlaces(lobbyPlaces, 0), fast: newPlaces(o.Validations, 0), slow: newPlaces(slowValidations, slowOfOne), pool: jsonl.NewPool(),
		weights: semaphore.NewWeighted(weightBytes), partials: semaphore.NewWeighted(partialsAtOnce), drives: map[string]*drive{}}
}

// Run drives every job that is not terminal until ctx ends. The jobs keep their status then, and the next Run continues. It returns nil.
func (l *Lifecycle) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	changes, cancel := l.o.Store.Subscribe()
	defer cancel()
	wg.Go(func() { l.sweep(ctx) })
	wg.Go(func() { l.publishAsked(ctx) })
	wg.Go(func() { l.forgetAsked(ctx) })
	stopped := make(chan struct{}, 1)
	if l.o.Shared {
		wg.Go(func() { l.watchStops(ctx, stopped) })
	}
	for {
		began := time.Now()
		jobs, err := l.unfinished(ctx)
		if err != nil {
			return nil // ctx has ended
		}
		l.observe(jobs)
		for _, job := range jobs {
			if !l.concerns(job) {
				continue
			}
			if d := l.adopt(job); d != nil {
				wg.Go(func() { defer l.dismiss(d); d.run(ctx) })
			}
		}
		// Every move of a job is a change, and each look reads all jobs. Without a pause, n small jobs would cost n² reads.
		sleep(ctx, l.pauseAfter(time.Since(began)))
		select {
		case <-changes:
		case <-stopped:
		case <-time.After(l.o.Look):
		case <-ctx.Done():
		}
	}
}

// unfinished lists the jobs that are not terminal. It retries until ctx ends; then it returns the cause.
func (l *Lifecycle) unfinished(ctx context.Context) (jobs []batholith.Job, err error) {
	err = backoff.Repeat(ctx, firstAgain, time.Second, func(ctx context.Context) (err error) {
		jobs, err = l.o.Store.Unfinished(ctx)
		return err
	}, func(err error, _ time.Duration) { l.o.Log.Error("list unfinished jobs", "err", err) })
	return jobs, err
}

// firstAgain is the first wait before a retry. A stop must be seen within a second, even if one read fails.
const firstAgain = 100 * time.Millisecond

// Looks at the jobs take about 1/lookShare of a processor's time, unless that delays a change by more than longestPause.
const (
	lookShare    = 10
	longestPause = 50 * time.Millisecond
)

// pauseAfter returns the pause after a look that took so long. Of a database that many workers share, each worker takes at most 1/lookShare of the
// time, also if a change is then seen as late as without a notification: 1,000 workers that look at 10,000 jobs all the time would need 100
// processors of the server (docs/decisions/0037-scale.md). Stops do not wait for it, see watchStops.
func (l *Lifecycle) pauseAfter(took time.Duration) time.Duration {
	most := longestPause
	if l.o.Shared {
		most = max(most, l.o.Look)
	}
	return min(lookShare*took, most)
}

// lookEvery is the time in which changes by other processes are seen, which may not be notified here. It is about the length of a lease.
const lookEvery = 5 * time.Second

// observe gives every drive the present state of its job. A job that is not listed is terminal.
func (l *Lifecycle) observe(jobs []batholith.Job) {
	l.mu.Lock()
	over := maps.Clone(l.drives)
	l.mu.Unlock()
	for _, job := range jobs {
		if d := over[job.ID]; d != nil {
			delete(over, job.ID)
			d.observe(job)
		}
	}
	for _, d := range over {
		d.callOff(batholith.ErrMoved)
	}
}

// adopt makes a drive for a job, or returns nil if it has one.
func (l *Lifecycle) adopt(job batholith.Job) *drive {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drives[job.ID] != nil {
		return nil
	}
	d := newDrive(l, job)
	l.drives[job.ID] = d
	return d
}

// dismiss removes a drive whose goroutine has ended.
func (l *Lifecycle) dismiss(d *drive) {
	d.waits.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.drives, d.id)
}

// drive returns the drive of a job, or nil.
func (l *Lifecycle) drive(job string) *drive {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drives[job]
}

// Begin moves a Scheduled job to InProgress, because its turn at the model has come. It returns nil if the job is InProgress already, and
// batholith.ErrMoved if it cannot begin any more.
func (l *Lifecycle) Begin(ctx context.Context, id string) error {
	at := time.Now()
	err := l.o.Store.Move(ctx, id, batholith.StatusScheduled, batholith.StatusInProgress, "", at)
	failpoint.Here("lifecycle.begun")
	if err == nil {
		l.o.Log.Info("job moved", "job", id, "from", batholith.StatusScheduled, "to", batholith.StatusInProgress)
	}
	d := l.drive(id)
	if f := l.o.Listener.Moved; f != nil && err == nil {
		m := batholith.Moved{Job: id, From: batholith.StatusScheduled, To: batholith.StatusInProgress, At: at}
		if d != nil {
			m.Model, m.Trace, m.Submitted = d.model, d.trace, d.created
		}
		f(m)
	}
	if d != nil && err == nil {
		d.begun(at)
	}
	if d == nil || !errors.Is(err, batholith.ErrMoved) {
		return err
	}
	job, readErr := l.o.Store.Job(ctx, d.account, id)
	if readErr != nil {
		return readErr
	}
	if job.Status == batholith.StatusInProgress {
		d.begun(at)
		return nil
	}
	return err
}

// Committed takes in the job's counters after a commit by this process.
func (l *Lifecycle) Committed(id string, c batholith.Counts) {
	if d := l.drive(id); d != nil {
		d.stored(c)
	}
}

// Fault reports that a job cannot continue. Denied access is retried for Options.Patience first.
func (l *Lifecycle) Fault(id string, err error) {
	d := l.drive(id)
	switch {
	case d == nil:
	case blob.Denied(err):
		d.waits.failed(ToStore, time.Now(), err)
	default:
		d.fault(err)
	}
}

// Waits reports that an operation of a job fails and is retried, and since when; a nil error reports that it succeeded. After some seconds
// the wait is in the job's note. If access is denied for longer than the patience, the job fails.
func (l *Lifecycle) Waits(id string, what Wait, since time.Time, err error) {
	d := l.drive(id)
	switch {
	case d == nil:
	case err == nil:
		d.waits.succeeded(what)
	default:
		d.waits.failed(what, since, err)
	}
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
