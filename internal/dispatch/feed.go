package dispatch

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/jsonl"
)

// How far a feed reads ahead of the lanes: it claims the next chunk when fewer records are ready, unless so many bytes are held.
const (
	aheadRecords = 512
	aheadBytes   = 8 << 20
)

// feed is one job's way from its chunks to the lanes. Its goroutine claims and reads; lanes take and settle. The fields below the
// queue's mutex line are guarded by queue.mu.
type feed struct {
	d       *Dispatcher
	queue   *queue
	job     batholith.Job
	dialect dialect.Dialect
	retries *budget

	life   context.Context // ends when the job is halted or the process ends
	cancel context.CancelCauseFunc
	done   chan struct{} // closed by end: the goroutine is over and nothing is in flight
	idle   chan struct{} // 1-buffered; told whenever a record was settled or taken

	place  blob.Place
	files  map[int]batholith.File
	unsure bool // a claim failed that may have happened: a chunk may be this worker's, and it does not know of it

	// guarded by queue.mu
	opened bool
	noted  bool
	term   context.Context // of the present lease; records are sent under it
	lapse  context.CancelCauseFunc
	ready  []*item
	later  retries
	flying int
	held   int64 // bytes of the chunks that have unsettled records
	start  opening
}

// item is one record on its way.
type item struct {
	feed      *feed
	chunk     *portion
	term      context.Context
	key       batholith.RecordKey
	id, input []byte // slices of the chunk's bytes
	attempts  int    // counted ones
	crashes   int    // of them, those that a crash of the backend may have ended
	trials    int    // attempts that tried a backend after an outage, and ended in a crash
	alone     bool   // it is sent with nothing beside it
	wasted    batholith.Tokens
	due       time.Time
	flight    flight // of the last attempt
}

// portion is a claimed chunk with its bytes.
type portion struct {
	batholith.Chunk
	left int // records that are not settled
}

func newFeed(d *Dispatcher, q *queue, job batholith.Job, dia dialect.Dialect) *feed {
	f := &feed{d: d, queue: q, job: job, dialect: dia, retries: newBudget(), done: make(chan struct{}), idle: make(chan struct{}, 1)}
	f.life, f.cancel = context.WithCancelCause(context.Background())
	f.term, f.lapse = context.WithCancelCause(f.life)
	return f
}

// run opens the job and feeds its records, term after term of the lease, until the job is halted or the process takes nothing more.
func (f *feed) run() {
	defer f.end()
	unlink := context.AfterFunc(f.d.send, func() { f.cancel(context.Cause(f.d.send)) })
	defer unlink()
	take, stop := context.WithCancelCause(f.life)
	defer stop(nil)
	defer context.AfterFunc(f.d.take, func() { stop(batholith.ErrShutdown) })()

	err := f.open(take)
	for err == nil {
		err = f.feed(take)
		f.land()
		if errors.Is(err, batholith.ErrLeaseLost) {
			err = f.renew(take)
		}
	}
	switch cause := context.Cause(take); {
	case cause == nil && !errors.Is(err, batholith.ErrMoved):
		f.d.o.Log.Warn("job cannot be fed", "job", f.job.ID, "err", err)
		f.d.o.Fault(f.job.ID, err)
	case errors.Is(cause, batholith.ErrShutdown):
		f.commit()
	}
}

// commit hands over what was finished before the chunks are released, for a commit under a released chunk would be refused.
func (f *feed) commit() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := f.d.o.Sink.Flush(ctx, f.job.ID); err != nil {
		f.d.o.Log.Warn("outcomes stay in the journal until the next start", "job", f.job.ID, "err", err)
	}
}

// end says that the feed is over.
func (f *feed) end() {
	f.queue.mu.Lock()
	f.letGo()
	f.queue.open = without(f.queue.open, f)
	f.queue.mu.Unlock()
	f.d.forget(f)
	close(f.done)
	f.queue.admitMore()
}

// open begins the job and learns where its bytes lie.
func (f *feed) open(ctx context.Context) error {
	return f.d.insist(ctx, "open job "+f.job.ID, func() error {
		if err := f.d.o.Begin(ctx, f.job.ID); err != nil {
			return fmt.Errorf("begin job: %w", err)
		}
		place, err := f.d.o.Place(ctx, f.job)
		if err != nil {
			return err
		}
		files, err := f.d.o.Store.Files(ctx, f.job.ID)
		if err != nil {
			return fmt.Errorf("read files of the job: %w", err)
		}
		f.place, f.files = place, map[int]batholith.File{}
		for _, file := range files {
			f.files[file.N] = file
		}
		return f.giveUp(ctx)
	})
}

// giveUp releases what this worker holds of the job from an earlier process or lease. What it had finished is committed first, however
// long that takes: after the release it would be refused, and asked again.
func (f *feed) giveUp(ctx context.Context) error {
	if err := f.d.o.Sink.Flush(ctx, f.job.ID); err != nil {
		return fmt.Errorf("commit what was finished before: %w", err)
	}
	return f.d.o.Store.Release(ctx, f.d.o.Worker, f.job.ID)
}

// feed claims chunk after chunk and offers their records. It returns only with an error: the cause of the end.
func (f *feed) feed(take context.Context) error {
	for {
		if err := f.room(take); err != nil {
			return err
		}
		chunks, err := f.claim(take)
		if err != nil {
			return err
		}
		if len(chunks) == 0 {
			err = f.rest(take)
		}
		failpoint.Here("dispatch.claimed")
		for _, c := range chunks {
			if err = f.load(take, c); err != nil {
				break
			}
		}
		if err != nil {
			return err
		}
	}
}

func (f *feed) claim(take context.Context) (chunks []batholith.Chunk, err error) {
	err = f.d.insist(take, "claim a chunk", func() error {
		chunks, err = f.d.o.Store.Claim(take, f.d.o.Worker, f.job.ID, 1, time.Now())
		f.unsure = f.unsure || err != nil
		return err
	})
	return chunks, err
}

// room waits until more records are wanted.
func (f *feed) room(take context.Context) error {
	return f.until(take, 0, func() bool {
		return len(f.ready) == 0 || len(f.ready) < aheadRecords && f.held < aheadBytes
	})
}

// rest is for a job without claimable chunks: what is out is waited for and committed, and after a while it is looked again, for the
// chunks of a worker that died.
func (f *feed) rest(take context.Context) error {
	if err := f.until(take, 0, func() bool { return f.flying+len(f.ready)+len(f.later) == 0 }); err != nil {
		return err
	}
	if f.unsure {
		f.unsure = false
		return f.d.insist(take, "give up chunks", func() error { return f.giveUp(take) })
	}
	err := f.d.insist(take, "commit outcomes", func() error { return f.d.o.Sink.Flush(take, f.job.ID) })
	if err != nil {
		return err
	}
	return f.until(take, f.d.o.Lease, func() bool { return false })
}

// until waits for cond, which is evaluated under the queue's mutex whenever something was settled; with a limit above 0 no longer
// than that.
func (f *feed) until(take context.Context, limit time.Duration, cond func() bool) error {
	var late <-chan time.Time
	if limit > 0 {
		late = time.After(limit)
	}
	for {
		f.queue.mu.Lock()
		ok, term := cond(), f.term
		f.queue.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-take.Done():
			return context.Cause(take)
		case <-term.Done():
			return context.Cause(term)
		case <-f.idle:
		case <-late:
			return nil
		}
	}
}

// load reads a chunk and offers those of its records that have no outcome yet.
func (f *feed) load(take context.Context, c batholith.Chunk) error {
	var data []byte
	var entries []jsonl.Entry
	err := f.d.insist(take, "read a chunk", func() (err error) {
		data, entries, err = f.read(take, c)
		return err
	})
	if err != nil {
		return err
	}
	p := &portion{Chunk: c}
	items, err := f.items(p, data, entries)
	if err != nil {
		return err
	}
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	if f.term.Err() != nil {
		return context.Cause(f.term)
	}
	p.left, f.held = len(items), f.held+c.Bytes
	if p.left == 0 {
		f.held -= c.Bytes
	}
	for _, it := range items {
		it.term = f.term
	}
	f.ready = append(f.ready, items...)
	f.queue.wake()
	return nil
}

// read fetches a chunk's bytes and its block of the index.
func (f *feed) read(ctx context.Context, c batholith.Chunk) ([]byte, []jsonl.Entry, error) {
	file := f.files[c.File]
	block, err := readAll(ctx, f.place.Output, file.Index, "", c.IndexOffset, c.IndexBytes)
	if err != nil {
		return nil, nil, err
	}
	first, entries, err := jsonl.ReadBlock(block)
	if err == nil && (first != c.First || len(entries) != int(c.Count)) {
		err = fmt.Errorf("it has records %d to %d", first, first+int64(len(entries))-1)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: block of chunk %d: %w", errIndex, c.N, err)
	}
	data, err := readAll(ctx, f.place.Input, file.Key, file.ETag, c.Offset, c.Bytes)
	return data, entries, err
}

// errIndex: what validation wrote is not what it wrote. Nothing is guessed from it.
var errIndex = errors.New("the job's index is damaged")

func readAll(ctx context.Context, b blob.Bucket, key, etag string, offset, n int64) ([]byte, error) {
	r := blob.NewReader(ctx, b, key, etag, offset, n)
	defer r.Close()
	data := make([]byte, n)
	_, err := io.ReadFull(r, data)
	return data, err
}

// items cuts a chunk's bytes into the records that are to be asked.
func (f *feed) items(p *portion, data []byte, entries []jsonl.Entry) ([]*item, error) {
	items := make([]*item, 0, len(entries))
	for i, e := range entries {
		if p.Done.Has(i) {
			continue
		}
		at := e.Offset - p.Offset
		if at < 0 || at+int64(e.Length) > int64(len(data)) {
			return nil, fmt.Errorf("%w: chunk %d ends before its record %d", errIndex, p.N, i)
		}
		id, input, err := jsonl.Parse(data[at : at+int64(e.Length)])
		if err != nil {
			return nil, fmt.Errorf("record %d of %s, line %d: %w", p.First+int64(i), f.files[p.File].Key, e.Line, err)
		}
		if id == nil {
			id = []byte(jsonl.MakeID(f.job.ID, p.File, e.Line))
		}
		items = append(items, &item{feed: f, chunk: p, id: id, input: input,
			key: batholith.RecordKey{File: p.File, Record: p.First + int64(i)}})
	}
	return items, nil
}

// interrupt ends the present term of the lease: what is in flight is called off.
func (f *feed) interrupt(cause error) {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.lapse(cause)
	f.letGo()
}

// land waits until nothing is in flight.
func (f *feed) land() {
	for {
		f.queue.mu.Lock()
		f.letGo()
		n := f.flying
		f.queue.mu.Unlock()
		if n == 0 {
			return
		}
		<-f.idle
	}
}

// renew waits until the worker's lease holds again, releases what it had claimed before, and begins another term.
func (f *feed) renew(take context.Context) error {
	err := f.d.insist(take, "release chunks after the lease was lost", func() error {
		if !f.d.holds() {
			return errors.New("the lease is not renewed yet")
		}
		return f.giveUp(take)
	})
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.term, f.lapse = context.WithCancelCause(f.life)
	return err
}

// letGo forgets the records that are not in flight; their chunks are claimed again. The caller holds queue.mu.
func (f *feed) letGo() {
	f.ready, f.later, f.held = nil, nil, 0
}

// take hands out the next record, one whose retry is due first, or says how long it is until the first is due.
// The caller holds queue.mu.
func (f *feed) take(now time.Time) (*item, time.Duration) {
	var it *item
	var wait time.Duration
	switch {
	case len(f.later) > 0 && !f.later[0].due.After(now):
		it = heap.Pop(&f.later).(*item)
	case len(f.ready) > 0:
		it, f.ready = f.ready[0], f.ready[1:]
	case len(f.later) > 0:
		wait = f.later[0].due.Sub(now)
	}
	if it != nil {
		f.flying++
		f.nudge()
	}
	return it, wait
}

// nudge lets the feed's goroutine look at its conditions again.
func (f *feed) nudge() {
	select {
	case f.idle <- struct{}{}:
	default:
	}
}

// retries is a heap of records by the time at which they are due.
type retries []*item

func (r retries) Len() int           { return len(r) }
func (r retries) Less(i, j int) bool { return r[i].due.Before(r[j].due) }
func (r retries) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *retries) Push(x any)        { *r = append(*r, x.(*item)) }
func (r *retries) Pop() any {
	old := *r
	it := old[len(old)-1]
	*r = old[:len(old)-1]
	return it
}
