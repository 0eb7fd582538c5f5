package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/memory"
)

// feed is one job between its chunks and the lanes. Its goroutine opens the job, claims and reads chunks; the lanes take records and
// conclude them. The fields below "guarded by queue.mu" are guarded by queue.mu; the others are set before the goroutine starts, or belong
// to it.
type feed struct {
	d      *Dispatcher
	queue  *queue
	job    batholith.Job
	speaks atomic.Pointer[speech]
	paths  dialect.Dialect // of the first backend; tells the path of a record, which is the same in every protocol

	access string      // Serving.Access at the start
	silent atomic.Bool // output lines do not repeat modelInput

	life   context.Context // ends when the job is halted or the process ends
	cancel context.CancelCauseFunc
	taking context.Context // ends when no record may be taken any more; those in flight go on
	cease  context.CancelCauseFunc
	done   chan struct{} // closed by close, when the goroutine has ended and nothing is in flight
	idle   chan struct{} // 1-buffered, never closed; gets a value when a record was taken or concluded, or a chunk may be claimed

	beginning chan struct{} // a lock with a select: full while a goroutine moves the job to InProgress
	begun     atomic.Bool   // the job is InProgress

	resting atomic.Bool    // the job is paused, or leaves its queue: nothing is sent, and the feed ends with the records in flight
	next    *batholith.Job // the job as it is enqueued again when a resting feed has ended; nil: it is not. Guarded by d.mu

	place     blob.Place
	files     map[int]batholith.File
	after     map[int]int64    // records after each file
	lastClass *class           // class of the record parsed last
	last      *batholith.Chunk // chunk claimed last; nil: none since the latest giveUp
	earlier   *earlier         // answers of earlier jobs that it may take; nil: none
	unsure    bool             // a claim returned an error but may have been committed: this worker may own a chunk without knowing it

	// guarded by queue.mu
	running   bool           // the goroutine was started, or must not be started any more
	opened    bool           // a chunk was granted at least once
	starting  bool           // startBegin is running,
	startedAt time.Time      // since this time
	told      string         // why the job waits, as its note should say; "" if it does not wait
	said      string         // the same as the note says it
	telling   bool           // a goroutine is writing the note
	trials    map[*class]int // records in flight whose class is paused
	tenant    *tenant
	priority  priority
	term      context.Context // context of the records; ends with the lease
	lapse     context.CancelCauseFunc

	wanting  bool              // the goroutine waits for a grant
	granted  bool              // the goroutine may claim a chunk, for which memory is reserved
	late     *time.Timer       // calls stall if the granted chunk is not read in time
	stalled  bool              // the granted chunk is late
	dry      bool              // the latest claim found no chunk
	inherits bool              // there may be chunks of a lost worker, which are claimed at once, whatever is ready
	unread   int64             // records after the last chunk that was claimed here, in input order
	holding  int               // generation of the claims; chunks of an earlier one hold no memory any more
	held     int64             // bytes of claimed chunks
	loaded   map[*portion]bool // chunks that hold memory
	ready    walk              // records that were never sent
	later    retries           // records that failed and wait
	media    stage             // records whose objects in S3 are not read yet
	twins    twins
	sample   sample
	funds    funds
	unended  map[*item]bool // records with a reservation that have no outcome, or were dropped
	flying   int            // records in flight
	out      flights        // the same records, without those that are concluded without being sent
	borrowed float64        // tokens taken before the job's turn, see neighbour

	refused   int       // records in a row that met back-pressure
	refusedAt time.Time // time of the first of them
	refusals  int       // the same, not only in a row; an answer halves the number

	concluded int64   // records concluded by this process
	stored    int64   // records with an outcome, of all workers, as the database said last
	storedAt  int64   // concluded at that time
	meanIn    average // input tokens per answered record
	meanOut   average // output tokens per answered record
	meanMost  average // max tokens of the answered records that set it
	outlook   outlook
	start     opening
}

// item is one record between the claim of its chunk and its outcome. Its fields belong to the goroutine that sends it while it is in
// flight, and are guarded by queue.mu otherwise.
type item struct {
	feed          *feed
	chunk         *portion
	term          context.Context
	key           batholith.RecordKey
	id, input     []byte             // slices of the chunk's bytes
	places        []dialect.Location // objects in S3 that the input names
	objects       []*attachment      // the same, while they can be sent; guarded by queue.mu when the record is not in flight
	etags         []string           // their versions, once a request with them was sent
	prompt        dialect.Prompt     // slices of input
	part          part               // of the window
	kin           *kin               // its group, if answers of the group are noted
	barred        []string           // protocols that cannot carry the body; another lane's may
	fewest        int64              // tokens of the input; 0: not counted
	same          digest             // digest of the input, if it may have twins
	twins         []*item            // records that get the same answer
	charged       float64            // estimated tokens, charged to the shares when it was taken
	line          priority           // the accounts that were charged: line
	role          int                // and role
	weights       [2]float64         // of tenant and line at that time
	wasted        batholith.Tokens   // tokens of unusable answers
	due           time.Time          // when a waiting record is judged again
	taken         time.Time          // when a lane took it
	ahead, behind *item              // neighbours in the list flights

	// What is known of its attempts.
	class    *class
	flight   limit.Flight       // latest attempt, in the limiter
	asked    bool               // the latest attempt was sent
	began    time.Time          // send time of the latest attempt
	before   int                // lane.begun at that time
	rest     time.Duration      // how long its slot stays empty after a refusal
	sole     bool               // no other request of ours was in flight during the latest attempt
	once     bool               // the request must not be repeated, see attempt.once
	attempts int                // for the ledger: requests, without those that met back-pressure
	failures int                // failures that count against it
	crashes  int                // see attempt.crashes
	broke    *breakage          // the breakage of the latest failure, if its connection broke
	failure  *batholith.Failure // latest failure; nil: none
	failedAt time.Time
	failedOn *lane
	trial    bool             // it was taken although its class is paused
	apart    bool             // it is sent only while nothing else is in flight
	reserved batholith.Amount // what is reserved for it, in a job with a cap
	sampled  bool             // it is of the sample, and has no outcome
	span     span             // of the present attempt
	ends     bool             // it ends with its latest failure and is not sent again
}

// portion is a claimed chunk whose records are being processed.
type portion struct {
	batholith.Chunk
	left    int // records without an outcome
	holding int // feed.holding when it was loaded
	hold    *memory.Hold
}

// newFeed makes a feed without starting its goroutine. The caller holds d.mu.
func newFeed(d *Dispatcher, q *queue, job batholith.Job, s Serving) *feed {
	f := &feed{d: d, queue: q, job: job, access: s.Access, paths: s.Dialect(s.Backends[0].Protocol()), done: make(chan struct{}), idle: make(chan struct{}, 1), beginning: make(chan struct{}, 1),
		priority: priorityOf(job.Tags), ready: newWalk(d.o.Room), loaded: map[*portion]bool{}, trials: map[*class]int{}, unended: map[*item]bool{}}
	f.life, f.cancel = context.WithCancelCause(context.Background())
	f.taking, f.cease = context.WithCancelCause(f.life)
	f.term, f.lapse = context.WithCancelCause(f.life)
	f.begun.Store(job.Status == batholith.StatusInProgress)
	f.speak(s)
	if strings.HasPrefix(job.Note, waitNote) { // by an earlier process or feed; it is replaced if it is not true any more
		f.said = job.Note
	}
	return f
}

// run is the goroutine of a feed. It waits for the job's turn, opens the job and feeds its records. After a lost lease it starts over. It
// ends when the job is halted or paused, the process shuts down, or its records cannot be read; the last is reported as a fault.
func (f *feed) run() {
	defer f.close()
	unlink := context.AfterFunc(f.d.send, func() { f.cancel(context.Cause(f.d.send)) })
	defer unlink()
	take := f.taking
	defer f.cease(nil)
	defer context.AfterFunc(f.d.take, func() { f.cease(batholith.ErrShutdown) })()

	err := f.turn(take)
	for err == nil {
		err = f.feed(take)
		f.land()
		if errors.Is(err, batholith.ErrLeaseLost) {
			err = f.renew(take)
		}
	}
	switch cause := context.Cause(take); {
	case errors.Is(cause, errLeft):
		_ = f.insist(f.life, "give up chunks", func() error { return f.giveUp(f.life) }) // an error means that the job is halted
	case cause == nil && !errors.Is(err, batholith.ErrMoved):
		f.d.o.Log.Warn("the job's input cannot be read", "job", f.job.ID, "err", err)
		f.d.o.Fault(f.job.ID, err)
	case errors.Is(cause, batholith.ErrShutdown), errors.Is(cause, batholith.ErrPaused):
		f.commit()
	}
}

// turn waits for the job's first grant and opens the job.
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

// commit flushes the finished outcomes, for at most 10 s, before Run releases the chunks: the store refuses outcomes of a released chunk.
func (f *feed) commit() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := f.d.o.Sink.Flush(ctx, f.job.ID); err != nil {
		f.d.o.Log.Warn("outcomes are not committed yet; they stay in the journal until the next start", "job", f.job.ID, "err", err)
	}
}

// close ends the feed and removes it from its queue and Dispatcher.
func (f *feed) close() {
	f.closeEarlier()
	f.queue.mu.Lock()
	f.letGo()
	f.queue.drop(f)
	f.queue.mu.Unlock()
	f.d.forget(f)
	close(f.done)
}

// open looks up the job's buckets and files.
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
		f.count(files)
		if err := f.openFunds(ctx); err != nil {
			return err
		}
		if err := f.openEarlier(ctx); err != nil {
			return err
		}
		return f.giveUp(ctx)
	})
}

// giveUp releases the chunks that this worker holds of the job from an earlier process or lease. It first commits the finished outcomes,
// and waits as long as that takes: after the release the store would refuse them, and their records would be sent again.
func (f *feed) giveUp(ctx context.Context) error {
	f.last = nil
	if err := f.d.o.Sink.Flush(ctx, f.job.ID); err != nil {
		return fmt.Errorf("commit what was finished before: %w", err)
	}
	return f.d.o.Store.Release(ctx, f.d.o.Worker, f.job.ID)
}
