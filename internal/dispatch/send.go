package dispatch

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
	printable "github.com/batholith/batholith/internal/plain"
)

// send makes one attempt at a record, or concludes a record that is not sent again.
func (it *item) send(l *lane) {
	defer l.gives(it, it.taken)
	if l.turnsDown(it) {
		return
	}
	r := room{l: l, flight: &it.flight, b: l.d.o.Room}
	defer r.release()
	answer, err := l.ask(it, &r)
	l.landed(it)
	l.report(it, answer, err)
	l.settle(it, answer, err)
}

// turnsDown reports whether a record is not sent now. If so, it has gone where it belongs: to its line, or back to its feed.
func (l *lane) turnsDown(it *item) bool {
	switch {
	case it.ends:
		l.end(it)
		return true
	case it.feed.resting.Load(): // it was taken before the pause
		it.feed.drop(it)
		return true
	case !l.d.holds(): // drop it: a record that is put back would be taken again at once, until a heartbeat notices the lost lease
		it.feed.interrupt(batholith.ErrLeaseLost)
		it.feed.drop(it)
		return true
	}
	if why := it.feed.queue.beyond(it); why != nil {
		it.asked = false
		l.conclude(it, batholith.OutcomeInvalid, batholith.Answer{}, why)
		return true
	}
	switch {
	case len(it.places) > 0 && it.objects == nil: // it waited after a failure, and kept no memory
		it.feed.restage(it)
		return true
	case !it.trial && l.works() && !it.feed.begin(l.d.send):
		it.feed.drop(it)
		return true
	}
	return false
}

// settle takes in how an attempt ended: the record gets its line, waits for another attempt, or goes back to its feed.
func (l *lane) settle(it *item, answer batholith.Answer, err error) {
	var bad *batholith.RecordError
	var failure *batholith.Failure
	var broken *batholith.Broken
	var unread *batholith.MediaError
	switch {
	case errors.As(err, &unread):
		l.d.o.Log.Warn("a request was broken off because an object of its record could not be read; the record waits", "job", it.feed.job.ID, "record", it.key.Record, "file", it.key.File, "err", unread)
		it.feed.restage(it)
	case err == nil:
		it.attempts++
		l.succeeded(it, float64(max(answer.Tokens.Output, 1)))
		l.conclude(it, batholith.OutcomeAnswer, answer, nil)
	case !it.asked && it.passedOn(l, err):
		it.feed.back(it)
	case errors.As(err, &bad):
		kind := batholith.OutcomeInvalid
		if it.asked { // false: the request could not be translated, so nothing was sent
			it.attempts++
			kind = batholith.OutcomeRefused
			l.succeeded(it, 0) // the server works, but the model cannot do what the record asks for
		}
		l.conclude(it, kind, batholith.Answer{}, bad)
	case errors.As(err, &broken):
		kind := batholith.OutcomeInvalid
		if it.asked {
			it.attempts++
			kind = batholith.OutcomeExhausted
		}
		l.conclude(it, kind, batholith.Answer{}, it.feed.broken(it, broken))
	case errors.As(err, &failure):
		l.failed(it, failure)
	default:
		it.feed.drop(it)
	}
}

// alone implements errand.
func (it *item) alone() bool { return it.apart }

// recall implements errand: the record goes back to its feed.
func (it *item) recall(l *lane) {
	l.gives(it, time.Now())
	it.feed.back(it)
}

// works reports whether the lane has answered something since its latest outage.
func (l *lane) works() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.answered.IsZero()
}

// ask translates a record, sends it, and translates the answer. A panic in one of these steps is returned as a [*batholith.Broken].
func (l *lane) ask(it *item, r *room) (answer batholith.Answer, err error) {
	it.asked, it.began = false, time.Time{}
	var call batholith.Call
	input := it.input
	translator := it.feed.dialect(l.backend.Protocol())
	err = batholith.Guard("translate a record for the model server", func() (err error) {
		defer r.b.Alone(len(it.input))()
		var media []batholith.Medium
		input, media = it.body()
		call, err = translator.Request(input, l.backend.ModelName())
		call.Media = media
		return err
	})
	if err != nil {
		return answer, recordError(err)
	}
	it.fix()
	call.Room, call.Fresh = r, it.again() && it.failure.Kind != batholith.FailureBackPressure
	it.once = call.ServerTools
	l.sets(it)
	var body []byte
	err = batholith.Guard("read an answer", func() (err error) {
		body, err = l.exchange(it, &call)
		return err
	})
	l.limit.Land(&it.flight)
	if err != nil {
		return answer, l.unread(it, err)
	}
	call.Took = it.flight.Took()
	err = batholith.Guard("translate an answer", func() (err error) {
		defer r.b.Alone(len(body))()
		answer, err = translator.Answer(input, call, body)
		return err
	})
	if err == nil {
		answer.Source = l.source(answer.Model, it.feed.recipe(l.backend), call.Changes)
		return answer, nil
	}
	_ = batholith.Guard("read what an answer took", func() error {
		it.wasted = it.wasted.Add(dialect.Usage(l.backend.Protocol(), body))
		return nil
	})
	if _, ok := errors.AsType[*batholith.RecordError](err); ok {
		return batholith.Answer{}, err
	}
	if _, ok := errors.AsType[*batholith.Broken](err); ok {
		return batholith.Answer{}, err
	}
	if errors.Is(err, dialect.ErrModel) && it.prompt.Fixed { // the same request would get the same answer
		return batholith.Answer{}, &batholith.RecordError{Code: http.StatusInternalServerError, Message: err.Error()}
	}
	return batholith.Answer{}, nonsense(err, body)
}

// exchange sends a call and returns the body of its answer. If the server refuses an optional member of the request, exchange sends the
// call again without it. When that is answered, the lane leaves the member out from then on. The refused request counts as an attempt, and
// not as a failure of the record. A request that was refused because of our priority counts as nothing, since the member is ours.
func (l *lane) exchange(it *item, call *batholith.Call) ([]byte, error) {
	*call = dialect.Without(l.ranked(*call), batholith.Spare(l.spared.Load()))
	for without := batholith.Spare(0); ; {
		it.span.sign(call)
		body, err := l.backend.Do(it.term, *call)
		if err == nil {
			l.spares(without)
			return body, nil
		}
		f, ok := errors.AsType[*batholith.Failure](err)
		if !ok || it.term.Err() != nil {
			return nil, err
		}
		refused := dialect.Refused(*call, f)
		if refused == 0 {
			return nil, err
		}
		without |= refused
		*call = dialect.Without(*call, refused)
		l.limit.Land(&it.flight)
		if dialect.IsPriority(refused) {
			err = uncounted(f)
		} else {
			it.attempts++
		}
		l.report(it, batholith.Answer{}, err)
		l.limit.Succeeded(it.flight, 0) // the server works
		l.landed(it)
		l.sets(it)
	}
}

// sets notes that a request of the record is sent now.
func (l *lane) sets(it *item) {
	it.flight = l.limit.Begin()
	if t := l.d.o.Tracer; t != nil {
		it.span.parent, it.span.done = t.Record(it.feed.job.Trace, it.told(l))
	}
	defer func() {
		if sent := l.d.o.Listener.Sent; sent != nil {
			sent(it.told(l))
		}
	}()
	l.mu.Lock()
	defer l.mu.Unlock()
	it.asked, it.began = true, it.flight.Sent()
	l.begun++
	it.before = l.begun
	it.sole = l.limit.InFlight() == 1 && l.canary.flying == 0
	l.at(it.class).sent(it.began)
	l.d.flying.Add(1)
	if it.again() {
		l.retries.flying++
	}
}

// landed notes that the request has ended, and updates the retry credit with the time that it held a slot.
func (l *lane) landed(it *item) {
	if !it.asked {
		return
	}
	took := it.flight.Took()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at(it.class).flying--
	l.d.flying.Add(-1)
	it.sole = it.sole && l.begun == it.before
	if !it.again() {
		l.retries.earn(took, l.limit.Size())
		return
	}
	l.retries.flying--
	defer l.signal() // a retry that waits for credit may go now
	if !it.apart {   // sendAlone pays for all slots
		l.retries.spend(took, 1)
	}
}

// again reports whether the record was sent before.
func (it *item) again() bool { return it.failure != nil }

// unread turns a panic over an answer into a retryable failure: the next answer may be readable.
func (l *lane) unread(it *item, err error) error {
	broken, ok := errors.AsType[*batholith.Broken](err)
	if !ok {
		return err
	}
	e := it.feed.broken(it, broken)
	return &batholith.Failure{Kind: batholith.FailureRetry, Message: e.Message, Public: e.Message, Sent: true}
}

// broken logs a panic over one record, and returns the error for the record's line.
func (f *feed) broken(it *item, e *batholith.Broken) *batholith.RecordError {
	f.d.o.Log.Error("internal error over a record", "job", f.job.ID, "file", it.key.File, "record", it.key.Record, "doing", e.Doing, "what", e.What, "stack", e.Stack)
	return &batholith.RecordError{Code: http.StatusInternalServerError, Message: "Batholith could not process this record because of an internal error. Report it with the entry in the server's log"}
}

// recordError is the error line of a body that a dialect cannot translate. A panic of the dialect stays a *batholith.Broken.
func recordError(err error) error {
	var e *batholith.RecordError
	if errors.As(err, &e) {
		return &batholith.RecordError{Code: e.Code, Message: printable.Line(e.Message)} // the message may repeat names from the record
	}
	var broken *batholith.Broken
	if errors.As(err, &broken) {
		return broken
	}
	return &batholith.RecordError{Code: http.StatusBadRequest, Message: printable.Line(err.Error())}
}

// nonsense is the failure for an answer, body, that violates the protocol. If the dialect found a more exact failure in it, that one is returned.
func nonsense(err error, body []byte) error {
	var f *batholith.Failure
	if errors.As(err, &f) {
		return f
	}
	public := "its answers are not valid"
	if start := body[:min(len(body), 64)]; bytes.HasPrefix(bytes.TrimSpace(start), []byte("<")) {
		public = "it answers with a web page (HTML) where JSON is expected"
	}
	return &batholith.Failure{Kind: batholith.FailureRetry, Status: http.StatusOK, Message: err.Error(), Public: public, Sent: true}
}

// startBegin moves the job to InProgress in a goroutine, so that no slot waits for the database. The caller holds queue.mu.
func (f *feed) startBegin(now time.Time) {
	if f.starting {
		return
	}
	f.starting, f.startedAt = true, now
	f.d.wg.Go(func() {
		if !f.begin(f.d.take) { // the job cannot begin here any more
			return
		}
		f.queue.mu.Lock()
		defer f.queue.mu.Unlock()
		f.starting = false
		f.queue.wake()
	})
}

// begin moves the job to InProgress if it is not yet, and waits for that. It returns false if the job cannot begin, or if until has ended.
func (f *feed) begin(until context.Context) bool {
	if f.begun.Load() {
		return true
	}
	select {
	case f.beginning <- struct{}{}:
		defer func() { <-f.beginning }()
	case <-f.life.Done():
		return false
	case <-until.Done():
		return false
	}
	if f.begun.Load() {
		return true
	}
	ctx, cancel := context.WithCancelCause(f.life)
	defer cancel(nil)
	defer context.AfterFunc(until, func() { cancel(context.Cause(until)) })()
	err := f.insist(ctx, "begin job "+f.job.ID, func() error { return f.d.o.Begin(ctx, f.job.ID) })
	if err != nil {
		if ctx.Err() != nil { // not the job's fault: another process may begin it
			return false
		}
		if !errors.Is(err, batholith.ErrMoved) {
			f.d.o.Fault(f.job.ID, err)
		}
		f.cancel(err)
		return false
	}
	f.begun.Store(true)
	return true
}

// report tells the listener how an attempt ended.
func (l *lane) report(it *item, a batholith.Answer, err error) {
	it.span.end(a.Tokens, err)
	o := &l.d.o.Listener
	if !it.asked || o.Answered == nil && o.Refused == nil && o.Failed == nil {
		return
	}
	at := it.told(l)
	at.Took = it.flight.Took()
	f, _ := errors.AsType[*batholith.Failure](err)
	switch {
	case err == nil:
		if o.Answered != nil {
			o.Answered(at, a.Tokens)
		}
	case f != nil && f.Kind == batholith.FailureBackPressure:
		if o.Refused != nil {
			o.Refused(at, f)
		}
	case o.Failed != nil:
		o.Failed(at, f)
	}
}

// told describes the present attempt for the listener.
func (it *item) told(l *lane) batholith.Attempt {
	return batholith.Attempt{Job: it.feed.job.ID, Model: it.feed.queue.model, Backend: l.backend.String(), Path: it.class.path, Protocol: l.backend.Protocol(), Record: it.key, Number: it.attempts + 1}
}
