package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/backoff"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/control"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/dispatch"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/lifecycle"
	"github.com/batholith/batholith/internal/memory"
	"github.com/batholith/batholith/internal/results"
)

// Store is what the parts of a process ask of the database, together.
type Store interface {
	lifecycle.Store
	dispatch.Store
	dispatch.Memory
	results.Store
	results.PublisherStore
	control.Store
}

// Options say what a process is made of. At least one of API and Worker is set.
type Options struct {
	API    bool // the process answers Bedrock's operations; see [Engine.Service]
	Worker bool // the process runs jobs; see [Engine.Recover] and [Engine.Run]

	Store  Store
	Models *Models
	Log    *slog.Logger     // nil: nothing is logged
	Limits batholith.Limits // what input may hold, and for how long a job runs
	// Listener is told what happens in this process; see there.
	Listener batholith.Listener

	// For an API.
	Roles    control.Roles
	Network  control.Network // nil: no subnet and no security group is known
	Profile  bedrock.Profile
	Region   string
	Encrypts bool // the S3 encrypts with the keys that s3EncryptionKeyId names

	// For a worker.
	Dir      string // holds the journal and the worker's id; one worker at a time
	Place    func(context.Context, batholith.Job) (blob.Place, error)
	Attempts int           // counted attempts that a record gets; 0: 4
	Reuse    bool          // identical records of a job that are fixed by temperature 0 or a seed are sent once
	Sourced  bool          // each output line names the model server and the model that answered it
	Drain    time.Duration // what records in flight get at a shutdown; 0: 30 s
	Memory   int64         // bytes that chunks, answers and long lines may take; 0: no bound
	Patience time.Duration // for how long denied access is tried again before a job fails; 0: 10 minutes

	// For simulations, whose jobs are small and short; 0: as usual.
	PartBytes, FirstPartial int64
	PartialEvery            time.Duration
}

// JournalName is the folder below Options.Dir that holds the journal.
const JournalName = "journal"

// pendingBytes is how many bytes of outcomes may wait for their commit before slots do: some seconds of a fast model.
const pendingBytes = 16 << 20

// Engine is one process. The fields of a part that the process does not have are nil.
type Engine struct {
	o   Options
	api *control.API

	id       string // under which this worker claims chunks
	writer   *results.Writer
	dispatch *dispatch.Dispatcher
	life     *lifecycle.Lifecycle

	mu   sync.Mutex
	jobs map[string]batholith.Job // by id; what was asked for of a job never changes
}

// keptJobs is how many jobs are remembered for their buckets. When there are more, all are read anew.
const keptJobs = 1024

// New joins the parts. It opens the journal's folder of a worker, and starts nothing.
func New(o Options) (*Engine, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{o: o}
	switch {
	case !o.API && !o.Worker:
		return nil, errors.New("a process without API and without worker does nothing")
	case o.Worker:
		if err := e.joinWorker(); err != nil {
			return nil, err
		}
	}
	if o.API {
		e.joinAPI()
	}
	return e, nil
}

// joinWorker makes the parts that run jobs. They tell one another what happens: faults, waits and commits go to lifecycle, which is
// made last.
func (e *Engine) joinWorker() (err error) {
	o := e.o
	if e.id, err = workerID(o.Dir); err != nil {
		return err
	}
	shelf, err := files.NewPrivateOutput(filepath.Join(o.Dir, "kept"))
	if err != nil {
		return fmt.Errorf("open the folder for kept results: %w", err)
	}
	e.writer, err = results.NewWriter(results.Options{Dir: filepath.Join(o.Dir, JournalName), Worker: e.id, Store: o.Store, Open: e.open, Log: o.Log,
		OnFault: func(job string, err error) { e.life.Fault(job, err) }, PendingBytes: pendingBytes, Shelf: shelf, Listener: o.Listener,
		OnWait:   func(job string, since time.Time, err error) { e.life.Waits(job, lifecycle.ToStore, since, err) },
		OnCommit: func(job string, c batholith.Counts) { e.life.Committed(job, c) }})
	if err != nil {
		return err
	}
	var room *memory.Budget
	if o.Memory > 0 {
		room = memory.NewBudget(o.Memory)
	}
	e.dispatch = dispatch.New(dispatch.Options{Worker: e.id, Store: o.Store, Sink: e.writer, Memory: o.Store, Serving: e.serving, Place: o.Place, Log: o.Log,
		Begin: func(ctx context.Context, job string) error { return e.life.Begin(ctx, job) },
		Fault: func(job string, err error) { e.life.Fault(job, err) },
		Waits: func(job string, since time.Time, err error) { e.life.Waits(job, lifecycle.ToRead, since, err) },
		Canary: func(path string, f dialect.Features, model string, n int) (batholith.Call, bool) {
			return dialect.Canary(dialect.ProtocolOpenAI, path, f, model, n)
		},
		Attempts: o.Attempts, Reuse: o.Reuse, Sourced: o.Sourced, Drain: o.Drain, Room: room, Listener: o.Listener})
	publisher := results.NewPublisher(results.PublisherOptions{Store: o.Store, Open: e.open, Log: o.Log, PartBytes: o.PartBytes, Room: room, Worker: e.id, Shelf: shelf, Listener: o.Listener})
	e.life = lifecycle.New(lifecycle.Options{Store: o.Store, Dispatch: e.dispatch, Publisher: publisher, Shelf: e.writer, Place: o.Place,
		Limits: o.Limits, Worker: e.id, Log: o.Log, FirstPartial: o.FirstPartial, PartialEvery: o.PartialEvery, Patience: o.Patience,
		Listener: o.Listener})
	return nil
}

// open opens the buckets of a job that is known by its id.
func (e *Engine) open(ctx context.Context, job string) (blob.Place, error) {
	e.mu.Lock()
	j, ok := e.jobs[job]
	e.mu.Unlock()
	if ok {
		return e.o.Place(ctx, j)
	}
	j, err := e.o.Store.Find(ctx, job)
	if err != nil {
		return blob.Place{}, err
	}
	e.mu.Lock()
	if len(e.jobs) >= keptJobs || e.jobs == nil {
		e.jobs = map[string]batholith.Job{}
	}
	e.jobs[job] = batholith.Job{ID: j.ID, Account: j.Account, Region: j.Region, Owner: j.Owner, Request: j.Request}
	e.mu.Unlock()
	return e.o.Place(ctx, j)
}

// serving finds where a job's records go.
func (e *Engine) serving(j batholith.Job) (dispatch.Serving, error) {
	s, ok := e.o.Models.Serving(j.ModelID)
	if !ok {
		return dispatch.Serving{}, fmt.Errorf("the model %s is not served here any more", j.ModelID)
	}
	d, err := s.Dialect(j.Type)
	if err != nil {
		return dispatch.Serving{}, err
	}
	serving := dispatch.Serving{Model: s.Model.ID, Dialect: d}
	for _, b := range s.Backends {
		serving.Backends = append(serving.Backends, b)
	}
	return serving, nil
}

// joinAPI makes the part that answers. In a process with a worker, a stop calls off what is in flight here at once, and messages tell
// what the dispatcher expects. In a process without one, the workers see a stop when they next look at the database.
func (e *Engine) joinAPI() {
	o := control.Options{Store: e.o.Store, Models: e.o.Models, Stopper: lifecycle.Stopper{Store: e.o.Store, Listener: e.o.Listener}, Roles: e.o.Roles, Network: e.o.Network,
		Limits: e.o.Limits, Profile: e.o.Profile, Region: e.o.Region, Encrypts: e.o.Encrypts}
	if e.o.Worker {
		o.Stopper, o.Forecaster = e.life, e.dispatch
	}
	e.api = control.New(o)
}

// Service answers Bedrock's operations. It is nil in a process without API.
func (e *Engine) Service() bedrock.Service {
	if e.api == nil {
		return nil
	}
	return e.api
}

// InFlight is how many requests for records are at the model servers now. A process without worker has none.
func (e *Engine) InFlight() int {
	if e.dispatch == nil {
		return 0
	}
	return e.dispatch.InFlight()
}

// Recover commits what an earlier process finished and did not commit, and makes its chunks claimable. It comes before Run. A job whose
// outcomes cannot be committed yet keeps its chunks until it is opened: once released, they would be asked again. It waits for a
// database that does not answer. A process without worker has nothing to recover.
func (e *Engine) Recover(ctx context.Context) error {
	if !e.o.Worker {
		return nil
	}
	if err := e.writer.Recover(ctx); err != nil {
		return fmt.Errorf("take up the journal: %w", err)
	}
	return backoff.Repeat(ctx, 100*time.Millisecond, 5*time.Second, e.dispatch.HandBack, // releasing twice is harmless
		func(err error, wait time.Duration) {
			e.o.Log.Warn("release the chunks of the last run", "err", err, "again_in", wait)
		})
}

// Run works until ctx ends, and returns when everything that was finished is committed. The order of the end is that of the records:
// nothing new, nothing in flight, nothing uncommitted; the models last. Without a worker it waits for the end of ctx.
func (e *Engine) Run(ctx context.Context) error {
	if !e.o.Worker {
		<-ctx.Done()
		return nil
	}
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWriting()
	var after, before errgroup.Group
	after.Go(func() error { return unlessCancelled(e.writer.Run(writing)) })
	after.Go(func() error { return unlessCancelled(e.o.Models.Run(writing)) })
	sending, stopSending := context.WithCancel(ctx)
	defer stopSending()
	before.Go(func() error { defer stopSending(); return unlessCancelled(e.dispatch.Run(sending)) })
	before.Go(func() error { defer stopSending(); return unlessCancelled(e.life.Run(sending)) })
	err := before.Wait()
	stopWriting()
	return errors.Join(err, after.Wait())
}

func unlessCancelled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
