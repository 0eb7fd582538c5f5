package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/catalog"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/dispatch"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/lifecycle"
	"github.com/batholith/batholith/internal/memory"
	"github.com/batholith/batholith/internal/results"
)

// engine is what serve and run have in common: everything between a created job and its output.
type engine struct {
	store    engineStore
	catalog  *catalog.Catalog
	models   *models
	writer   *results.Writer
	dispatch *dispatch.Dispatcher
	life     *lifecycle.Lifecycle
	worker   string
	log      *slog.Logger
}

// engineStore is what its parts ask of the database, together.
type engineStore interface {
	lifecycle.Store
	dispatch.Store
	dispatch.Memory
	results.Store
	results.PublisherStore
	Find(ctx context.Context, id string) (batholith.Job, error)
}

// engineOptions are what they do not have in common.
type engineOptions struct {
	Config *config.Config
	Log    *slog.Logger
	Store  engineStore
	Models *models // nil: those of Config
	Dir    string  // holds the journal and the worker's id
	Place  func(context.Context, batholith.Job) (blob.Place, error)

	// For simulations, whose jobs are small and short; 0: as usual.
	PartBytes, FirstPartial int64
	PartialEvery            time.Duration
}

// pendingBytes is how much of outcomes may wait for their commit before slots do: some seconds of a fast model.
const pendingBytes = 16 << 20

func newEngine(o engineOptions) (_ *engine, err error) {
	if o.Models == nil {
		if o.Models, err = openModels(o.Config); err != nil {
			return nil, err
		}
	}
	e := &engine{store: o.Store, catalog: o.Models.catalog, models: o.Models, log: o.Log}
	if e.worker, err = workerID(o.Dir); err != nil {
		return nil, err
	}
	place := func(ctx context.Context, job string) (blob.Place, error) {
		j, err := o.Store.Find(ctx, job)
		if err != nil {
			return blob.Place{}, err
		}
		return o.Place(ctx, j)
	}
	shelf, err := files.NewPrivateOutput(filepath.Join(o.Dir, "kept"))
	if err != nil {
		return nil, fmt.Errorf("open the folder for kept results: %w", err)
	}
	e.writer, err = results.NewWriter(results.Options{Dir: filepath.Join(o.Dir, journalName), Worker: e.worker, Store: o.Store, Open: place, Log: o.Log,
		OnFault: func(job string, err error) { e.life.Fault(job, err) }, PendingBytes: pendingBytes, Shelf: shelf,
		OnWait:   func(job string, since time.Time, err error) { e.life.Waits(job, lifecycle.ToStore, since, err) },
		OnCommit: func(job string, c batholith.Counts) { e.life.Committed(job, c) }})
	if err != nil {
		return nil, err
	}
	e.dispatch = dispatch.New(dispatch.Options{Worker: e.worker, Store: o.Store, Sink: e.writer, Memory: o.Store, Serving: e.serving, Place: o.Place, Log: o.Log,
		Begin:    func(ctx context.Context, job string) error { return e.life.Begin(ctx, job) },
		Fault:    func(job string, err error) { e.life.Fault(job, err) },
		Waits:    func(job string, since time.Time, err error) { e.life.Waits(job, lifecycle.ToRead, since, err) },
		Attempts: o.Config.Attempts, Reuse: o.Config.Reuse == "identical", Drain: o.Config.Drain,
		Room: memory.NewBudget(int64(o.Config.Memory))})
	publisher := results.NewPublisher(results.PublisherOptions{Store: o.Store, Open: place, Log: o.Log, PartBytes: o.PartBytes,
		Worker: e.worker, Shelf: shelf})
	e.life = lifecycle.New(lifecycle.Options{Store: o.Store, Dispatch: e.dispatch, Publisher: publisher, Shelf: e.writer, Place: o.Place,
		Limits: o.Config.Limits.Rules(), Worker: e.worker, Log: o.Log, FirstPartial: o.FirstPartial, PartialEvery: o.PartialEvery,
		Patience: patienceOf(o.Config.Limits.Hour)})
	return e, nil
}

// patienceOf is for how long access that is denied is tried again before a job fails: ten minutes of the hour in which timeouts are counted.
// A setting that shortens a job's hours shortens it alike.
func patienceOf(hour time.Duration) time.Duration { return hour / 6 }

// serving finds where a job's records go.
func (e *engine) serving(j batholith.Job) (dispatch.Serving, error) {
	s, ok := e.catalog.Serving(j.ModelID)
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

// Recover commits what an earlier process finished and did not commit, and makes its chunks claimable. It comes before Run. A job whose
// outcomes cannot be committed yet keeps its chunks until it is opened: once released, they would be asked again. It waits for a
// database that does not answer.
func (e *engine) Recover(ctx context.Context) error {
	if err := e.writer.Recover(ctx); err != nil {
		return fmt.Errorf("take up the journal: %w", err)
	}
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) { // releasing twice is harmless
		err := e.dispatch.HandBack(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		e.log.Warn("release the chunks of the last run", "err", err, "again_in", delay)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Run works until ctx ends, and returns when everything that was finished is committed. The order of the end is that of the records:
// nothing new, nothing in flight, nothing uncommitted; the models last.
func (e *engine) Run(ctx context.Context) error {
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWriting()
	var after, before errgroup.Group
	after.Go(func() error { return unlessCancelled(e.writer.Run(writing)) })
	after.Go(func() error { return unlessCancelled(e.models.Run(writing)) })
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

// workerID is the name under which this data directory's process claims chunks: made once, since the journal beside it is its own.
func workerID(dir string) (string, error) {
	path := filepath.Join(dir, "worker")
	if b, err := files.ReadFile(path); err == nil && len(strings.TrimSpace(string(b))) > 0 {
		return strings.TrimSpace(string(b)), nil
	}
	id := "w-" + strings.ToLower(rand.Text())[:10]
	if err := config.WriteFile(path, []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("name the worker: %w", err)
	}
	return id, nil
}
