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
	"github.com/batholith/batholith/internal/managed"
	"github.com/batholith/batholith/internal/memory"
	"github.com/batholith/batholith/internal/results"
)

// Store is the part of the database that a process uses: the sum of what its parts use.
type Store interface {
	lifecycle.Store
	dispatch.Store
	dispatch.Memory
	results.Store
	results.PublisherStore
	control.Store
}

// Options configures a process. At least one of API and Worker must be set.
type Options struct {
	API    bool // the process answers Bedrock's operations; see [Engine.Service]
	Worker bool // the process runs jobs; see [Engine.Recover] and [Engine.Run]

	Store  Store
	Models *Models
	Log    *slog.Logger     // nil: nothing is logged
	Limits batholith.Limits // bounds on the input and the duration of a job
	// Listener is called for events in this process.
	Listener batholith.Listener

	// Networks are what the vpcConfig of a job may name. Without them every subnet and security group is refused as unknown.
	Networks Networks

	// For an API.
	Roles control.Roles
	// Authorizer decides who may do what. nil: every caller may do everything in its account.
	Authorizer control.Authorizer
	Profile    bedrock.Profile
	Region     string
	Keys       control.Keys // that s3EncryptionKeyId may name; nil: an external S3 has them
	// Notice is what every unfinished job must say now, in place of its own note; "": nothing. nil: never.
	Notice func() string

	// For a worker.
	Dir      string       // folder of the journal and the worker's id; for one worker at a time
	DataKeys results.Keys // encrypt the journal and kept results, or only open those that are encrypted; nil: neither
	Discreet bool         // no text about a job quotes a record, because the journal is encrypted and these texts are not
	Place    func(context.Context, batholith.Job) (blob.Place, error)
	// Media returns an object that the body of an interactive call names, with the rights of the call's sender; or why the sender may not name
	// it (Code 400), or may not read it (403). owner is the account that must own the bucket; "": the sender's. nil: calls may name no objects.
	Media    func(ctx context.Context, who bedrock.Caller, uri, owner string) (b blob.Readable, key string, refused *batholith.RecordError)
	Attempts int  // failures after which a record ends with an error line, if they count against it; 0: 4
	Reuse    bool // send identical records of a job once, if temperature 0 or a seed fixes their answer
	// StrictBodies fails a job in its validation if a record's body does not fit the model.
	StrictBodies bool
	Sourced      bool          // write into each output line which model server and model answered it
	Drain        time.Duration // time that requests in flight get to finish at a shutdown; 0: 30 s
	Memory       int64         // bytes of memory for chunks, answers and long lines; 0: no bound
	Patience     time.Duration // how long denied access is retried before a job fails; 0: 10 minutes

	// For simulations, whose jobs are small and short; 0: the usual values.
	PartBytes, FirstPartial int64
	PartialEvery            time.Duration
}

// JournalName is the folder below Options.Dir that holds the journal.
const JournalName = "journal"

// pendingBytes is how many bytes of outcomes may wait for their commit before slots wait: some seconds of a fast model.
const pendingBytes = 16 << 20

// Engine is one process. The fields of a part that the process does not have are nil.
type Engine struct {
	o   Options
	api *control.API

	id       string // id under which this worker claims chunks
	writer   *results.Writer
	dispatch *dispatch.Dispatcher
	calls    *interactive
	life     *lifecycle.Lifecycle

	mu   sync.Mutex
	jobs map[string]batholith.Job // by id; only fields that never change
}

// keptJobs is how many jobs are cached for open. When there are more, the cache is cleared.
const keptJobs = 1024

// New joins the parts. For a worker it opens the folders of the journal and of kept results. It starts nothing.
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

// joinWorker makes the parts that run jobs. They report faults, waits and commits to lifecycle, which is made last; the functions below
// read e.life only after Run has begun.
func (e *Engine) joinWorker() (err error) {
	o := e.o
	if e.id, err = workerID(o.Dir); err != nil {
		return err
	}
	kept, err := files.NewPrivateOutput(filepath.Join(o.Dir, "kept"))
	if err != nil {
		return fmt.Errorf("open the folder for kept results: %w", err)
	}
	shelf := keptResults{kept, o.DataKeys}
	e.writer, err = results.NewWriter(results.Options{Dir: filepath.Join(o.Dir, JournalName), Worker: e.id, Store: o.Store, Open: e.open, Log: o.Log,
		OnFault: func(job string, err error) { e.life.Fault(job, err) }, PendingBytes: pendingBytes, Shelf: shelf, Keys: o.DataKeys, Listener: o.Listener,
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
		Begin:    func(ctx context.Context, job string) error { return e.life.Begin(ctx, job) },
		Fault:    func(job string, err error) { e.life.Fault(job, err) },
		Waits:    func(job string, since time.Time, err error) { e.life.Waits(job, lifecycle.ToRead, since, err) },
		Canary:   dialect.Canary,
		Attempts: o.Attempts, Reuse: o.Reuse, Sourced: o.Sourced, Discreet: o.Discreet,
		Drain: o.Drain, Room: room, Listener: o.Listener})
	e.calls = &interactive{e: e}
	publisher := results.NewPublisher(results.PublisherOptions{Store: o.Store, Open: e.open, Log: o.Log, PartBytes: o.PartBytes, Room: room, Worker: e.id, Shelf: shelf, Listener: o.Listener})
	e.life = lifecycle.New(lifecycle.Options{Store: o.Store, Dispatch: e.dispatch, Publisher: publisher, Shelf: e.writer, Place: o.Place,
		Limits: o.Limits, Bodies: e.refused, StrictBodies: o.StrictBodies, Discreet: o.Discreet, Worker: e.id, Log: o.Log, FirstPartial: o.FirstPartial, PartialEvery: o.PartialEvery, Patience: o.Patience,
		Listener: o.Listener})
	return nil
}

// open opens the buckets of a job by its id.
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

// serving finds the backends of a job, and the translators of its bodies. Backends whose protocol cannot take bodies of the job's type are
// left out.
func (e *Engine) serving(j batholith.Job) (dispatch.Serving, error) {
	s, ok := e.o.Models.Serving(j.ModelID)
	if !ok {
		return dispatch.Serving{}, fmt.Errorf("the model %s is not served here any more", j.ModelID)
	}
	able, dialects, err := s.For(j.Type)
	if err != nil {
		return dispatch.Serving{}, err
	}
	serving := dispatch.Serving{Model: s.Model.ID, Set: s.Model.Set, Dialect: func(protocol string) dialect.Dialect { return dialects[protocol] }}
	if len(able) < len(s.Backends) {
		serving.Type = j.Type
	}
	serving.Backends, serving.Network, err = e.o.Networks.backends(j, able)
	return serving, err
}

// refused returns what finds bodies that a job's model would refuse; nil if the model is not served.
func (e *Engine) refused(j batholith.Job) func(input []byte) string {
	s, ok := e.o.Models.Serving(j.ModelID)
	if !ok {
		return nil
	}
	refused, err := s.Refused(j.Type)
	if err != nil {
		return nil
	}
	return refused
}

// joinAPI makes the part that answers operations. In a process with a worker, a stop cancels requests in flight at once, and Get and List
// return forecasts. In a process without one, the workers see a stop at their next look at the database.
func (e *Engine) joinAPI() {
	o := control.Options{Store: e.o.Store, Models: e.o.Models, Stopper: lifecycle.Stopper{Store: e.o.Store, Listener: e.o.Listener}, Roles: e.o.Roles,
		Limits: e.o.Limits, Profile: e.o.Profile, Region: e.o.Region, Keys: e.o.Keys, Authorizer: e.o.Authorizer, Notice: e.o.Notice}
	if e.o.Networks.Networks != nil {
		o.Network = e.o.Networks
	}
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

// InFlight is the number of requests in flight at the model servers. It is 0 without a worker.
func (e *Engine) InFlight() int {
	if e.dispatch == nil {
		return 0
	}
	return e.dispatch.InFlight()
}

// Recover commits the outcomes that an earlier process finished and did not commit, and releases its chunks. It must be called before Run.
// A job whose outcomes cannot be committed yet keeps its chunks until it is opened; otherwise its records would be sent again. Recover
// waits while the database does not answer. Without a worker it does nothing.
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

// Run works until ctx ends, and returns when all finished outcomes are committed. At a shutdown it first stops taking records, then waits
// for requests in flight, then commits, and stops the embedded models and the model servers that it runs last. Without a worker it only waits for the end of ctx.
func (e *Engine) Run(ctx context.Context) error {
	if !e.o.Worker {
		<-ctx.Done()
		return nil
	}
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWriting()
	var after, before errgroup.Group
	after.Go(func() error { return unlessCancelled(e.writer.Run(writing)) })
	after.Go(func() error {
		return unlessCancelled(e.o.Models.Run(writing, filepath.Join(e.o.Dir, managed.Folder), e.o.Log))
	})
	sending, stopSending := context.WithCancel(ctx)
	defer stopSending()
	before.Go(func() error { defer stopSending(); return unlessCancelled(e.dispatch.Run(sending)) })
	before.Go(func() error { defer stopSending(); return unlessCancelled(e.life.Run(sending)) })
	err := before.Wait()
	stopWriting()
	return errors.Join(err, after.Wait())
}

// unlessCancelled is err, or nil for context.Canceled, which is a normal end.
func unlessCancelled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
