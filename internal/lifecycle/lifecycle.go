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

// Jobs is what lifecycle asks of the stored jobs.
type Jobs interface {
	Job(ctx context.Context, account, id string) (batholith.Job, error)
	// Unfinished lists the jobs that are not terminal, oldest first.
	Unfinished(ctx context.Context) ([]batholith.Job, error)
	// Find returns the job with this id; batholith.ErrNotFound when there is none.
	Find(ctx context.Context, id string) (batholith.Job, error)
	// Unclean lists the ids of terminal jobs that still have files, chunks, segments or uploads.
	Unclean(ctx context.Context) ([]string, error)
	// Unswept lists the ids of the jobs that are to be cleaned up for the second time until then.
	Unswept(ctx context.Context, until time.Time) ([]string, error)
	// Move changes the status from one to another, with one event; batholith.ErrMoved when it is another by now.
	Move(ctx context.Context, id string, from, to batholith.Status, message string, at time.Time) error
	// Note replaces the note of a job that is not over; Unnote removes it if it is still this one.
	Note(ctx context.Context, id, note string) error
	Unnote(ctx context.Context, id, note string) error
	// Subscribe yields after every change of a job; changes may be merged.
	Subscribe() (changes <-chan struct{}, cancel func())
}

// Plans is what lifecycle asks of a job's work.
type Plans interface {
	// Accept stores a Validating job's files and chunks in place of earlier ones, and its total, and moves it to Scheduled. After an error
	// the job is Validating, with a plan or without; batholith.ErrMoved says that it is not Validating any more, or that another plans it.
	Accept(ctx context.Context, id string, files []batholith.File, chunks iter.Seq[batholith.Chunk], total int64, at time.Time) error
	Files(ctx context.Context, id string) ([]batholith.File, error)
	// SealToPublish has the store refuse every further claim and commit of the job, and claims the final publication for the worker, in one
	// transaction. The epoch is 0 when the claim is not granted. Of a job that is on its way to Failed it stores why, as Failing.
	SealToPublish(ctx context.Context, id, why, worker string) (epoch int64, err error)
	// Forget drops what only a running job needs, and has the job among Unswept from this time on.
	Forget(ctx context.Context, id string, sweep time.Time) error
	// Swept takes the job off Unswept if it was due by now.
	Swept(ctx context.Context, id string, now time.Time) error
	PutUpload(ctx context.Context, u batholith.Upload) error
}

// Publications let one worker at a time write a job's output.
type Publications interface {
	// ClaimPublication gives the worker the next epoch; batholith.ErrHeld while another that lives has it, unless that one writes
	// partial output and this one final. A sealed job has no partial output any more: batholith.ErrSealed.
	ClaimPublication(ctx context.Context, id, worker string, final bool, now time.Time) (epoch int64, err error)
	// YieldPublication lets another claim it.
	YieldPublication(ctx context.Context, id string, epoch int64) error
	// RestPublication says that the job's segments are read no more, for now.
	RestPublication(ctx context.Context, id string, epoch int64) error
	// Decide says how a job whose output is there ends: nothing else becomes of it. batholith.ErrHeld under another epoch than the
	// present one; batholith.ErrMoved when it is not in the status from, or its end is decided. A manifest that is not written yet is stored
	// with it, and while it is, the end may be decided otherwise under the same epoch.
	Decide(ctx context.Context, id string, epoch int64, from, to batholith.Status, message string, manifest []byte) error
	// Decided returns the message of the decided end, and that manifest; nil when there is none to be written.
	Decided(ctx context.Context, id string) (message string, manifest []byte, err error)
	// End moves a job to its decided end; batholith.ErrHeld under another epoch than the present one. With a time to sweep it is
	// forgotten in the same transaction; false when it is still to be.
	End(ctx context.Context, id string, epoch int64, at, sweep time.Time) (forgotten bool, err error)
}

// Kept are the results of jobs whose output could not be written.
type Kept interface {
	// DecideKept is Decide of a job that ends as Failed, and keeps what it finished until it was published or discarded.
	DecideKept(ctx context.Context, id string, epoch int64, from batholith.Status, message string) error
	// Asked lists the ids of the jobs whose kept results somebody wants published or deleted.
	Asked(ctx context.Context) ([]string, error)
	// Published ends that: the results are in the output, and the job has this message from then on.
	Published(ctx context.Context, id string, epoch int64, message string, at time.Time) error
	// Discarded ends it for results that somebody gave up: they may be deleted, and the job has this message from then on.
	Discarded(ctx context.Context, id, message string, at time.Time) error
	// Unpublished ends it too: the results are kept as before, and this is why.
	Unpublished(ctx context.Context, id, why string) error
}

// Store is all of it.
type Store interface {
	Jobs
	Plans
	Publications
	Kept
}

// Dispatch sends the records of jobs.
type Dispatch interface {
	Enqueue(job batholith.Job) error
	// Halt returns when nothing of the job is in flight and what was finished is committed.
	Halt(ctx context.Context, job string, cause error) error
	FirstError(job string) *batholith.RecordError
}

// Publisher makes output objects of committed outcomes.
type Publisher interface {
	// Publish writes every output object under a claimed epoch; final ones with the manifest, and only if outcomes and counters agree.
	// A manifest that is small is not written but returned, as Pending.
	Publish(ctx context.Context, job batholith.Job, epoch int64, final bool) (batholith.Manifest, error)
	// Announce writes a manifest that was Pending, once the job's end is decided with it.
	Announce(ctx context.Context, job batholith.Job, manifest []byte) error
	// Salvage publishes what can be read when Publish said batholith.ErrOutcomesLost of a job that is not over.
	Salvage(ctx context.Context, job batholith.Job, epoch int64) error
	// Clean removes what the job left beside its output.
	Clean(ctx context.Context, job batholith.Job) error
}

// Shelf takes the outcomes of failing jobs that the output bucket refuses. Its methods may be called again.
type Shelf interface {
	Shelve(job string)   // the job is failing: what the bucket refuses of it from now on is committed all the same
	Unshelve(job string) // the job is over
}

// Options are the parts that a Lifecycle joins. All but Shelf, Log and the numbers are needed.
type Options struct {
	Store     Store
	Dispatch  Dispatch
	Publisher Publisher
	Shelf     Shelf // nil: a failing job waits until the bucket takes its outcomes
	// Place opens the job's buckets with its role's rights. batholith.ErrAccessDenied when there is no such role.
	Place    func(context.Context, batholith.Job) (blob.Place, error)
	Limits   batholith.Limits
	Worker   string // publishes under this name, and holds a lease by it
	Log      *slog.Logger
	Listener batholith.Listener // is told of Moved

	Validations  int           // jobs whose input is read at once; 0: 2
	Patience     time.Duration // for how long access that is denied is tried again before a job fails; 0: 10 minutes
	Look         time.Duration // how often the database is looked at without being told of a change; 0: 5 s
	FirstPartial int64         // records that must have an outcome before output is published because it has doubled; 0: 1000
	PartialEvery time.Duration // between two such publications, at least; 0: 15 s
}

// Lifecycle drives jobs. Stop, Begin, Committed and Fault may be called by any goroutine.
type Lifecycle struct {
	o          Options
	fast, slow *places     // for the reading of inputs
	pool       *jsonl.Pool // reads for all that have a place in fast
	weights    *semaphore.Weighted
	partials   *semaphore.Weighted
	proofs     proofs

	mu     sync.Mutex
	drives map[string]*drive // by job id
}

// New makes a Lifecycle. Nothing happens before Run.
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
	return &Lifecycle{o: o, fast: newPlaces(o.Validations, 0), slow: newPlaces(slowValidations, slowOfOne), pool: jsonl.NewPool(),
		weights: semaphore.NewWeighted(weightBytes), partials: semaphore.NewWeighted(partialsAtOnce), drives: map[string]*drive{}}
}

// Run drives every job that is not terminal until ctx ends; the jobs stay as they are then, and the next Run goes on with them.
func (l *Lifecycle) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	changes, cancel := l.o.Store.Subscribe()
	defer cancel()
	wg.Go(func() { l.sweep(ctx) })
	wg.Go(func() { l.publishAsked(ctx) })
	for {
		began := time.Now()
		jobs, err := l.unfinished(ctx)
		if err != nil {
			return nil // ctx has ended
		}
		l.observe(jobs)
		for _, job := range jobs {
			if d := l.adopt(job); d != nil {
				wg.Go(func() { defer l.dismiss(d); d.run(ctx) })
			}
		}
		// Every job that moves is a change, and each look reads all jobs: without a pause, many small jobs would cost the square of their number.
		sleep(ctx, min(lookShare*time.Since(began), longestPause))
		select {
		case <-changes:
		case <-time.After(l.o.Look):
		case <-ctx.Done():
		}
	}
}

// unfinished lists the jobs that are not terminal, however often it has to try. The error is the cause of ctx.
func (l *Lifecycle) unfinished(ctx context.Context) (jobs []batholith.Job, err error) {
	err = backoff.Repeat(ctx, firstAgain, time.Second, func(ctx context.Context) (err error) {
		jobs, err = l.o.Store.Unfinished(ctx)
		return err
	}, func(err error, _ time.Duration) { l.o.Log.Error("list unfinished jobs", "err", err) })
	return jobs, err
}

// firstAgain is how soon is looked again when that failed once: a stop must be seen within a second.
const firstAgain = 100 * time.Millisecond

// At most one part in lookShare of a processor's time goes into looks at the jobs, as long as a change is seen within longestPause.
const (
	lookShare    = 10
	longestPause = 50 * time.Millisecond
)

// lookEvery is how soon is seen what another process did to a job, whose changes may wake nobody here: as soon as a lease of it that ran
// out would be.
const lookEvery = 5 * time.Second

// observe tells every drive how its job stands. A job that is not listed is over.
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

// adopt makes a drive for a job that has none.
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

func (l *Lifecycle) dismiss(d *drive) {
	d.waits.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.drives, d.id)
}

func (l *Lifecycle) drive(job string) *drive {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drives[job]
}

// Begin moves a Scheduled job to InProgress because its turn at the model has come. A job that is InProgress already stays it.
func (l *Lifecycle) Begin(ctx context.Context, id string) error {
	at := time.Now()
	err := l.o.Store.Move(ctx, id, batholith.StatusScheduled, batholith.StatusInProgress, "", at)
	failpoint.Here("lifecycle.begun")
	if f := l.o.Listener.Moved; f != nil && err == nil {
		f(batholith.Moved{Job: id, From: batholith.StatusScheduled, To: batholith.StatusInProgress, At: at})
	}
	d := l.drive(id)
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

// Committed tells how far a job has come, by outcomes that this process stored.
func (l *Lifecycle) Committed(id string, c batholith.Counts) {
	if d := l.drive(id); d != nil {
		d.stored(c)
	}
}

// Fault tells that a job cannot go on. Access that was taken away is waited for like an outage, as long as the patience lasts.
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

// Waits tells that something of a job failed and is tried again, and since when; or, with a nil error, that it succeeded. A wait of some
// seconds is noted on the job. A denial that lasts longer than the patience ends the job as Failed.
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

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
