package dispatch

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/jsonl"
)

// spent is the error line of a record that is not sent again: the server's status and message, and the number of attempts. The code is 500
// if the server gave no error status, for example after a broken connection.
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

// end concludes a record with its latest failure.
func (l *lane) end(it *item) {
	kind, e := it.spent()
	l.conclude(it, kind, batholith.Answer{}, e)
}

// conclude gives a record's outcome to the sink. If the sink does not take it, because the process ends, the record is sent again by the
// next owner of its chunk.
func (l *lane) conclude(it *item, kind batholith.OutcomeKind, a batholith.Answer, e *batholith.RecordError) {
	f := it.feed
	failpoint.Here("dispatch.answered")
	if !f.begin(f.d.send) {
		f.drop(it)
		return
	}
	f.counts(it, kind, &a)
	o := f.outcome(it, kind, a, e)
	o.Canaries = l.takeCanaries(it.class)
	if err := f.d.add(o); err != nil {
		f.drop(it)
		return
	}
	f.notes(e)
	f.judges(it, kind, e)
	f.share(it, a, e != nil)
	f.concludes(it, a.Tokens.Add(it.wasted), e == nil)
}

// notes writes the job's note about its first records, if a record ended in a way that the user should hear of. e is the record's error, or nil.
func (f *feed) notes(e *batholith.RecordError) {
	note := f.opening(e)
	if note == "" {
		return
	}
	if err := f.d.o.Store.Note(context.WithoutCancel(f.d.send), f.job.ID, note); err != nil {
		f.d.o.Log.Warn("note on job", "job", f.job.ID, "err", err)
	}
}

// outcome builds a record's outcome with its output line. Exactly one of a and e is used: e if it is not nil.
func (f *feed) outcome(it *item, kind batholith.OutcomeKind, a batholith.Answer, e *batholith.RecordError) batholith.Outcome {
	o := batholith.Outcome{Job: f.job.ID, Key: it.key, Chunk: it.chunk.N, First: it.chunk.First, Epoch: it.chunk.Epoch,
		Errored: e != nil, Kind: kind, Tokens: a.Tokens, Wasted: it.wasted, Attempts: it.attempts}
	input := it.input
	if f.silent.Load() {
		input = nil
	}
	room := len(it.id) + len(input) + len(a.Output) + 64
	defer f.d.o.Room.Alone(room)()
	if e != nil {
		o.Line = jsonl.AppendError(make([]byte, 0, room+len(e.Message)), it.id, input, e)
	} else {
		o.Source = a.Source
		if f.d.tuned().Sourced {
			o.Line = jsonl.AppendSourced(make([]byte, 0, room+128), it.id, input, a.Output, a.Source)
		} else {
			o.Line = jsonl.AppendOutput(make([]byte, 0, room), it.id, input, a.Output)
		}
	}
	return o
}

// lands removes a record from the records in flight, and charges tokens to the shares. For a record without an answer tokens is the slot's
// time, converted by item.cost, so that a principal whose records all fail gets no larger part of the server than others. The caller holds
// queue.mu.
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

// cost converts the slot time of a failed attempt to tokens:
//
//	cost = (time in flight + rest) × mean tokens per record / mean time per answered attempt
func (it *item) cost() float64 {
	q := it.feed.queue
	if !it.asked || q.meanTook.n == 0 {
		return 0
	}
	return (it.flight.Took() + it.rest).Seconds() / max(q.meanTook.or(1), 1e-6) * (q.meanIn.or(0) + q.meanOut.or(0))
}

// concludes ends a record whose outcome is with the sink, and charges the tokens that it took.
func (f *feed) concludes(it *item, took batholith.Tokens, answered bool) {
	q := f.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	tokens := float64(took.Input) + float64(took.Output)
	if answered {
		f.refused, f.refusals = 0, f.refusals/2
	}
	if tokens > 0 {
		if it.prompt.MaxTokens > 0 {
			f.meanMost.add(float64(it.prompt.MaxTokens))
		}
		if k := it.kin; k != nil {
			k.add(took.Output, it.prompt.MaxTokens)
		}
		for _, m := range [...]struct{ in, out *average }{{&f.meanIn, &f.meanOut}, {&q.meanIn, &q.meanOut}} {
			m.in.add(float64(took.Input))
			m.out.add(float64(took.Output))
		}
		q.meanTook.add(it.flight.Took().Seconds())
	}
	switch {
	case answered:
		tokens = cmp.Or(tokens, it.charged) // the estimate, if the server reported none
	case !it.ends: // a record that ends after a wait was charged for its last attempt already
		tokens = max(tokens, it.cost())
	}
	q.rate.add(tokens, time.Now())
	f.concluded++
	delete(f.unended, it)
	f.unload(it)
	f.lands(it, tokens)
	if it.chunk.left--; it.chunk.left == 0 && it.chunk.holding == f.holding {
		f.held, q.held = f.held-it.chunk.Bytes, q.held-it.chunk.Bytes
		delete(f.loaded, it.chunk)
		it.chunk.hold.Release()
	}
	q.grant()
}

// wait puts a failed record among the waiting ones; it is judged again after the delay.
func (f *feed) wait(it *item, delay time.Duration) {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.lands(it, it.cost())
	f.unload(it)
	if !it.over() {
		it.due = time.Now().Add(delay)
		it.apart = false
		heap.Push(&f.later, it)
		if f.told == "" {
			f.tell() // its class may be paused: the note must say so
		}
		f.queue.wake()
	}
}

// back puts a record back into its place, as if it had not been taken.
func (f *feed) back(it *item) {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.lands(it, 0)
	if it.over() {
		f.unload(it)
		return
	}
	if it.again() { // it keeps its earlier failures, so it belongs to the waiting records
		f.unload(it)
		it.apart = false
		it.due = time.Now()
		heap.Push(&f.later, it)
	} else {
		if len(it.places) > 0 {
			f.media.ahead++
		}
		f.ready.back(it)
	}
	f.queue.wake()
}

// drop removes a cancelled record. Its chunk is claimed again, or its job has ended.
func (f *feed) drop(it *item) {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.lands(it, 0)
	delete(f.unended, it)
	f.unload(it)
}
