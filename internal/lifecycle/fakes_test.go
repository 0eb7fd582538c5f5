package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object/objecttest"
	"github.com/batholith/batholith/internal/store"
)

const account = "000000000000"

// world is a Lifecycle over a real store, with buckets in memory, a dispatcher that a test plays and a publisher that counts.
type world struct {
	lasts  time.Duration // how long jobs of create may last; 0: 24 hours
	t      *testing.T
	path   string // of the database
	worker string // id; "": w
	store  database
	bucket *objecttest.Memory
	limits batholith.Limits
	look   time.Duration // Options.Look; a test that passes days need not look every five seconds of them
	life   *Lifecycle
	shelf  Shelf // nil: none

	options func(*Options) // changes those of the next start; nil: they stay

	mu        sync.Mutex
	enqueued  map[string]batholith.Job
	rested    map[string]int
	lands     chan struct{} // when set, a job rests as soon as it can be received from
	halted    map[string]error
	published map[string][]batholith.Status // of final publications
	partial   map[string]int
	cleaned   map[string]int
	pending   []byte              // manifest that final publications leave to the caller; nil: none
	announced map[string][]string // manifests that were written
	// failing is called at the named moments: "halt", "publish", "clean"; an error is the step's.
	failing func(name string) error
	noRole  bool
	commits int
	first   *batholith.RecordError
}

// database is the store, in which a worker may seal a job and be gone before it publishes.
type database struct{ *store.Store }

func (d database) Seal(ctx context.Context, id string) error { return d.SealFailing(ctx, id, "") }

func (d database) SealFailing(ctx context.Context, id, why string) error {
	_, err := d.SealToPublish(ctx, id, why, "w")
	return err
}

// memoryDir is a folder whose syncs cost nothing, where there is one: nothing here depends on a disk.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "batholith-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newWorld(t *testing.T) *world {
	path := filepath.Join(memoryDir(t), "db")
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w := &world{t: t, path: path, store: database{s}, bucket: objecttest.NewNamedMemory("in"), limits: batholith.DefaultLimits()}
	w.forget()
	return w
}

// forget is what a new process knows.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rested = map[string]int{}
	w.enqueued, w.halted = map[string]batholith.Job{}, map[string]error{}
	w.published, w.partial, w.cleaned = map[string][]batholith.Status{}, map[string]int{}, map[string]int{}
	w.announced = map[string][]string{}
}

// start runs a Lifecycle; the returned function ends it and waits.
func (w *world) start() (stop func()) {
	o := Options{Store: w.store, Dispatch: w, Publisher: w, Shelf: w.shelf, Worker: cmp.Or(w.worker, "w"), Limits: w.limits, Look: w.look,
		Place: func(_ context.Context, j batholith.Job) (blob.Place, error) {
			if w.noRole {
				return blob.Place{}, fmt.Errorf("no such role: %w", batholith.ErrAccessDenied)
			}
			_, key, _ := strings.Cut(strings.TrimPrefix(j.Input.URI, "s3://"), "/")
			return blob.Place{Input: w.bucket, Output: w.bucket, InputKey: key, Prefix: "out/" + j.ID + "/"}, nil
		}}
	if w.options != nil {
		w.options(&o)
	}
	w.life = New(o)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	life := w.life
	go func() { defer close(done); life.Run(ctx) }()
	return func() { cancel(); <-done }
}

// sending runs a job up to the point at which its records are sent.
func (w *world) sending() (stop func()) {
	w.t.Helper()
	w.put("a.jsonl", records(10))
	w.create(id, "a.jsonl")
	stop = w.start()
	w.reach(batholith.StatusInProgress)
	return stop
}

// endsWithout runs a job to its last outcome while a step fails that its end needs, and then has the step work again.
func (w *world) endsWithout(step string) (stop func()) {
	w.t.Helper()
	stop = w.sending()
	w.at(func(name string) error {
		if name == step {
			return errors.New("503")
		}
		return nil
	})
	w.commit(id, 5, 0) // this worker's lease lasts an hour
	synctest.Wait()
	w.at(nil)
	return stop
}

// at has f decide what fails from now on; nil: nothing does.
func (w *world) at(f func(name string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failing = f
}

func (w *world) step(name string) error {
	w.mu.Lock()
	f := w.failing
	w.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(name)
}

func (w *world) Enqueue(j batholith.Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enqueued[j.ID] = j
}

func (w *world) Rest(ctx context.Context, job string) error {
	w.mu.Lock()
	delete(w.enqueued, job)
	lands := w.lands
	w.mu.Unlock()
	if lands != nil {
		select {
		case <-lands:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rested[job]++
	return w.store.Release(ctx, cmp.Or(w.worker, "w"), job)
}

func (w *world) Halt(_ context.Context, job string, cause error) error {
	w.mu.Lock()
	w.halted[job] = cause
	w.mu.Unlock()
	return w.step("halt")
}

func (w *world) FirstError(string) *batholith.RecordError { return w.first }

func (w *world) Salvage(_ context.Context, j batholith.Job, _ int64) error {
	if err := w.step("salvage"); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.partial[j.ID]++
	return nil
}

func (w *world) Publish(ctx context.Context, j batholith.Job, _ int64, final bool) (batholith.Manifest, error) {
	if err := w.step("publish"); err != nil {
		return batholith.Manifest{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if final {
		w.published[j.ID] = append(w.published[j.ID], j.Status)
	} else {
		w.partial[j.ID]++
	}
	return batholith.Manifest{Pending: w.pending}, ctx.Err()
}

// Announce has nothing to do: what Publish returns has no manifest that is pending, unless a test says so.
func (w *world) Announce(_ context.Context, j batholith.Job, manifest []byte) error {
	if err := w.step("announce"); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.announced[j.ID] = append(w.announced[j.ID], string(manifest))
	return nil
}

func (w *world) Books(ctx context.Context, j batholith.Job) (batholith.Books, error) {
	segs, err := w.store.Segments(ctx, j.ID)
	b := batholith.Books{Segments: segs}
	for _, s := range segs {
		b.Before = append(b.Before, s.Key)
	}
	return b, err
}

func (w *world) Erase(_ context.Context, j batholith.Job) error {
	return w.step("erase")
}

func (w *world) Clean(_ context.Context, j batholith.Job) error {
	w.mu.Lock()
	w.cleaned[j.ID]++
	w.mu.Unlock()
	return w.step("clean")
}

func (w *world) put(key, body string) {
	w.t.Helper()
	if err := w.bucket.Put(w.t.Context(), key, []byte(body)); err != nil {
		w.t.Fatal(err)
	}
}

// create makes a job over the input at this key.
func (w *world) create(id, key string, change ...func(*batholith.Job)) batholith.Job {
	w.t.Helper()
	now := time.Now()
	job := batholith.Job{ID: id, Account: account, Region: "us-east-1", Status: batholith.StatusSubmitted,
		Submitted: now, Modified: now, Expires: now.Add(cmp.Or(w.lasts, 24*time.Hour)),
		Request: batholith.Request{Name: "n" + id, ModelID: "m", RoleARN: "arn:aws:iam::" + account + ":role/r",
			Input: batholith.Location{URI: "s3://in/" + key}, Output: batholith.Location{URI: "s3://in/out"}}}
	for _, f := range change {
		f(&job)
	}
	j, err := w.store.CreateJob(w.t.Context(), job, id, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

func (w *world) job(id string) batholith.Job {
	w.t.Helper()
	j, err := w.store.Job(w.t.Context(), account, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

// commit finishes n records of a job in the store, as a segment would, and tells the lifecycle.
func (w *world) commit(id string, n int, errored int64) {
	w.t.Helper()
	w.life.Committed(id, w.commitOf(id, n, errored)())
}

// commitLater claims the chunks of n records, and returns the function that finishes them.
func (w *world) commitLater(id string, n int) func() batholith.Counts {
	w.t.Helper()
	return w.commitOf(id, n, 0)
}

// commitOf claims chunks, and returns the function that finishes n of their records.
func (w *world) commitOf(id string, n int, errored int64) func() batholith.Counts {
	w.t.Helper()
	ctx := w.t.Context()
	if err := w.store.Heartbeat(ctx, "w", time.Now().Add(time.Hour)); err != nil {
		w.t.Fatal(err)
	}
	chunks, err := w.store.Claim(ctx, "w", id, 1000, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	c := batholith.Commit{Worker: "w", Segment: batholith.Segment{Job: id, Key: fmt.Sprint("seg-", w.worker, w.commits), Records: int64(n)}}
	w.commits++
	left := n
	for _, chunk := range chunks {
		part := batholith.CommitPart{Chunk: chunk.N, Epoch: chunk.Epoch, Done: batholith.NewBits(chunk.Count)}
		for i := 0; i < chunk.Count && left > 0; i++ {
			if !chunk.Done.Has(i) {
				part.Done.Set(i)
				left--
			}
		}
		c.Parts = append(c.Parts, part)
	}
	c.Counts = batholith.Counts{Processed: int64(n), Succeeded: int64(n) - errored, Errored: errored}
	return func() batholith.Counts {
		w.t.Helper()
		counts, err := w.store.Commit(ctx, c)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := w.store.Release(ctx, "w", id); err != nil {
			w.t.Fatal(err)
		}
		return counts
	}
}

// statuses are those that the job has had, in order.
func (w *world) statuses(id string) string {
	w.t.Helper()
	changes, err := w.store.History(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, c := range changes {
		all = append(all, string(c.Status))
	}
	return strings.Join(all, " ")
}

// records are n good lines.
func records(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"recordId":"r%d","modelInput":{"n":%d}}`+"\n", i, i)
	}
	return b.String()
}

func (w *world) queued(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.enqueued[id]
	return ok
}

func (w *world) partials(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.partial[id]
}

func (w *world) finals(id string) []batholith.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.published[id])
}
