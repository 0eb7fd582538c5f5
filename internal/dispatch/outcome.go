package dispatch

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/backoff"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/jsonl"
)

// succeeded takes in that the backend answered a record, and the work in it.
func (l *lane) succeeded(it *item, work float64) {
	l.limit.Succeeded(it.flight, work)
	l.mu.Lock()
	h := l.at(it.class)
	h.share.answer(it.failures)
	l.worked(it.began)
	resumed := h.succeed(it.began, true)
	l.mu.Unlock()
	if resumed {
		l.resumed(h)
	}
}

// worked notes an answer to a request that began then. The caller holds l.mu.
func (l *lane) worked(began time.Time) {
	if began.After(l.answered) {
		l.answered = began
	}
	l.delay, l.vain = firstProbe, false
}

// resumed lets the records of a class go on.
func (l *lane) resumed(h *history) {
	l.paused.Add(-1)
	l.d.o.Log.Info("records of a class are sent again", "backend", l.backend.String(), "model", l.backend.ModelName(), "class", h.class.String())
	for _, q := range l.served() {
		q.rouse(h.class)
	}
	l.tell()
}

// failed notes a failure, and has the table say what it means.
func (l *lane) failed(it *item, f *batholith.Failure) {
	now := time.Now()
	off := it.term.Err() != nil
	var wait time.Duration
	it.rest = 0
	switch {
	case off || f.Kind == batholith.FailureUnreachable:
	case f.Kind != batholith.FailureBackPressure:
		l.limit.Failed(it.flight)
	case l.itsOwn(it, now): // how much is in flight has nothing to do with it
		l.limit.Failed(it.flight)
		wait = max(min(f.RetryAfter, longestAsk), longestRest)
	default:
		wait = l.limit.Refused(it.flight, f.RetryAfter)
		it.rest = min(wait, longestRest)
	}
	if off || f.Kind == batholith.FailureUnreachable { // neither says anything of the record
		l.carryOut(it, f, judge(attempt{calledOff: off}, f, evidence{}))
		return
	}
	l.mu.Lock()
	h := l.at(it.class)
	if f.Kind != batholith.FailureBackPressure {
		it.attempts++
	}
	h.fail(f, !it.again())
	if h.paused && it.trial && !l.hasCanary(it.class) && h.tries >= fewMisses {
		h.missed++
	}
	it.broke = nil
	if f.Crash {
		l.breakOff(it, now)
		it.crashes++ // attempt takes it back when only this connection broke
	}
	it.failure, it.failedAt, it.failedOn = f, now, l
	e := l.evidence(it.class, now)
	v := judge(it.attempt(l), f, e)
	all := f.Kind == batholith.FailureBackPressure && e.idle && e.row >= allRefused
	if it.again() { // its slot rests
		l.retries.spend(it.rest, 1)
	}
	l.mu.Unlock()
	if all { // the limiter sends one at a time by now; a canary tells whether it is the server or the records
		l.inquire(it.class, f)
	}
	v.after = max(v.after, wait)
	if f.Crash && it.sole { // the server may be down; if it answers a probe it is not
		l.mu.Lock()
		if l.out == "" {
			l.out, l.unsure, l.outSince = reason(f), true, now
		}
		l.mu.Unlock()
		l.signal()
	}
	l.carryOut(it, f, v)
}

// refusedInRow is how many records of a job must be refused in a row to look as if it were for what they are.
const refusedInRow = 8

// itsOwn tells whether a refusal is likely to be for what the record is: all of its job's were refused of late, while requests of the class
// that began meanwhile were answered.
func (l *lane) itsOwn(it *item, now time.Time) bool {
	f := it.feed
	f.queue.mu.Lock()
	if f.refused++; f.refused == 1 {
		f.refusedAt = now
	}
	row, since := f.refused, f.refusedAt
	f.queue.mu.Unlock()
	if row < refusedInRow {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at(it.class).answered.After(since)
}

// allRefused is how many refusals in a row, with nothing in flight, look as if everything were refused; longestRest is how long the slot of a
// refused request stays empty at the most.
const (
	allRefused  = 3
	longestRest = time.Second
)

// attempt is what the table is told of a record that is judged on a lane. The caller holds the mutex of the lane on which it failed.
func (it *item) attempt(at *lane) attempt {
	a := attempt{calledOff: it.term.Err() != nil, failures: it.failures, alone: it.sole, once: it.once, crashes: it.crashes}
	h := it.failedOn.at(it.class)
	a.needed = attemptsNeeded(at.d.o.Attempts, h.share.share())
	a.lost = at != it.failedOn && (h.paused || it.failedOn.out != "")
	if it.broke != nil {
		a.shared = it.broke.shared()
		if !a.shared && !it.sole {
			a.crashes--
		}
	}
	return a
}

// rejudged is what the table says, on a lane, of a record that has waited. Nothing but the record is changed by it. The caller holds
// queue.mu.
func (it *item) rejudged(at *lane) verdict {
	on := it.failedOn
	on.mu.Lock()
	defer on.mu.Unlock()
	a := it.attempt(at)
	a.waited = true
	v := judge(a, it.failure, on.evidence(it.class, it.failedAt))
	if v.act != ask && v.act != finish {
		return v
	}
	it.crashes, it.broke = a.crashes, nil
	if v.own {
		it.failures++
	}
	it.apart = v.alone
	it.ends = v.act == finish
	return v
}

// carryOut does what the table says of a record that has failed just now.
func (l *lane) carryOut(it *item, f *batholith.Failure, v verdict) {
	if v.out {
		l.takeOut(reason(f))
	}
	switch v.act {
	case drop:
		it.feed.drop(it)
	case back:
		it.feed.back(it)
	case pause:
		l.pause(it.class, f)
		it.feed.wait(it, pausedFor)
	case finish:
		l.end(it)
	default:
		it.feed.wait(it, jitter(v.after))
	}
}

// pause has the records of a class wait, and begins to probe it.
func (l *lane) pause(c *class, why *batholith.Failure) {
	l.mu.Lock()
	h := l.at(c)
	first := h.pause(time.Now(), why)
	if first {
		l.paused.Add(1)
	}
	row := h.row
	l.mu.Unlock()
	if !first {
		return
	}
	l.d.o.Log.Warn("records of a class wait", "backend", l.backend.String(), "model", l.backend.ModelName(), "class", c.String(), "failures_in_row", row, "why", why.Reason())
	l.signal()
	l.tell()
}

// jitter spreads what waits, between three quarters and five quarters of a delay.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d*3/4 + time.Duration(rand.Int64N(int64(d)/2+1))
}

// spent is how a record that is not sent again ends: with the server's status and message, and after how many attempts. The code is 500 where
// the server gave no status of an error, as after a broken connection.
func (it *item) spent() (batholith.OutcomeKind, *batholith.RecordError) {
	f := it.failure
	if f.Kind == batholith.FailureBadRecord {
		return batholith.OutcomeRefused, &batholith.RecordError{Code: f.Status, Message: f.Message}
	}
	e := &batholith.RecordError{Code: f.Status, Message: f.Message}
	if e.Code < 400 {
		e.Code = http.StatusInternalServerError
	}
	if it.attempts > 1 {
		e.Message = fmt.Sprintf("%s (after %d attempts)", e.Message, it.attempts)
	}
	return batholith.OutcomeExhausted, e
}

// end concludes a record with its last failure.
func (l *lane) end(it *item) {
	kind, e := it.spent()
	l.conclude(it, kind, batholith.Answer{}, e)
}

// conclude hands a record's outcome to the sink. A sink that does not take it, because the process ends, leaves the record to the
// next owner of its chunk.
func (l *lane) conclude(it *item, kind batholith.OutcomeKind, a batholith.Answer, e *batholith.RecordError) {
	f := it.feed
	failpoint.Here("dispatch.answered")
	if !f.begin(f.d.send) {
		f.drop(it)
		return
	}
	if err := f.d.add(f.outcome(it, kind, a, e)); err != nil {
		f.drop(it)
		return
	}
	if note := f.opening(e); note != "" {
		if err := f.d.o.Store.Note(context.WithoutCancel(f.d.send), f.job.ID, note); err != nil {
			f.d.o.Log.Warn("note on job", "job", f.job.ID, "err", err)
		}
	}
	f.share(it, a, e != nil)
	f.concludes(it, a.Tokens.Add(it.wasted), e == nil)
}

// outcome is what becomes of a record, with its output line.
func (f *feed) outcome(it *item, kind batholith.OutcomeKind, a batholith.Answer, e *batholith.RecordError) batholith.Outcome {
	o := batholith.Outcome{Job: f.job.ID, Key: it.key, Chunk: it.chunk.N, First: it.chunk.First, Epoch: it.chunk.Epoch,
		Errored: e != nil, Kind: kind, Tokens: a.Tokens, Wasted: it.wasted, Attempts: it.attempts}
	room := len(it.id) + len(it.input) + len(a.Output) + 64
	defer f.d.o.Room.Alone(room)()
	if e != nil {
		o.Line = jsonl.AppendError(make([]byte, 0, room+len(e.Message)), it.id, it.input, e)
	} else {
		o.Source = a.Source
		if f.d.o.Sourced {
			o.Line = jsonl.AppendSourced(make([]byte, 0, room+128), it.id, it.input, a.Output, a.Source)
		} else {
			o.Line = jsonl.AppendOutput(make([]byte, 0, room), it.id, it.input, a.Output)
		}
	}
	return o
}

// lands notes that a record is in flight no longer, and what it took of the shares: tokens, or for a record without an answer the slot's
// time as tokens, so that a principal whose records all fail gets no more of the server than others. The caller holds queue.mu.
func (f *feed) lands(it *item, tokens float64) {
	f.queue.shares.pay(it, tokens)
	f.flying--
	f.out.remove(it)
	if it.trial {
		it.trial = false
		f.trials[it.class]--
	}
	if !slices.ContainsFunc(f.queue.feeds, func(g *feed) bool { return g.flying+len(g.ready.items) > 0 }) {
		f.queue.rate.pause()
	}
	f.nudge()
}

// cost is what a failed attempt took, in tokens: the time that it had a slot, at the rate at which answers come out of one.
func (it *item) cost() float64 {
	q := it.feed.queue
	if !it.asked || q.meanTook.n == 0 {
		return 0
	}
	return (it.flight.Took() + it.rest).Seconds() / max(q.meanTook.or(1), 1e-6) * (q.meanIn.or(0) + q.meanOut.or(0))
}

// concludes ends a record: its outcome is with the sink. What it took in fact is on its job's account from here on.
func (f *feed) concludes(it *item, took batholith.Tokens, answered bool) {
	q := f.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	tokens := float64(took.Input) + float64(took.Output)
	if answered {
		f.refused = 0
	}
	if tokens > 0 {
		if it.prompt.MaxTokens > 0 {
			f.meanMost.add(float64(it.prompt.MaxTokens))
		}
		for _, m := range [...]struct{ in, out *average }{{&f.meanIn, &f.meanOut}, {&q.meanIn, &q.meanOut}} {
			m.in.add(float64(took.Input))
			m.out.add(float64(took.Output))
		}
		q.meanTook.add(it.flight.Took().Seconds())
	}
	switch {
	case answered:
		tokens = cmp.Or(tokens, it.charged) // a server that does not say how many is believed to have taken what was reckoned
	case !it.ends: // one that ends after it has waited was charged for its last attempt then
		tokens = max(tokens, it.cost())
	}
	q.rate.add(tokens, time.Now())
	f.concluded++
	f.lands(it, tokens)
	if it.chunk.left--; it.chunk.left == 0 && it.chunk.holding == f.holding {
		f.held, q.held = f.held-it.chunk.Bytes, q.held-it.chunk.Bytes
		delete(f.loaded, it.chunk)
		it.chunk.hold.Release()
	}
	q.grant()
}

// wait has a record wait until it is judged again.
func (f *feed) wait(it *item, delay time.Duration) {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.lands(it, it.cost())
	if it.term.Err() == nil {
		it.due = time.Now().Add(delay)
		it.apart = false
		heap.Push(&f.later, it)
		if f.told == "" {
			f.tell() // its class may be paused
		}
		f.queue.wake()
	}
}

// back puts a record where it was, as if it had not been taken.
func (f *feed) back(it *item) {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.lands(it, 0)
	if it.term.Err() != nil {
		return
	}
	if it.again() { // what is known of it stays
		it.apart = false
		it.due = time.Now()
		heap.Push(&f.later, it)
	} else {
		f.ready.back(it)
	}
	f.queue.wake()
}

// drop lets go of a record that was called off.
func (f *feed) drop(it *item) {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.lands(it, 0)
}

// opening watches a job's first outcomes: when they all fail alike, the user wants to know before the rest do.
type opening struct {
	seen  int
	first *batholith.RecordError // the job's first error
	mixed bool                   // an answer, or another error, was seen among the first outcomes
}

// openingRecords is how many outcomes must fail alike.
const openingRecords = 10

// opening takes one outcome into account and returns what to note on the job, if anything.
func (f *feed) opening(e *batholith.RecordError) string {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	o := &f.start
	if e != nil && o.first == nil {
		o.first = e
	}
	if o.seen++; o.seen > openingRecords {
		return ""
	}
	o.mixed = o.mixed || e == nil || *e != *o.first
	if o.seen < openingRecords || o.mixed {
		return ""
	}
	return fmt.Sprintf("The first %d records all ended with the same error: %s", o.seen, o.first)
}

// FirstError is the first error line that a job got in this process, nil when there was none or the job is not here.
func (d *Dispatcher) FirstError(job string) *batholith.RecordError {
	d.mu.Lock()
	f := d.feeds[job]
	d.mu.Unlock()
	if f == nil {
		return nil
	}
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	return f.start.first
}

// insist is [Dispatcher.insist] for a call on the job's behalf: how it fails is told, and that it goes on.
func (f *feed) insist(ctx context.Context, what string, do func() error) error {
	began, told := time.Now(), false
	err := f.d.insist(ctx, what, func() error {
		err := do()
		if err != nil && !permanent(err) && ctx.Err() == nil {
			told = true
			f.d.o.Waits(f.job.ID, began, err)
		}
		return err
	})
	if told {
		f.d.o.Waits(f.job.ID, time.Time{}, nil)
	}
	return err
}

// insist repeats do, waiting longer each time, until it succeeds, says that it never will, or ctx ends.
func (d *Dispatcher) insist(ctx context.Context, what string, do func() error) error {
	once := func(context.Context) error {
		err := do()
		if permanent(err) {
			return backoff.Final(err)
		}
		return err
	}
	return backoff.Repeat(ctx, 100*time.Millisecond, 5*time.Second, once, func(err error, wait time.Duration) {
		d.o.Log.Warn(what, "err", err, "again_in", wait)
	})
}
