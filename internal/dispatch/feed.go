package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/memory"
)

// feed is one job's way from its chunks to the lanes. Its goroutine opens the job, claims and reads; lanes take and settle. The fields
// below the queue's mutex line are guarded by queue.mu.
type feed struct {
	d       *Dispatcher
	queue   *queue
	job     batholith.Job
	dialect dialect.Dialect
	retries *budget

	life   context.Context // ends when the job is halted or the process ends
	cancel context.CancelCauseFunc
	done   chan struct{} // closed by end: the goroutine is over and nothing is in flight
	idle   chan struct{} // 1-buffered; told whenever a record was settled or taken, or a chunk may be claimed

	place  blob.Place
	files  map[int]batholith.File
	unsure bool // a claim failed that may have happened: a chunk may be this worker's, and it does not know of it

	// guarded by queue.mu
	running  bool // its goroutine was started, or never will be
	opened   bool // its turn has come: it may claim
	noted    bool
	tenant   *tenant
	priority priority
	term     context.Context // of the present lease; records are sent under it
	lapse    context.CancelCauseFunc

	wanting  bool        // the goroutine waits to be granted a chunk
	granted  bool        // it may claim one; its room is set aside
	late     *time.Timer // of the grant: stall is next
	stalled  bool        // the chunk of the grant is late
	dry      bool        // the last claim found nothing
	holding  int         // number of the present claims: chunks of an earlier number hold nothing any more
	held     int64
	loaded   map[*portion]bool // that hold memory
	ready    walk
	later    retries
	twins    twins
	flying   int
	borrowed float64 // tokens that it got out of turn, because its prompts went with another's

	concluded int64   // records, by this process
	meanIn    average // tokens of a record
	meanOut   average
	meanMost  average // bound that the records with an answer had set on it
	outlook   outlook
	start     opening
}

// item is one record on its way.
type item struct {
	feed      *feed
	chunk     *portion
	term      context.Context
	key       batholith.RecordKey
	id, input []byte         // slices of the chunk's bytes
	prompt    dialect.Prompt // the same
	same      digest         // of the input, when it may have twins
	twins     []*item        // that end with it
	charged   float64        // tokens that it was reckoned to take when it was sent
	line      priority       // and on which accounts they are
	role      int
	attempts  int  // counted ones
	crashes   int  // of them, those that a crash of the backend may have ended
	trials    int  // attempts that tried a backend after an outage, and ended in a crash
	alone     bool // it is sent with nothing beside it
	wasted    batholith.Tokens
	due       time.Time
	flight    limit.Flight // of the last attempt
}

// portion is a claimed chunk with its bytes.
type portion struct {
	batholith.Chunk
	left    int // records that are not settled
	holding int // feed.holding when it was loaded
	hold    *memory.Hold
}

func newFeed(d *Dispatcher, q *queue, job batholith.Job, dia dialect.Dialect) *feed {
	f := &feed{d: d, queue: q, job: job, dialect: dia, retries: newBudget(), done: make(chan struct{}), idle: make(chan struct{}, 1),
		priority: priorityOf(job.Tags), ready: newWalk(d.o.Room), loaded: map[*portion]bool{}}
	f.life, f.cancel = context.WithCancelCause(context.Background())
	f.term, f.lapse = context.WithCancelCause(f.life)
	return f
}

// run waits for the job's turn, opens it and feeds its records, term after term of the lease, until the job is halted or the process
// takes nothing more.
func (f *feed) run() {
	defer f.end()
	unlink := context.AfterFunc(f.d.send, func() { f.cancel(context.Cause(f.d.send)) })
	defer unlink()
	take, stop := context.WithCancelCause(f.life)
	defer stop(nil)
	defer context.AfterFunc(f.d.take, func() { stop(batholith.ErrShutdown) })()

	err := f.turn(take)
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

// turn waits for the job's turn and opens it.
func (f *feed) turn(take context.Context) error {
	f.rank(take)
	err := f.room(take)
	for errors.Is(err, batholith.ErrLeaseLost) {
		if err = f.renew(take); err == nil {
			err = f.room(take)
		}
	}
	if err != nil {
		return err
	}
	return f.open(take)
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
	f.queue.drop(f)
	f.queue.mu.Unlock()
	f.d.forget(f)
	close(f.done)
}

// open begins the job and learns where its bytes lie.
func (f *feed) open(ctx context.Context) error {
	return f.insist(ctx, "open job "+f.job.ID, func() error {
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
