package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/jsonl"
	printable "github.com/batholith/batholith/internal/plain"
)

// Waiting between the counted attempts of a record: doubling, with jitter.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// send makes one attempt at a record and settles it.
func (l *lane) send(it *item) {
	if !l.q.d.holds() { // seen before the next heartbeat, which may hang: whoever put the record back would take it again at once
		it.feed.interrupt(batholith.ErrLeaseLost)
		it.feed.drop(it)
		return
	}
	r := room{l: l, it: it, b: l.q.d.o.Room}
	defer r.release()
	answer, err := l.ask(it, &r)
	var bad *batholith.RecordError
	var failure *batholith.Failure
	var broken *batholith.Broken
	switch {
	case err == nil:
		it.attempts++
		l.succeeded(it, float64(max(answer.Tokens.Output, 1)))
		l.retries.earn()
		it.feed.retries.earn()
		l.conclude(it, batholith.OutcomeAnswer, answer, nil)
	case errors.As(err, &bad):
		kind := batholith.OutcomeInvalid
		if it.attempts > 0 { // a translation that fails does so before the first
			kind = batholith.OutcomeRefused
		}
		l.conclude(it, kind, batholith.Answer{}, bad)
	case errors.As(err, &broken):
		kind := batholith.OutcomeInvalid
		if it.attempts > 0 {
			kind = batholith.OutcomeExhausted
		}
		l.conclude(it, kind, batholith.Answer{}, it.feed.broken(it, broken))
	case errors.As(err, &failure) && it.term.Err() == nil:
		l.settle(it, failure)
	default:
		it.feed.drop(it)
	}
}

// ask translates, sends, and translates back. A panic in one of the three is a [*batholith.Broken].
func (l *lane) ask(it *item, r *room) (answer batholith.Answer, err error) {
	var call batholith.Call
	err = batholith.Guard("translate a record for the model server", func() (err error) {
		defer r.b.Alone(len(it.input))()
		call, err = it.feed.dialect.Request(it.input, l.backend.ModelName())
		return err
	})
	if err != nil {
		return answer, recordError(err)
	}
	call.Room = r
	it.flight = l.limit.Begin()
	var body []byte
	err = batholith.Guard("read an answer", func() (err error) {
		body, err = l.backend.Do(it.term, call)
		return err
	})
	l.limit.Land(&it.flight)
	if err != nil {
		return answer, l.unread(it, err)
	}
	err = batholith.Guard("translate an answer", func() (err error) {
		defer r.b.Alone(len(body))()
		answer, err = it.feed.dialect.Answer(it.input, call, body)
		return err
	})
	if err == nil {
		return answer, nil
	}
	_ = batholith.Guard("read what an answer took", func() error {
		it.wasted = it.wasted.Add(dialect.Usage(body))
		return nil
	})
	if _, ok := errors.AsType[*batholith.RecordError](err); ok {
		it.attempts++
		return batholith.Answer{}, err
	}
	if _, ok := errors.AsType[*batholith.Broken](err); ok {
		it.attempts++
		return batholith.Answer{}, err
	}
	return batholith.Answer{}, nonsense(err)
}

// unread makes a panic over what a server sent a failure like others: the next answer may be read.
func (l *lane) unread(it *item, err error) error {
	broken, ok := errors.AsType[*batholith.Broken](err)
	if !ok {
		return err
	}
	e := it.feed.broken(it, broken)
	return &batholith.Failure{Kind: batholith.FailureRetry, Message: e.Message, Public: e.Message, Sent: true}
}

// broken logs a panic over one record, and returns the error that its line gets.
func (f *feed) broken(it *item, e *batholith.Broken) *batholith.RecordError {
	f.d.o.Log.Error("internal error over a record", "job", f.job.ID, "file", it.key.File, "record", it.key.Record, "doing", e.Doing, "what", e.What, "stack", e.Stack)
	return &batholith.RecordError{Code: http.StatusInternalServerError, Message: "Batholith could not handle this record because of an internal error; its log says where"}
}

// recordError is what a dialect says of a body that it cannot translate: the record's own fault, unless the dialect itself is broken.
func recordError(err error) error {
	var e *batholith.RecordError
	if errors.As(err, &e) {
		return &batholith.RecordError{Code: e.Code, Message: printable.Line(e.Message)} // it repeats names of members
	}
	var broken *batholith.Broken
	if errors.As(err, &broken) {
		return broken
	}
	return &batholith.RecordError{Code: http.StatusBadRequest, Message: printable.Line(err.Error())}
}

// nonsense is an answer that is not what the protocol promises. A dialect may have found a failure in it that is better known.
func nonsense(err error) error {
	var f *batholith.Failure
	if errors.As(err, &f) {
		return f
	}
	return &batholith.Failure{Kind: batholith.FailureRetry, Status: http.StatusOK, Message: err.Error(), Public: "the answers make no sense", Sent: true}
}

// settle decides what a failure means for the record and for the backend.
func (l *lane) settle(it *item, f *batholith.Failure) {
	if f.Kind == batholith.FailureRetry && l.limit.OnTrial() {
		l.tried(it, f)
		return
	}
	switch f.Kind {
	case batholith.FailureBackPressure:
		if wait := l.limit.Refused(it.flight, f.RetryAfter); wait > 0 {
			it.feed.again(it, wait)
			return
		}
		it.feed.back(it)
	case batholith.FailureMisconfigured, batholith.FailureUnreachable:
		l.takeOut(l.q.d.send, reason(f))
		it.feed.back(it)
	case batholith.FailureBadRecord:
		it.attempts++
		l.succeeded(it, 0)
		l.conclude(it, batholith.OutcomeRefused, batholith.Answer{}, &batholith.RecordError{Code: f.Status, Message: f.Message})
	default:
		it.attempts++
		l.failed(f)
		if f.Crash {
			l.crashed(it, f)
			return
		}
		if it.attempts < l.q.d.o.Attempts {
			it.feed.again(it, l.pace(it, f))
			return
		}
		l.conclude(it, batholith.OutcomeExhausted, batholith.Answer{}, spent(f, it.attempts))
	}
}

// pace is how long a record waits for its next attempt: longer when its job or the backend has spent its retries.
func (l *lane) pace(it *item, f *batholith.Failure) time.Duration {
	delay := retryDelay(it.attempts, f.RetryAfter)
	backend, job := l.retries.spend(), it.feed.retries.spend()
	if !backend || !job {
		delay = max(delay, overBudget)
	}
	return delay
}

// retryDelay is how long a record waits after so many attempts, at least what the backend asked for.
func retryDelay(attempts int, asked time.Duration) time.Duration {
	d := min(firstRetry<<(attempts-1), lastRetry)
	return max(d/2+time.Duration(rand.Int64N(int64(d))), min(asked, time.Minute))
}

// spent is the error of a record that got all its attempts.
func spent(f *batholith.Failure, attempts int) *batholith.RecordError {
	code := f.Status
	if code < 400 {
		code = http.StatusInternalServerError
	}
	return &batholith.RecordError{Code: code, Message: fmt.Sprintf("%s (after %d attempts)", f.Message, attempts)}
}

// conclude hands a record's outcome to the sink. A sink that does not take it, because the process ends, leaves the record to the
// next owner of its chunk.
func (l *lane) conclude(it *item, kind batholith.OutcomeKind, a batholith.Answer, e *batholith.RecordError) {
	f := it.feed
	failpoint.Here("dispatch.answered")
	if err := f.d.add(f.outcome(it, kind, a, e)); err != nil {
		f.drop(it)
		return
	}
	if note := f.watch(e); note != "" {
		if err := f.d.o.Store.Note(context.WithoutCancel(f.d.send), f.job.ID, note); err != nil {
			f.d.o.Log.Warn("note on job", "job", f.job.ID, "err", err)
		}
	}
	f.share(it, a, e != nil)
	f.finish(it, a.Tokens.Add(it.wasted))
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
		o.Line = jsonl.AppendOutput(make([]byte, 0, room), it.id, it.input, a.Output)
	}
	return o
}
