package results

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object/objecttest"
)

// world is a database and a bucket that outlive the processes of a test.
type world struct {
	bucket *objecttest.Memory
	width  int // of the merges of its processes; 0: as usual

	mu       sync.Mutex
	jobs     map[string]*jobRow
	uploads  map[batholith.Upload]bool
	accepted map[string]map[batholith.RecordKey]string // job → record → worker and epoch of the commit that counted it
}

// jobRow is one job of the fake database.
type jobRow struct {
	files    []batholith.File
	chunks   []batholith.Chunk
	segments map[string]batholith.Segment
	counts   batholith.Counts
	tokens   batholith.Tokens
	ledger   batholith.Ledger
	sealed   bool
	epoch    int64 // of its publication
	reading  bool  // a publisher reads the segments
}

func newWorld() *world {
	return &world{bucket: objecttest.NewMemory(), jobs: map[string]*jobRow{}, uploads: map[batholith.Upload]bool{},
		accepted: map[string]map[batholith.RecordKey]string{}}
}

// plan makes a job with files of these numbers of records, in chunks of size records.
func (w *world) plan(job string, size int, records ...int) {
	a := &jobRow{segments: map[string]batholith.Segment{}, epoch: 1}
	for f, n := range records {
		a.files = append(a.files, batholith.File{N: f, Key: fmt.Sprintf("in/%d.jsonl", f), ETag: "e", Records: int64(n),
			Output: fmt.Sprintf("%d.jsonl.out", f)})
		a.counts.Total += int64(n)
		for first := 0; first < n; first += size {
			count := min(size, n-first)
			a.chunks = append(a.chunks, batholith.Chunk{Job: job, N: len(a.chunks), File: f, First: int64(first), Count: count,
				State: batholith.ChunkPending, Done: batholith.NewBits(count)})
		}
	}
	w.jobs[job] = a
	w.accepted[job] = map[batholith.RecordKey]string{}
}

// lease gives a worker every chunk that is not done, whoever has it, and returns them.
func (w *world) lease(job, worker string) []batholith.Chunk {
	w.mu.Lock()
	defer w.mu.Unlock()
	var mine []batholith.Chunk
	for i := range w.jobs[job].chunks {
		c := &w.jobs[job].chunks[i]
		if c.State != batholith.ChunkDone {
			c.State, c.Owner, c.Epoch = batholith.ChunkLeased, worker, c.Epoch+1
			copied := *c
			copied.Done = slices.Clone(c.Done)
			mine = append(mine, copied)
		}
	}
	return mine
}

// job is what the control plane would say of a job.
func (w *world) job(id string, status batholith.Status) batholith.Job {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.jobs[id]
	return batholith.Job{ID: id, Account: "123456789012", Region: "us-east-1", Status: status, Counts: a.counts, Tokens: a.tokens,
		Request: batholith.Request{Input: batholith.Location{URI: "s3://memory/in/"}, Output: batholith.Location{URI: "s3://memory/out"}}}
}

func (w *world) Commit(_ context.Context, c batholith.Commit) (batholith.Counts, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.jobs[c.Segment.Job]
	if a == nil {
		return batholith.Counts{}, batholith.ErrNotFound
	}
	if _, known := a.segments[c.Segment.Key]; known {
		return a.counts, nil
	}
	if a.sealed {
		return batholith.Counts{}, batholith.ErrSealed
	}
	var stale []int
	records := int64(0)
	for _, p := range c.Parts {
		chunk := &a.chunks[p.Chunk]
		if chunk.State != batholith.ChunkLeased || chunk.Owner != c.Worker || chunk.Epoch != p.Epoch || chunk.Done.Overlaps(p.Done) {
			stale = append(stale, p.Chunk)
		}
		records += int64(p.Done.Len())
	}
	if stale != nil {
		return batholith.Counts{}, &batholith.StaleError{Chunks: stale}
	}
	if records != c.Counts.Processed || records != c.Segment.Records {
		return batholith.Counts{}, fmt.Errorf("%d records in parts, %d counted, %d in the segment", records, c.Counts.Processed, c.Segment.Records)
	}
	for _, p := range c.Parts {
		w.apply(&a.chunks[p.Chunk], p, c.Worker)
	}
	a.segments[c.Segment.Key] = c.Segment
	a.counts, a.tokens, a.ledger = a.counts.Add(c.Counts), a.tokens.Add(c.Tokens), a.ledger.Add(c.Ledger)
	return a.counts, nil
}

func (w *world) apply(chunk *batholith.Chunk, p batholith.CommitPart, worker string) {
	for i := range chunk.Count {
		if p.Done.Has(i) {
			chunk.Done.Set(i)
			w.accepted[chunk.Job][batholith.RecordKey{File: chunk.File, Record: chunk.First + int64(i)}] = fmt.Sprintf("%s/%d", worker, p.Epoch)
		}
	}
	if chunk.Done.Len() == chunk.Count {
		chunk.State = batholith.ChunkDone
	}
}

func (w *world) ChunksOf(_ context.Context, job string, numbers []int) ([]batholith.Chunk, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.jobs[job]
	if a == nil {
		return nil, nil
	}
	chunks := slices.DeleteFunc(slices.Clone(a.chunks), func(c batholith.Chunk) bool { return !slices.Contains(numbers, c.N) })
	for i := range chunks {
		chunks[i].Done = slices.Clone(chunks[i].Done)
	}
	return chunks, nil
}

func (w *world) Segments(_ context.Context, job string) ([]batholith.Segment, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	segs := slices.Collect(maps.Values(w.jobs[job].segments))
	slices.SortFunc(segs, func(a, b batholith.Segment) int { return compareText(a.Key, b.Key) })
	return segs, nil
}

func (w *world) ReplaceSegments(_ context.Context, job string, old []string, run batholith.Segment) (read bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	segments, read := w.jobs[job].segments, w.jobs[job].reading
	if _, known := segments[run.Key]; known {
		return read, nil
	}
	for _, key := range old {
		if _, ok := segments[key]; !ok {
			return read, fmt.Errorf("segment %s is gone", key)
		}
	}
	for _, key := range old {
		delete(segments, key)
	}
	segments[run.Key] = run
	return read, nil
}

func (w *world) PutUpload(_ context.Context, u batholith.Upload) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if u.Epoch != 0 && u.Epoch != w.jobs[u.Job].epoch {
		return batholith.ErrHeld
	}
	w.uploads[u] = true
	return nil
}

// claim begins another publication of a job.
func (w *world) claim(job string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jobs[job].epoch++
}

// rest says whether the publisher of a job has read what it wanted of its segments.
func (w *world) rest(job string, rests bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jobs[job].reading = !rests
}

func (w *world) Uploads(_ context.Context, job string) ([]batholith.Upload, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var us []batholith.Upload
	for u := range w.uploads {
		if u.Job == job {
			us = append(us, u)
		}
	}
	return us, nil
}

func (w *world) DeleteUpload(_ context.Context, u batholith.Upload) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.uploads, u)
	return nil
}

func (w *world) Files(_ context.Context, job string) ([]batholith.File, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.jobs[job].files, nil
}

func (w *world) Ledger(_ context.Context, job string) (batholith.Ledger, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.jobs[job].ledger, nil
}

func (w *world) open(_ context.Context, job string) (blob.Place, error) {
	return blob.Place{Input: w.bucket, Output: w.bucket, InputKey: "in/", Prefix: "out/" + job + "/"}, nil
}

var errDead = errors.New("the process is dead")

// process is what one process sees of the world. Every call passes step, which may fail it before or after it took effect, and
// may kill the process there: from then on nothing it does has an effect.
type process struct {
	*world
	dead    atomic.Bool
	killed  chan struct{} // closed when dead
	judging sync.Mutex    // one verdict after the other
	verdict func(op string) verdict
}

// verdict is what becomes of one call.
type verdict int

const (
	pass verdict = iota
	failBefore
	failAfter
	failLate // of a transaction: it is applied some seconds after its caller was told that it failed
	killBefore
	killAfter
	killLate // it takes effect long after its caller has died
)

// late is how much later that is.
const late = 10 * time.Second

func newProcess(w *world, v func(op string) verdict) *process {
	if v == nil {
		v = func(string) verdict { return pass }
	}
	return &process{world: w, killed: make(chan struct{}), verdict: v}
}

func (p *process) kill() {
	if p.dead.CompareAndSwap(false, true) {
		close(p.killed)
	}
}

func (p *process) step(op string, do func() error) error {
	if p.dead.Load() {
		return errDead
	}
	p.judging.Lock()
	v := p.verdict(op)
	p.judging.Unlock()
	if v == killBefore {
		p.kill()
	}
	if v == killBefore || v == failBefore {
		return fmt.Errorf("%s fails", op)
	}
	if v == killLate {
		p.kill()
		go func() {
			time.Sleep(late)
			do()
		}()
		return errDead
	}
	if v == failLate {
		go func() {
			time.Sleep(time.Duration(len(op)) * time.Second)
			do()
		}()
		return fmt.Errorf("%s fails for now", op)
	}
	err := do()
	if v == killAfter {
		p.kill()
	}
	if v == killAfter || v == failAfter {
		return fmt.Errorf("%s fails, yet it happened", op)
	}
	return err
}

func (p *process) Commit(ctx context.Context, c batholith.Commit) (n batholith.Counts, err error) {
	answer := make(chan batholith.Counts, 1)
	if err := p.step("Commit", func() error { n, err := p.world.Commit(ctx, c); answer <- n; return err }); err != nil {
		return n, err
	}
	return <-answer, nil
}

func (p *process) ChunksOf(ctx context.Context, job string, numbers []int) (cs []batholith.Chunk, err error) {
	err = p.step("ChunksOf", func() error { cs, err = p.world.ChunksOf(ctx, job, numbers); return err })
	return cs, err
}

func (p *process) Segments(ctx context.Context, job string) (segs []batholith.Segment, err error) {
	err = p.step("Segments", func() error { segs, err = p.world.Segments(ctx, job); return err })
	return segs, err
}

func (p *process) ReplaceSegments(ctx context.Context, job string, old []string, run batholith.Segment) (read bool, err error) {
	answer := make(chan bool, 1)
	err = p.step("ReplaceSegments", func() error { read, err := p.world.ReplaceSegments(ctx, job, old, run); answer <- read; return err })
	if err != nil {
		return false, err
	}
	return <-answer, nil
}

func (p *process) PutUpload(ctx context.Context, u batholith.Upload) error {
	return p.step("PutUpload", func() error { return p.world.PutUpload(ctx, u) })
}

func (p *process) DeleteUpload(ctx context.Context, u batholith.Upload) error {
	return p.step("DeleteUpload", func() error { return p.world.DeleteUpload(ctx, u) })
}

func (p *process) open(ctx context.Context, job string) (blob.Place, error) {
	b := mortal{p.bucket, p}
	return blob.Place{Input: b, Output: b, InputKey: "in/", Prefix: "out/" + job + "/"}, nil
}

// openKnown is open for jobs that the database knows, and ErrNotFound for others.
func (p *process) openKnown(ctx context.Context, job string) (blob.Place, error) {
	p.mu.Lock()
	known := p.jobs[job] != nil
	p.mu.Unlock()
	if !known {
		return blob.Place{}, batholith.ErrNotFound
	}
	return p.open(ctx, job)
}

// mortal is the bucket as a process sees it.
type mortal struct {
	blob.Bucket
	p *process
}

func (m mortal) Put(ctx context.Context, key string, body []byte) error {
	return m.p.step("Put", func() error { return m.Bucket.Put(ctx, key, body) })
}

func (m mortal) Delete(ctx context.Context, keys ...string) error {
	return m.p.step("Delete", func() error { return m.Bucket.Delete(ctx, keys...) })
}

func (m mortal) List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error] {
	if err := m.p.step("List", func() error { return nil }); err != nil {
		return func(yield func(batholith.Object, error) bool) { yield(batholith.Object{}, err) }
	}
	return m.Bucket.List(ctx, prefix)
}

func (m mortal) CreateUpload(ctx context.Context, key string) (id string, err error) {
	err = m.p.step("CreateUpload", func() error { id, err = m.Bucket.CreateUpload(ctx, key); return err })
	return id, err
}

func (m mortal) UploadPart(ctx context.Context, key, id string, n int, body []byte) (etag string, err error) {
	err = m.p.step("UploadPart", func() error { etag, err = m.Bucket.UploadPart(ctx, key, id, n, body); return err })
	return etag, err
}

func (m mortal) CompleteUpload(ctx context.Context, key, id string, etags []string) error {
	return m.p.step("CompleteUpload", func() error { return m.Bucket.CompleteUpload(ctx, key, id, etags) })
}

func (m mortal) AbortUpload(ctx context.Context, key, id string) error {
	return m.p.step("AbortUpload", func() error { return m.Bucket.AbortUpload(ctx, key, id) })
}

// outcome is what worker would answer for a record of a chunk.
func outcome(c batholith.Chunk, i int, worker string) batholith.Outcome {
	key := batholith.RecordKey{File: c.File, Record: c.First + int64(i)}
	o := batholith.Outcome{Job: c.Job, Key: key, Chunk: c.N, First: c.First, Epoch: c.Epoch, Line: []byte(lineOf(key, fmt.Sprintf("%s/%d", worker, c.Epoch))),
		Errored: key.Record%7 == 3, Tokens: batholith.Tokens{Input: 3, Output: 2}, Wasted: batholith.Tokens{Input: key.Record % 5}, Attempts: 1, Canaries: i % 4}
	if o.Errored {
		o.Kind = batholith.OutcomeInvalid + batholith.OutcomeKind(key.Record%3)
	}
	o.Source = sourceOf(key)
	return o
}

// sourceOf is where the answer to a record came from: one of three names, with one of two members that were not sent. All have the same length.
func sourceOf(k batholith.RecordKey) *batholith.Source {
	s := &batholith.Source{Backend: "127.0.0.1:8000", Model: []string{"m-1", "m-2", "m-3"}[k.Record%3]}
	s.Changes.Drop([]string{"metadata", "thinking"}[k.Record%2])
	s.Changes.Map("system.cache_control")
	return s
}

// lineOf is the output line of a record that was answered by a worker under an epoch.
func lineOf(k batholith.RecordKey, by string) string {
	return fmt.Sprintf(`{"recordId":"%d-%d","modelInput":{},"modelOutput":{"by":"%s"}}`+"\n", k.File, k.Record, by)
}

// expected is what the output files of a job must be by what the database accepted.
func (w *world) expected(job string) map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]string{}
	for _, f := range w.jobs[job].files {
		text := ""
		for r := range f.Records {
			k := batholith.RecordKey{File: f.N, Record: r}
			if by, ok := w.accepted[job][k]; ok {
				text += lineOf(k, by)
			}
		}
		out["out/"+job+"/"+f.Output] = text
	}
	return out
}

// output is what the output files of a job are.
func (w *world) output(job string) map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]string{}
	for _, f := range w.jobs[job].files {
		key := "out/" + job + "/" + f.Output
		if b, ok := w.bucket.Object(key); ok {
			out[key] = string(b)
		}
	}
	return out
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// start runs a Writer of a process until the returned function is called, which waits for its end.
func start(t testing.TB, p *process, dir, worker string, change func(*Options)) (w *Writer, stop func()) {
	t.Helper()
	o := Options{Dir: dir, Worker: worker, Store: p, Open: p.open}
	if change != nil {
		change(&o)
	}
	w, err := NewWriter(o)
	if err != nil {
		t.Fatal(err)
	}
	if p.width > 0 {
		w.width = p.width
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-p.killed:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := w.Recover(ctx); err != nil && !p.dead.Load() {
		cancel()
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	return w, func() { cancel(); <-done }
}
