package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/engine"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/lifecycle"
	"github.com/batholith/batholith/internal/store"
	"github.com/batholith/batholith/internal/words"
)

// localOptions are the parameters of one local job. Its functions are called one at a time, in the order of the
// events, and must not block: the job's display waits for them.
type localOptions struct {
	Config *config.Config
	Inputs []string // files and folders
	Model  string
	Type   batholith.InvocationType
	Output string // directory; the job's files go to Output/<job id>/
	Table  string // what the records were made of, for messages; "": they are the inputs
	Log    *slog.Logger
	// Resuming is told the job when an earlier run had begun it, with what that run finished; it may be nil.
	Resuming func(batholith.Job)
	// Superseding is told the job of an earlier run that is not gone on with, and which of its files has changed since; it may be nil.
	Superseding func(job batholith.Job, path string)
	// Flying, when it is not nil, is told how many requests are in flight before each call about progress.
	Flying func(requests int)
}

// localResult describes a local job that has ended, with the paths of its files.
type localResult struct {
	Job      batholith.Job
	Dir      string   // Output/<job id>
	Outputs  []string // paths of the .out files
	Errors   []string // paths of the .err files, of a job in OpenAI's lines
	Manifest string   // path of manifest.json.out
	Invalid  string   // path of the list of lines that are no records; "" when all are
	Resumed  bool     // an earlier run had begun the job
	Taken    int64    // answers that were taken from earlier runs
}

// state is the folder below the output directory in which run keeps its database, journal and lock. With it, an
// interrupted job can be continued.
const state = batholith.InternalFolder

// localURI begins the URIs that stand for local files inside a job. Messages for people replace it by the file's
// path.
const localURI = "s3://input/"

// runLocal runs one job over local files to its end, with the service's engine but without its API and S3.
// onProgress is called at each change and every 200 ms. If an earlier run over the same inputs was interrupted,
// its job is continued and its answered records are not sent again.
//
// After a crash at any point, the same call continues the job. Two runs in one output directory at the same time
// are refused. When ctx ends, records in flight are finished for up to the settings' drain time, and the error is
// the cause of ctx.
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
		if l.ends.ID != "" {
			l.endEarlier(ctx, data.Dir)
		}
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

// local is one run. It is used by one goroutine at a time.
type local struct {
	o        localOptions
	store    *store.Store
	output   *files.Output
	inputs   []localFile
	ends     batholith.Job // an earlier run's job whose input has changed, and whose answers the new one takes; no ID: none
	progress func(batholith.Job)
}

// create returns the unfinished job of an earlier run over the same inputs, or a new job. The idempotency token
// decides which:
//
//	token = fingerprint(model, type, path, size and time of each file) + n
//
// n starts at 0 and is increased while the job with that token has ended, so a finished job is not returned again.
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
	// CreateJob returns the existing job if the token is known, otherwise it stores the new one. A crash after it
	// leaves a job without a note of its inputs, which the next run continues all the same.
	for n := 0; ; n++ {
		now := time.Now()
		id := strings.ToLower(rand.Text())[:batholith.JobIDLength]
		job, err = l.store.CreateJob(ctx, batholith.Job{ID: id, Account: l.o.Config.Account, Region: l.o.Config.Region, Owner: "local",
			Status: batholith.StatusSubmitted, Submitted: now, Modified: now, Expires: now.Add(l.o.Config.Limits.Rules().Timeout(0)),
			Request: batholith.Request{Name: "run-" + id, ModelID: l.o.Model, RoleARN: l.o.Config.DefaultRole(), Type: l.o.Type,
				Token: fmt.Sprintf("%s%d", same, n), Input: batholith.Location{URI: uri}, Output: batholith.Location{URI: "s3://output/"}, InputLines: l.lines(), OutputLines: l.lines()}},
			same, 0)
		switch {
		case err != nil:
			return job, false, err
		case job.ID != id && !job.Status.Terminal():
			return job, true, nil
		case job.ID == id:
			before, path := l.superseded(with, unfinished)
			if path != "" && l.o.Superseding != nil {
				l.o.Superseding(before, path)
			}
			if path != "" && l.o.Config.Reuse == reuseFinished {
				l.ends = before
			}
			return job, false, l.keep(id, with)
		}
	}
}

// lines is the form of the job's lines, in and out.
func (l *local) lines() batholith.Lines {
	if l.o.Type.Endpoint() != "" {
		return batholith.LinesOpenAI
	}
	return batholith.LinesBedrock
}

// only limits the engine to one job of the database. Jobs that other runs left unfinished have other inputs, and
// wait for a run over these.
type only struct {
	*store.Store
	id string
}

// Unfinished returns the one job until it has ended, then nothing.
func (o only) Unfinished(ctx context.Context) ([]batholith.Job, error) {
	jobs, err := o.Store.Unfinished(ctx)
	return slices.DeleteFunc(jobs, func(j batholith.Job) bool { return j.ID != o.id }), err
}

// run starts the engine on the job's database and returns the job when it has ended. It calls opened when the
// database and the journal exist in dir. Once the engine runs, it waits for the engine's end before it returns.
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
	o.Sample, o.Caps = nil, nil // nobody could resume the job
	if _, ok := o.Models.Lookup(job.ModelID); !ok {
		return job, unknownModel(job.ModelID, o.Models.Models())
	}
	o.Models.Only(job.ModelID)
	o.Worker, o.Log, o.Store, o.Dir = true, l.o.Log, only{l.store, job.ID}, dir
	o.Place = func(_ context.Context, j batholith.Job) (blob.Place, error) {
		return blob.Place{Input: input, Output: l.output, InputKey: strings.TrimPrefix(j.Input.URI, localURI), Prefix: j.ID + "/"}, nil
	}
	e, err := engine.New(o)
	if err != nil {
		return job, err
	}
	// Recover reads the journal: records that an earlier run finished are not sent again.
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
	// The engine ends with ctx, or when watch has seen the end of the job.
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

// unknownModel returns the error for a model that is not served here. Its remedy lists the served models, the most
// similar names first.
func unknownModel(id string, models []batholith.Model) error {
	var ids []string
	for _, m := range models {
		ids = append(ids, m.ID)
	}
	return hint(fmt.Errorf("model %q is not served here", id), "served are: %s; another is added under models in the settings (./batholith.yaml, or the file of --config)", words.Nearest(id, ids))
}

// tick is the time between two calls of the progress function while nothing changes.
const tick = 200 * time.Millisecond

// watch calls the progress function until the job has ended, ctx ends, or the engine stops before the job does.
// done receives the engine's result once; watch puts a nil back so that run can receive too.
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

// outputs sets the paths of the files that the job wrote, as they lie on the disk.
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
		case strings.HasSuffix(o.Key, inputSuffix+batholith.ErrorSuffix):
			res.Errors = append(res.Errors, path)
		}
	}
	slices.Sort(res.Outputs)
	slices.Sort(res.Errors)
	res.Taken = takenIn(res.Manifest)
	return nil
}

// takenIn is the number of answers of earlier jobs that a manifest counts; 0: it cannot be read.
func takenIn(path string) (n int64) {
	var m batholith.Manifest
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &m) != nil {
		return 0
	}
	for _, from := range m.Batholith.ReusedFrom {
		n += from.Records
	}
	return n
}

// reuseFinished is the value of the setting reuse with which jobs take answers of earlier jobs.
const reuseFinished = "finished"

// endEarlier stops the job of an earlier run whose input has changed, so that its finished answers are in its output, where the new job
// finds them. If that fails, the new job asks for them.
func (l *local) endEarlier(ctx context.Context, dir string) {
	err := lifecycle.Stopper{Store: l.store}.Stop(ctx, l.ends.Account, l.ends.ID)
	if err == nil {
		told := l.progress
		l.progress = func(batholith.Job) {}
		_, err = l.run(ctx, l.ends, false, dir, func() {})
		l.progress = told
	}
	if err == nil {
		err = l.forget(l.ends.ID)
	}
	if err != nil && ctx.Err() == nil {
		l.o.Log.Warn("the answers of the earlier run are not used", "job", l.ends.ID, "err", err)
	}
}
