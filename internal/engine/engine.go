package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/backoff"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/control"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/dispatch"
	"github.com/batholith/batholith/internal/events"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/lifecycle"
	"github.com/batholith/batholith/internal/managed"
	"github.com/batholith/batholith/internal/memory"
	"github.com/batholith/batholith/internal/meter"
	"github.com/batholith/batholith/internal/results"
)

// Store is the part of the database that a process uses: the sum of what its parts use.
type Store interface {
	lifecycle.Store
	dispatch.Store
	dispatch.Memory
	dispatch.Loads
	results.Store
	results.PublisherStore
	control.Store
	Drains
	// Leases tells which workers' leases end: see dispatch.Options.
	Leases() (ended int, next time.Time)
	// Now is the time of the database's clock.
	Now(ctx context.Context) (time.Time, error)
	// PutReach stores what a process reaches, and PutForecasts when its jobs begin and end.
	PutReach(ctx context.Context, p batholith.Process) error
	PutForecasts(ctx context.Context, worker string, all []batholith.JobForecast) error
	Forecasts(ctx context.Context, jobs []string) (map[string]batholith.Forecast, error)
	meter.Store
	events.Store
	// RetireReceivers deletes the cursors of all receivers but those of keep, and returns how many events each of the others had not got.
	RetireReceivers(ctx context.Context, keep []string) (gone map[string]int64, err error)
}

// Options configures a process. At least one of API and Worker must be set.
type Options struct {
	API    bool // the process answers Bedrock's operations and interactive calls; see [Engine.Service] and [Engine.Calls]
	Worker bool // the process runs jobs; see [Engine.Recover] and [Engine.Run]

	// Shared says that other processes may use the database: this one stores what they need to know, and divides the work with them.
	Shared bool
	// Clock becomes the database's clock. nil: the process uses its own clock, unless it is shared.
	Clock *Clock

	Store  Store
	Models *Models
	Log    *slog.Logger     // nil: nothing is logged
	Limits batholith.Limits // bounds on the input and the duration of a job
	// Caps returns what bounds what a job with its tags may take. nil: nothing.
	Caps func(batholith.Job) []batholith.Cap
	// Sample returns the size of a job's sample in records. nil: no job has a sample.
	Sample func(batholith.Job) int
	// Price returns what the tokens of a model cost now, by its catalogue id and the name that the job has for it. It is called for each
	// commit. nil: nothing has a price.
	Price func(names ...string) batholith.Price
	// Tracer follows requests to model servers; nil: nobody does. Trace returns the trace context of a request to the API; nil: none is traced.
	Tracer dispatch.Tracer
	Trace  func(ctx context.Context) string
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
	Account    string       // of the service; callers of others have no right to its model servers. "": all have
	Keys       control.Keys // that s3EncryptionKeyId may name; nil: an external S3 has them
	// Notice is what every unfinished job must say now, in place of its own note; "": nothing. nil: never.
	Notice func() string

	// For a worker.
	// Receivers get an event for each change of a job's status.
	Receivers []events.Receiver
	// Subnets and SecurityGroups are those of Networks that this machine reaches. A shared worker leaves jobs with others to other workers.
	Subnets, SecurityGroups []string
	Dir                     string       // folder of the journal and the worker's id; for one worker at a time
	DataKeys                results.Keys // encrypt the journal and kept results, or only open those that are encrypted; nil: neither
	Discreet                bool         // no text about a job quotes a record, because the journal is encrypted and these texts are not
	Place                   func(context.Context, batholith.Job) (blob.Place, error)
	// Access changes when a reload has changed the rights of a job's role, so that the buckets of the job must be opened anew. nil: it never does.
	Access func(batholith.Job) string
	// Media returns an object that the body of an interactive call names, with the rights of the call's sender; or why the sender may not name
	// it (Code 400), or may not read it (403). owner is the account that must own the bucket; "": the sender's. nil: calls may name no objects.
	Media    func(ctx context.Context, who bedrock.Caller, uri, owner string) (b blob.Readable, key string, refused *batholith.RecordError)
	Attempts int  // failures after which a record ends with an error line, if they count against it; 0: 4
	Reuse    bool // send identical records of a job once, if temperature 0 or a seed fixes their answer
	// Earlier says of which earlier jobs a job takes answers that does not say it itself (batholith.ReuseTag).
	Earlier batholith.Reuse
	// StrictBodies fails a job in its validation if a record's body does not fit the model.
	StrictBodies bool
	Silent       bool // leave modelInput out of output lines, unless a job's tag says otherwise
	Sourced      bool // write into each output line which model server and model answered it
	// Retention returns how long jobs that have ended are kept, and how many of each account; 0: for good. nil: all for good.
	Retention func() (age time.Duration, keep int)
	// EventsAge returns the age at which events of jobs that have ended are deleted; 0: with their job. nil: the same.
	EventsAge func() time.Duration
	Drain     time.Duration // time that requests in flight get to finish at a shutdown; 0: 30 s
	Memory    int64         // bytes of memory for chunks, answers and long lines; 0: no bound
	Patience  time.Duration // how long denied access is retried before a job fails; 0: 10 minutes

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

	id       string // under which this process holds leases
	writer   *results.Writer
	dispatch *dispatch.Dispatcher
	calls    *interactive
	meter    *meter.Meter
	life     *lifecycle.Lifecycle
	clock    *Clock // of the database; that of this process if no other uses the database
	peers    peers
	notes    *notes // nil: no other worker uses the database
	live     atomic.Pointer[live]
	drains   atomic.Pointer[[]batholith.Drain] // nil: not read yet
	reached  chan struct{}                     // 1-buffered, never closed; gets a value when what the process reaches has changed

	room *memory.Budget // nil: none

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
	e := &Engine{o: o, clock: cmp.Or(o.Clock, &Clock{}), reached: make(chan struct{}, 1)}
	e.o.Listener = e.named(o.Listener)
	e.live.Store(&live{limits: o.Limits, strict: o.StrictBodies, earlier: o.Earlier, subnets: o.Subnets, groups: o.SecurityGroups})
	switch {
	case !o.API && !o.Worker:
		return nil, errors.New("a process without API and without worker does nothing")
	case o.Worker:
		if err := e.joinWorker(); err != nil {
			return nil, err
		}
	}
	if o.API && !o.Worker {
		e.joinCalls()
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
	e.writer, err = results.NewWriter(results.Options{Dir: filepath.Join(o.Dir, JournalName), Worker: e.id, Store: priced{o.Store, e}, Open: e.open, Log: o.Log,
		OnFault: func(job string, err error) { e.life.Fault(job, err) }, PendingBytes: pendingBytes, Shelf: shelf, Keys: o.DataKeys, Listener: o.Listener,
		OnWait:   func(job string, since time.Time, err error) { e.life.Waits(job, lifecycle.ToStore, since, err) },
		OnCommit: func(job string, c batholith.Counts) { e.life.Committed(job, c); e.dispatch.Committed(job, c) }})
	if err != nil {
		return err
	}
	var room *memory.Budget
	if o.Memory > 0 {
		room = memory.NewBudget(o.Memory)
		e.room = room
	}
	var work dispatch.Store = o.Store
	var workers func(model string) int
	var lease time.Duration // the usual one
	if o.Shared {
		e.notes = &notes{Store: o.Store, worker: e.id}
		work, workers, lease = e.notes, e.peers.workers, sharedLease
	}
	e.dispatch = dispatch.New(dispatch.Options{Worker: e.id, Store: work, Sink: e.writer, Memory: o.Store, Loads: o.Store, Serving: e.serving, Place: o.Place, Log: o.Log,
		Begin:    func(ctx context.Context, job string) error { return e.life.Begin(ctx, job) },
		Fault:    func(job string, err error) { e.life.Fault(job, err) },
		Waits:    func(job string, since time.Time, err error) { e.life.Waits(job, lifecycle.ToRead, since, err) },
		Canary:   dialect.Canary,
		Sample:   o.Sample,
		Caps:     e.caps(),
		Attempts: o.Attempts, Reuse: o.Reuse, Earlier: o.Earlier, Scratch: o.Dir, Sourced: o.Sourced, Silent: o.Silent, Discreet: o.Discreet,
		Drain: o.Drain, Room: room, Tracer: o.Tracer, Listener: o.Listener, Lease: lease, Leases: o.Store.Leases, Workers: workers})
	e.calls = newInteractive(e)
	publisher := results.NewPublisher(results.PublisherOptions{Store: o.Store, Costs: e.costs, Open: e.open, Log: o.Log, PartBytes: o.PartBytes, Room: room, Worker: e.id, Shelf: shelf, Listener: o.Listener})
	e.life = lifecycle.New(lifecycle.Options{Store: o.Store, Dispatch: e.dispatch, Publisher: publisher, Shelf: e.writer, Place: o.Place,
		LimitsNow: e.Limits, Turn: e.writer.Turn, Retention: o.Retention, EventsAge: o.EventsAge, Bodies: e.refused, Names: e.names, Takes: func(j batholith.Job) error { return e.o.Models.Takes(j.ModelID, j.Type) }, EarlierNow: e.earlier, Serving: e.servings, Scratch: o.Dir, Strict: e.strict, Discreet: o.Discreet, Worker: e.id, Log: o.Log, FirstPartial: o.FirstPartial, PartialEvery: o.PartialEvery, Patience: o.Patience,
		Listener: o.Listener, Shared: o.Shared, Reaches: e.reaches(), Now: e.clock.Now})
	return nil
}

// open opens the buckets of a job by its id.
func (e *Engine) open(ctx context.Context, job string) (blob.Place, error) {
	j, err := e.known(ctx, job)
	if err != nil {
		return blob.Place{}, err
	}
	return e.o.Place(ctx, j)
}

// known returns a job with the fields that never change.
func (e *Engine) known(ctx context.Context, job string) (batholith.Job, error) {
	e.mu.Lock()
	j, ok := e.jobs[job]
	e.mu.Unlock()
	if ok {
		return j, nil
	}
	j, err := e.o.Store.Find(ctx, job)
	if err != nil {
		return j, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.jobs) >= keptJobs || e.jobs == nil {
		e.jobs = map[string]batholith.Job{}
	}
	j = batholith.Job{ID: j.ID, Account: j.Account, Region: j.Region, Owner: j.Owner, Model: j.Model, Request: j.Request}
	e.jobs[job] = j
	return j, nil
}

// serving finds the backends of a job, and the translators of its bodies. Backends whose protocol cannot take bodies of the job's type are
// left out.
func (e *Engine) serving(j batholith.Job) (dispatch.Serving, error) {
	s, ok := e.o.Models.Serving(j.ModelID)
	if !ok {
		return dispatch.Serving{}, fmt.Errorf("the model %s is not in the settings any more", j.ModelID)
	}
	able, dialects, err := s.For(j.Type)
	if err != nil {
		return dispatch.Serving{}, err
	}
	serving := dispatch.Serving{Model: s.Model.ID, Set: s.Model.Set, Dialect: func(protocol string) dialect.Dialect { return dialects[protocol] },
		Recipe: func(b dispatch.Backend) string { return s.Recipe(j.Type, b) }}
	if len(able) < len(s.Backends) {
		serving.Type = j.Type
	}
	if e.o.Access != nil {
		serving.Access = e.o.Access(j)
	}
	serving.Backends, serving.Network, err = e.o.Networks.backends(j, able)
	return serving, err
}

// servings returns what decides the answers to a job's records now; nil if its model is not served.
func (e *Engine) servings(j batholith.Job) []batholith.Serving {
	s, ok := e.o.Models.Serving(j.ModelID)
	if !ok {
		return nil
	}
	return s.Servings(j.Type)
}

// names returns the names of a job's model that the bodies of its records may have: its id and aliases.
func (e *Engine) names(j batholith.Job) []string {
	m, ok := e.o.Models.Lookup(j.ModelID)
	if !ok {
		return []string{j.ModelID}
	}
	return append([]string{m.ID}, m.Aliases...)
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

// joinAPI makes the part that answers operations. In a process with a worker, a stop cancels requests in flight at once. In a process without
// one, the workers are notified, or see the stop at their next look at the database.
func (e *Engine) joinAPI() {
	o := control.Options{Store: e.o.Store, Models: e.o.Models, Stopper: lifecycle.Stopper{Store: e.o.Store, Listener: e.o.Listener, Log: e.o.Log}, Roles: e.o.Roles,
		LimitsNow: e.Limits, Profile: e.o.Profile, Region: e.o.Region, Keys: e.o.Keys, Authorizer: e.o.Authorizer, Notice: e.o.Notice, Forecaster: e, Trace: e.o.Trace, Log: e.o.Log, Clock: e.clock.Now}
	o.Account, o.Backends = e.o.Account, e
	if e.o.Networks.Networks != nil {
		o.Network = e.o.Networks
	}
	if e.o.Worker {
		o.Stopper = e.life
	}
	if e.o.Shared {
		o.Unreached, o.Processes, o.Ignoring = e.peers.unreached, e.peers.apis, e.peers.ignoring
	}
	// The meter and the API sum each other's part of a day's tokens.
	e.meter = meter.New(meter.Options{Store: e.o.Store, Log: e.o.Log, Now: e.clock.Now, Jobs: func(ctx context.Context, account, principal string) (int64, error) {
		return e.api.TokensToday(ctx, account, principal)
	}})
	o.Calls = e.meter.Called
	e.api = control.New(o)
}

// Processes is the number of API processes of the database, at least 1.
func (e *Engine) Processes() int { return e.peers.apis() }

// Meter counts the tokens of interactive calls. It is nil in a process without API.
func (e *Engine) Meter() *meter.Meter { return e.meter }

// Service answers Bedrock's operations. It is nil in a process without API.
func (e *Engine) Service() bedrock.Service {
	if e.api == nil {
		return nil
	}
	return e.api
}

// Batches answers what OpenAI's batch API asks. It is nil in a process without API.
func (e *Engine) Batches() *control.API { return e.api }

// Room is the budget of memory of the process, which its parts share; nil: there is none.
func (e *Engine) Room() *memory.Budget { return e.room }

// InFlight is the number of requests in flight at the model servers. It is 0 without a worker.
func (e *Engine) InFlight() int {
	if e.dispatch == nil {
		return 0
	}
	return e.dispatch.InFlight()
}

// Recover commits the outcomes that an earlier process finished and did not commit, and releases its chunks. It must be called before Run.
// A job whose outcomes cannot be committed yet keeps its chunks until it is opened; otherwise its records would be sent again. Recover
// waits while the database does not answer. Without a worker it only reads the database's clock.
func (e *Engine) Recover(ctx context.Context) error {
	if e.o.Shared {
		err := backoff.Repeat(ctx, 100*time.Millisecond, 5*time.Second, func(ctx context.Context) error { return e.clock.measure(ctx, e.o.Store) },
			func(err error, wait time.Duration) {
				e.o.Log.Warn("read the database's clock", "err", err, "again_in", wait)
			})
		if err != nil {
			return err
		}
	}
	err := backoff.Repeat(ctx, 100*time.Millisecond, 5*time.Second, e.readDrains, func(err error, wait time.Duration) {
		e.o.Log.Warn("read the drained model servers", "err", err, "again_in", wait)
	})
	if err != nil {
		return err
	}
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
// for requests in flight, then commits, and stops the embedded models and the model servers that it runs last. Without a worker it only
// serves interactive calls, and starts no model server.
func (e *Engine) Run(ctx context.Context) error {
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWriting()
	var after, before errgroup.Group
	servers := "" // their folder
	if e.o.Worker {
		servers = filepath.Join(e.o.Dir, managed.Folder)
		after.Go(func() error { return unlessCancelled(e.writer.Run(writing)) })
	}
	if e.meter != nil {
		after.Go(func() error { return e.meter.Run(writing) })
	}
	after.Go(func() error { return unlessCancelled(e.o.Models.Run(writing, servers, e.o.Log)) })
	sending, stopSending := context.WithCancel(ctx)
	defer stopSending()
	before.Go(func() error { defer stopSending(); return unlessCancelled(e.dispatch.Run(sending)) })
	if e.o.Worker {
		before.Go(func() error { defer stopSending(); return unlessCancelled(e.life.Run(sending)) })
	}
	if e.o.Worker {
		e.retire(sending)
	}
	if e.o.Worker && len(e.o.Receivers) > 0 {
		before.Go(func() error { return unlessCancelled(e.courier().Run(sending)) })
	}
	before.Go(func() error { e.followDrains(sending); return nil })
	if e.o.Shared {
		e.join(sending, &before)
	}
	err := before.Wait()
	stopWriting()
	err = errors.Join(err, after.Wait())
	if e.o.Shared {
		e.leave(ctx)
	}
	return err
}

// courier delivers events to the receivers. Of several workers, one has the duty to deliver to a receiver.
func (e *Engine) courier() *events.Courier {
	o := events.Options{Store: e.o.Store, Receivers: e.o.Receivers, Log: e.o.Log, Now: e.clock.Now, Listener: e.o.Listener}
	if e.o.Shared {
		o.Mine = func(ctx context.Context, receiver string) (bool, error) {
			return e.o.Store.Undertake(ctx, e.id, "events "+receiver)
		}
	}
	return events.New(o)
}

// retire deletes the cursors of receivers that are not in the settings any more, which would be counted as waiting for ever. Processes of a shared
// database may have different settings for a while, so there they stay.
func (e *Engine) retire(ctx context.Context) {
	if e.o.Shared {
		return
	}
	var keep []string
	for _, r := range e.o.Receivers {
		keep = append(keep, r.Name)
	}
	gone, err := e.o.Store.RetireReceivers(ctx, keep)
	if err != nil && ctx.Err() == nil {
		e.o.Log.Warn("retire receivers of events that are not in the settings", "err", err)
	}
	for name, waiting := range gone {
		if waiting > 0 {
			e.o.Log.Warn("a receiver of events is not in the settings any more; events that it has not got are not sent", "receiver", name, "events", waiting)
		} else {
			e.o.Log.Info("a receiver of events is not in the settings any more; it has got all events", "receiver", name)
		}
	}
}

// join starts what a process does for the others of its database.
func (e *Engine) join(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { e.clock.run(ctx, e.o.Store, e.o.Log); return nil })
	g.Go(func() error { e.announce(ctx); return nil })
	g.Go(func() error { e.watchPeers(ctx); return nil })
	if e.o.Worker {
		g.Go(func() error { (&outlooks{e: e}).run(ctx); return nil })
		g.Go(func() error { e.notes.run(ctx); return nil })
	}
}

// unlessCancelled is err, or nil for context.Canceled, which is a normal end.
func unlessCancelled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
