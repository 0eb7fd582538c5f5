package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/engine"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/store"
	"github.com/batholith/batholith/internal/words"
)

// localOptions are what the command run hands over.
type localOptions struct {
	Config *config.Config
	Inputs []string // files and folders
	Model  string
	Type   batholith.InvocationType
	Output string // directory; the job's files go to Output/<job id>/
	Log    *slog.Logger
	// Resuming is told the job when an earlier run had begun it, with what that run finished; it may be nil.
	Resuming func(batholith.Job)
	// Superseding is told the job of an earlier run that is not gone on with, and which of its files has changed since; it may be nil.
	Superseding func(job batholith.Job, path string)
	// Flying, when it is not nil, is told how many requests are in flight before each call about progress.
	Flying func(requests int)
}

// localResult is what became of the job.
type localResult struct {
	Job      batholith.Job
	Dir      string   // Output/<job id>
	Outputs  []string // paths of the .out files
	Manifest string   // path of manifest.json.out
	Invalid  string   // path of the list of lines that are no records; "" when all are
	Resumed  bool     // an earlier run had begun the job
}

// state is where run keeps what it needs to go on after a kill, below the output directory.
const state = batholith.InternalFolder

// localURI is what local files are called inside of a job.
const localURI = "s3://input/"

// runLocal runs one job over local files: the same engine as the service, without API and S3. Run again over the same inputs, it goes
// on with a job that is not over.
func runLocal(ctx context.Context, o localOptions, onProgress func(batholith.Job)) (res localResult, err error) {
	data, err := config.OpenData(filepath.Join(o.Output, state))
	var inUse *config.InUseError
	if errors.As(err, &inUse) {
		return res, hint(err, "another run writes there: wait for it, or give this one a folder of its own with --output DIR")
	} else if err != nil {
		return res, startedFull(filepath.Join(o.Output, state), err)
	}
	defer data.Close()
	disk := newFullDisk(data.Dir, o.Log)
	defer disk.watch(ctx)()
	o.Log = disk.handle()
	db, err := store.Open(ctx, filepath.Join(data.Dir, databaseName), config.Traces(data.Dir))
	if err != nil {
		return res, startedFull(data.Dir, err)
	}
	defer db.Close()
	l := &local{o: o, store: db, progress: onProgress}
	if l.output, err = files.NewOutput(o.Output); err != nil {
		return res, err
	}
	defer l.output.Close()
	job, resumed, err := l.create(ctx)
	if err != nil {
		return res, startedFull(data.Dir, err)
	}
	err = guarded(ctx, data, []string{databaseName, journalName}, func(ctx context.Context, opened func()) error {
		ended, err := l.run(ctx, job, resumed, data.Dir, opened)
		if err == nil {
			job = ended
		}
		return err
	})
	if err != nil {
		return res, err
	}
	if job.Status.Terminal() {
		if err := l.forget(job.ID); err != nil {
			return res, err
		}
	}
	res = localResult{Job: job, Dir: filepath.Join(o.Output, job.ID), Resumed: resumed}
	return res, l.outputs(&res)
}

// local is one run.
type local struct {
	o        localOptions
	store    *store.Store
	output   *files.Output
	inputs   []localFile
	progress func(batholith.Job)
}

// create finds the job of an earlier run over the same inputs that is not over, or makes a new one. The token says what is the same:
// each file's path, size and time, the model and the type; the number behind it goes on when a job with it is over.
func (l *local) create(ctx context.Context) (job batholith.Job, resumed bool, err error) {
	if l.inputs, err = gather(l.o.Inputs); err != nil {
		return job, false, err
	}
	with, err := l.lookAt()
	if err != nil {
		return job, false, err
	}
	unfinished, err := l.store.Unfinished(ctx)
	if err != nil {
		return job, false, err
	}
	same := with.fingerprint()
	uri := localURI
	if len(l.inputs) == 1 {
		uri += l.inputs[0].key
	}
	for n := 0; ; n++ {
		now := time.Now()
		id := strings.ToLower(rand.Text())[:batholith.JobIDLength]
		job, err = l.store.CreateJob(ctx, batholith.Job{ID: id, Account: l.o.Config.Account, Region: l.o.Config.Region, Owner: "local",
			Status: batholith.StatusSubmitted, Submitted: now, Modified: now, Expires: now.Add(l.o.Config.Limits.Rules().Timeout(0)),
			Request: batholith.Request{Name: "run-" + id, ModelID: l.o.Model, RoleARN: l.o.Config.DefaultRole(), Type: l.o.Type,
				Token: fmt.Sprintf("%s%d", same, n), Input: batholith.Location{URI: uri}, Output: batholith.Location{URI: "s3://output/"}}},
			same, 0)
		switch {
		case err != nil:
			return job, false, err
		case job.ID != id && !job.Status.Terminal():
			return job, true, nil
		case job.ID == id:
			if before, path := l.superseded(with, unfinished); path != "" && l.o.Superseding != nil {
				l.o.Superseding(before, path)
			}
			return job, false, l.keep(id, with)
		}
	}
}

// only is the database of which the engine drives one job: those that other runs have left have other inputs, and wait for a run over these.
type only struct {
	*store.Store
	id string
}

// Unfinished is the job, while it is not over.
func (o only) Unfinished(ctx context.Context) ([]batholith.Job, error) {
	jobs, err := o.Store.Unfinished(ctx)
	return slices.DeleteFunc(jobs, func(j batholith.Job) bool { return j.ID != o.id }), err
}

// run drives the job to its end. It calls opened when all that it keeps in dir is there.
func (l *local) run(ctx context.Context, job batholith.Job, resumed bool, dir string, opened func()) (batholith.Job, error) {
	paths := map[string]string{}
	for _, f := range l.inputs {
		paths[f.key] = f.path
	}
	input := files.NewInput(paths)
	o, err := engineOptions(l.o.Config)
	if err != nil {
		return job, err
	}
	if _, ok := o.Models.Lookup(job.ModelID); !ok {
		return job, unknownModel(job.ModelID, o.Models.Models())
	}
	o.Worker, o.Log, o.Store, o.Dir = true, l.o.Log, only{l.store, job.ID}, dir
	o.Place = func(_ context.Context, j batholith.Job) (blob.Place, error) {
		return blob.Place{Input: input, Output: l.output, InputKey: strings.TrimPrefix(j.Input.URI, localURI), Prefix: j.ID + "/"}, nil
	}
	e, err := engine.New(o)
	if err != nil {
		return job, err
	}
	if err := e.Recover(ctx); err != nil {
		return job, err
	}
	if resumed && l.o.Resuming != nil {
		if job, err = l.store.Find(ctx, job.ID); err != nil { // with what was in the journal
			return job, err
		}
		l.o.Resuming(job)
	}
	opened()
	running, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- e.Run(running) }()
	if told := l.progress; l.o.Flying != nil {
		l.progress = func(j batholith.Job) { l.o.Flying(e.InFlight()); told(j) }
	}
	job, err = l.watch(ctx, job, done)
	stop()
	return job, errors.Join(err, <-done)
}

// unknownModel names the models that there are, those that are spelled most like id first.
func unknownModel(id string, models []batholith.Model) error {
	var ids []string
	for _, m := range models {
		ids = append(ids, m.ID)
	}
	return hint(fmt.Errorf("model %q is not served here", id), "served are: %s; another is added under models in the file given by --config", words.Nearest(id, ids))
}

// tick is how often progress is told between changes of the status.
const tick = 200 * time.Millisecond

// watch tells the job's progress until it is over or ctx ends.
func (l *local) watch(ctx context.Context, job batholith.Job, done chan error) (batholith.Job, error) {
	changes, cancel := l.store.Subscribe()
	defer cancel()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		j, err := l.store.Find(ctx, job.ID)
		if err != nil {
			return job, err
		}
		job = j
		l.progress(job)
		if job.Status.Terminal() {
			return job, nil
		}
		select {
		case <-ctx.Done():
			return job, context.Cause(ctx)
		case err := <-done:
			done <- nil
			return job, errors.Join(errors.New("the engine ended before the job"), err)
		case <-changes:
		case <-ticker.C:
		}
	}
}

// outputs lists what the job wrote.
func (l *local) outputs(res *localResult) error {
	for o, err := range l.output.List(context.Background(), res.Job.ID+"/") {
		if err != nil {
			return err
		}
		path := filepath.Join(l.o.Output, filepath.FromSlash(o.Key))
		switch {
		case o.Key == res.Job.ID+"/"+batholith.ManifestName:
			res.Manifest = path
		case o.Key == res.Job.ID+"/"+batholith.ValidationName:
			res.Invalid = path
		case strings.HasSuffix(o.Key, ".jsonl.out"):
			res.Outputs = append(res.Outputs, path)
		}
	}
	slices.Sort(res.Outputs)
	return nil
}
