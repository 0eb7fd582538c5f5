package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
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

	life   context.Context // ends when the job is halted or the process ends
	cancel context.CancelCauseFunc
	done   chan struct{} // closed by close: the goroutine is over and nothing is in flight
	idle   chan struct{} // 1-buffered; told whenever a record was settled or taken, or a chunk may be claimed

	beginning chan struct{} // 1-buffered; full while the job is being begun
	begun     atomic.Bool   // it is InProgress

	place     blob.Place
	files     map[int]batholith.File
	lastClass *class           // of the record that was read last
	last      *batholith.Chunk // that was claimed; nil: none since the claims began anew
	unsure    bool             // a claim failed that may have happened: a chunk may be this worker's, and it does not know of it

	// guarded by queue.mu
	running   bool           // its goroutine was started, or never will be
	opened    bool           // its turn has come: it may claim
	starting  bool           // it is being begun,
	startedAt time.Time      // since then
	told      string         // why it waits, as its owner is to know; "" when it does not
	said      string         // as its owner was told
	telling   bool           // a goroutine tells
	trials    map[*class]int // records in flight whose class is paused
	tenant    *tenant
	priority  priority
	term      context.Context // of the present lease; records are sent under it
	lapse     context.CancelCauseFunc

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
	out      flights // the same, apart from those that are ended without being sent
	borrowed float64 // tokens that it got out of turn, because its prompts went with another's

	refused   int       // records in a row for which the servers had no room
	refusedAt time.Time // the first of them
	refusals  int       // of late: an answer halves them

	concluded int64   // records, by this process
	meanIn    average // tokens of a record
	meanOut   average
	meanMost  average // bound that the records with an answer had set on it
	outlook   outlook
	start     opening
}

// item is one record on its way.
type item struct {
	feed          *feed
	chunk         *portion
	term          context.Context
	key           batholith.RecordKey
	id, input     []byte         // slices of the chunk's bytes
	prompt        dialect.Prompt // the same
	same          digest         // of the input, when it may have twins
	twins         []*item        // that end with it
	charged       float64        // tokens that it was reckoned to take when it was sent
	line          priority       // and on which accounts they are
	role          int
	wasted        batholith.Tokens
	due           time.Time
	taken         time.Time // when it was taken to be sent
	ahead, behind *item     // in flights

	// What is known of its attempts.
	class    *class
	flight   limit.Flight       // of the last attempt
	asked    bool               // the last attempt was sent
	began    time.Time          // when
	before   int                // requests of the lane until then
	rest     time.Duration      // for which its slot stays empty after a refusal
	sole     bool               // nothing else of ours was in flight beside it
	once     bool               // it must not be sent twice
	attempts int                // for the ledger: requests, those that were refused for want of room aside
	failures int                // that were its own
	crashes  int                // see attempt
	broke    *breakage          // the last failure was a part of
	failure  *batholith.Failure // the last; nil: none
	failedAt time.Time
	failedOn *lane
	trial    bool // it is sent though its class is paused
	apart    bool // it is sent with nothing beside it
	ends     bool // it is not sent again, and ends with its last failure
}

// portion is a claimed chunk with its bytes.
type portion struct {
	batholith.Chunk
	left    int // records that are not settled
	holding int // feed.holding when it was loaded
	hold    *memory.Hold
}

func newFeed(d *Dispatcher, q *queue, job batholith.Job, dia dialect.Dialect) *feed {
	f := &feed{d: d, queue: q, job: job, dialect: dia, done: make(chan struct{}), idle: make(chan struct{}, 1), beginning: make(chan struct{}, 1),
		priority: priorityOf(job.Tags), ready: newWalk(d.o.Room), loaded: map[*portion]bool{}, trials: map[*class]int{}}
	f.life, f.cancel = context.WithCancelCause(context.Background())
	f.term, f.lapse = context.WithCancelCause(f.life)
	f.begun.Store(job.Status == batholith.StatusInProgress)
	return f
}

// run waits for the job's turn, opens it and feeds its records, term after term of the lease, until the job is halted or the process
// takes nothing more.
func (f *feed) run() {
	defer f.close()
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
	f.enter(take)
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

// close says that the feed is over.
func (f *feed) close() {
	f.queue.mu.Lock()
	f.letGo()
	f.queue.drop(f)
	f.queue.mu.Unlock()
	f.d.forget(f)
	close(f.done)
}

// open learns where the job's bytes lie.
func (f *feed) open(ctx context.Context) error {
	return f.insist(ctx, "open job "+f.job.ID, func() error {
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
	f.last = nil
	if err := f.d.o.Sink.Flush(ctx, f.job.ID); err != nil {
		return fmt.Errorf("commit what was finished before: %w", err)
	}
	return f.d.o.Store.Release(ctx, f.d.o.Worker, f.job.ID)
}
