package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/catalog"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/object/objecttest"
	"github.com/batholith/batholith/internal/simlm"
	"github.com/batholith/batholith/internal/store"
	"github.com/batholith/batholith/internal/upstream"
)

// A simulation is the whole engine in a bubble of virtual time: the real database and journal, a bucket in memory, the simulated
// model, all of them failing as one seed decides, and the process killed again and again.
type simulation struct {
	t      *testing.T
	r      *rand.Rand
	db     *store.Store
	bucket *objecttest.Memory
	dir    string
	model  *simlm.Server

	mu       sync.Mutex
	process  int // raised by a kill: what an earlier process asks has no effect any more
	trouble  float64
	requests int
}

// errKilled is what a process that was killed gets for everything it still asks: nobody hears it.
var errKilled = errors.New("this process was killed")

func (s *simulation) chance(p float64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.Float64() < p*s.trouble
}

// alive tells whether a process may still have an effect.
func (s *simulation) alive(process int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return process == s.process
}

// flaky is the database as one process sees it: refusing before, or failing after, the effect.
type flaky struct {
	*store.Store
	s       *simulation
	process int
}

func (f flaky) try(do func() error) error {
	switch {
	case !f.s.alive(f.process):
		return errKilled
	case f.s.chance(0.03):
		return errors.New("database is locked")
	}
	err := do()
	if err == nil && f.s.chance(0.03) {
		return errors.New("disk I/O error, after the commit")
	}
	return err
}

func (f flaky) Commit(ctx context.Context, c batholith.Commit) (counts batholith.Counts, err error) {
	err = f.try(func() error { counts, err = f.Store.Commit(ctx, c); return err })
	return counts, err
}

func (f flaky) Move(ctx context.Context, id string, from, to batholith.Status, message string, at time.Time) error {
	return f.try(func() error { return f.Store.Move(ctx, id, from, to, message, at) })
}

func (f flaky) Claim(ctx context.Context, worker, job string, n int, now time.Time) (chunks []batholith.Chunk, err error) {
	err = f.try(func() error { chunks, err = f.Store.Claim(ctx, worker, job, n, now); return err })
	if err != nil {
		return nil, err
	}
	return chunks, nil
}

func (f flaky) Release(ctx context.Context, worker, job string) error {
	return f.try(func() error { return f.Store.Release(ctx, worker, job) })
}

func (f flaky) Plan(ctx context.Context, id string, files []batholith.File, chunks []batholith.Chunk, total int64) error {
	return f.try(func() error { return f.Store.Plan(ctx, id, files, chunks, total) })
}

func (f flaky) ReplaceSegments(ctx context.Context, id string, old []string, run batholith.Segment) error {
	return f.try(func() error { return f.Store.ReplaceSegments(ctx, id, old, run) })
}

func (f flaky) Seal(ctx context.Context, id string) error {
	return f.try(func() error { return f.Store.Seal(ctx, id) })
}

func (f flaky) Forget(ctx context.Context, id string) error {
	return f.try(func() error { return f.Store.Forget(ctx, id) })
}

// fault is the bucket's: what a killed process asks has no effect; otherwise some calls fail, before or after the effect.
func (s *simulation) fault(string, string) (bool, error) {
	if s.chance(0.04) {
		return s.chance(0.5), errors.New("503 SlowDown")
	}
	return true, nil
}

// start runs a process; the returned function kills it: what it has in flight is gone, its journal is what the disk has at that moment.
func (s *simulation) start() (kill func()) {
	s.mu.Lock()
	process := s.process
	s.mu.Unlock()
	dir := filepath.Join(s.dir, fmt.Sprint(process))
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	e := s.engine(process, dir)
	go func() {
		if err := e.Recover(ctx); err != nil && ctx.Err() == nil {
			done <- err
			return
		}
		done <- e.Run(ctx)
	}()
	return func() {
		s.mu.Lock()
		s.process++
		next := filepath.Join(s.dir, fmt.Sprint(s.process))
		s.mu.Unlock()
		if err := os.CopyFS(next, os.DirFS(dir)); err != nil {
			s.t.Fatal(err)
		}
		cancel()
		if err := <-done; err != nil && !strings.Contains(err.Error(), errKilled.Error()) {
			s.t.Errorf("process %d: %v", process, err)
		}
	}
}

func (s *simulation) engine(process int, dir string) *engine {
	s.t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.alive(process) {
			panic(http.ErrAbortHandler)
		}
		s.mu.Lock()
		s.requests++
		s.mu.Unlock()
		s.model.ServeHTTP(w, r)
	})
	backend, err := upstream.New(upstream.Options{URL: "http://model/v1", Model: simlm.Model, MaxInFlight: 16, Transport: upstream.InProcess(handler)})
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := catalog.New([]catalog.Entry{{Model: batholith.Model{ID: "m", Family: "openai"}, Backends: []catalog.Backend{backend}}}, catalog.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	settings := config.Default(config.ProfileDefault)
	settings.Drain = time.Second
	e, err := newEngine(engineOptions{Config: settings, Log: slog.New(slog.DiscardHandler), Store: flaky{s.db, s, process}, Models: &models{catalog: c}, Dir: dir,
		Place: func(_ context.Context, j batholith.Job) (blob.Place, error) {
			b := fenced{s.bucket, s, process}
			return blob.Place{Input: b, Output: b, InputKey: "in.jsonl", Prefix: "out/" + j.ID + "/"}, nil
		}})
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

// fenced is the bucket as one process sees it.
type fenced struct {
	*objecttest.Memory
	s       *simulation
	process int
}

func (f fenced) Put(ctx context.Context, key string, body []byte) error {
	if !f.s.alive(f.process) {
		return errKilled
	}
	return f.Memory.Put(ctx, key, body)
}

func (f fenced) Delete(ctx context.Context, keys ...string) error {
	if !f.s.alive(f.process) {
		return errKilled
	}
	return f.Memory.Delete(ctx, keys...)
}

func (f fenced) CompleteUpload(ctx context.Context, key, id string, etags []string) error {
	if !f.s.alive(f.process) {
		return errKilled
	}
	return f.Memory.CompleteUpload(ctx, key, id, etags)
}

func (s *simulation) job(id string) batholith.Job {
	s.t.Helper()
	j, err := s.db.Find(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return j
}

// check holds the laws of a job that ended.
func (s *simulation) check(id string, records int, want batholith.Status) {
	s.t.Helper()
	j := s.job(id)
	if j.Status != want {
		s.t.Fatalf("the job is %s, want %s: %s", j.Status, want, j.Message)
	}
	out, ok := s.bucket.Object("out/" + id + "/in.jsonl.out")
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(out) == 0 {
		lines = nil
	}
	if !ok || int64(len(lines)) != j.Counts.Processed || j.Counts.Processed != j.Counts.Succeeded+j.Counts.Errored {
		s.t.Fatalf("%d lines, counters %+v", len(lines), j.Counts)
	}
	if want == batholith.StatusCompleted && len(lines) != records {
		s.t.Fatalf("%d lines of %d records", len(lines), records)
	}
	last := -1
	for _, line := range lines {
		var n int
		if _, err := fmt.Sscanf(line, `{"recordId":"r%d","modelInput":`, &n); err != nil || n <= last {
			s.t.Fatalf("line %q comes after record %d", line, last)
		}
		last = n
	}
	if _, ok := s.bucket.Object("out/" + id + "/" + batholith.ManifestName); !ok {
		s.t.Error("there is no manifest")
	}
	for _, key := range s.bucket.Keys() {
		if strings.Contains(key, ".batholith/") {
			s.t.Errorf("left over: %s", key)
		}
	}
	if open := s.bucket.OpenUploads(); len(open) > 0 {
		s.t.Errorf("open uploads: %v", open)
	}
}

// simulate runs one job of so many records through so many kills. Then the trouble ends, and so must the job.
func simulate(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		const records, kills = 700, 4
		dir := memoryDir(t)
		db, err := store.Open(t.Context(), filepath.Join(dir, "db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		r := rand.New(rand.NewPCG(seed, 1))
		s := &simulation{t: t, r: r, db: db, bucket: objecttest.NewMemory(), dir: dir, trouble: 1,
			model: simlm.New(simlm.Options{Latency: 300 * time.Millisecond, Seed: seed,
				Failures: simlm.Failures{RateLimit: .02, Internal: .03, Unavailable: .01, BadRequest: .02, Reset: .02, Nonsense: .01, Times: 2}})}
		var input strings.Builder
		for i := range records {
			fmt.Fprintf(&input, `{"recordId":"r%d","modelInput":{"messages":[{"role":"user","content":"p%d"}]}}`+"\n", i, i)
		}
		if err := s.bucket.Put(t.Context(), "in.jsonl", []byte(input.String())); err != nil {
			t.Fatal(err)
		}
		s.bucket.Fault = s.fault
		const id = "abcdefghij01"
		now := time.Now()
		if _, err := db.CreateJob(t.Context(), batholith.Job{ID: id, Account: "000000000000", Region: "us-east-1", Submitted: now, Expires: now.Add(24 * time.Hour),
			Request: batholith.Request{Name: "sim", ModelID: "m", RoleARN: "r", Type: batholith.InvokeModel}}, "h", 0); err != nil {
			t.Fatal(err)
		}
		for range kills {
			kill := s.start()
			time.Sleep(time.Duration(r.IntN(6000)) * time.Millisecond)
			kill()
		}
		s.mu.Lock()
		s.trouble = 0
		s.mu.Unlock()
		kill := s.start()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		kill()
		s.check(id, records, batholith.StatusCompleted)
		if most := records*3 + kills*16*3; s.requests > most {
			t.Errorf("%d requests, want at most %d", s.requests, most)
		}
	})
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

// seeds is how many simulations a test run makes; BATHOLITH_SEEDS asks for more.
func seeds(t *testing.T) int {
	n := 20
	if text := os.Getenv("BATHOLITH_SEEDS"); text != "" {
		if _, err := fmt.Sscan(text, &n); err != nil {
			t.Fatalf("BATHOLITH_SEEDS=%s: %v", text, err)
		}
	}
	return n
}

func TestAJobThroughKillsAndFaultsEndsWithEveryRecordOnce(t *testing.T) {
	for seed := range seeds(t) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { simulate(t, uint64(seed)) })
	}
}
