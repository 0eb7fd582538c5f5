package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/backoff"
	"github.com/batholith/batholith/internal/failpoint"
)

// drive moves one job from status to status. run is its goroutine; other goroutines call the methods that report events.
type drive struct {
	l           *Lifecycle
	account, id string
	owner       string // account and principal that created the job
	role        string // ARN
	model       string // catalogue id
	created     time.Time
	trace       string // batholith.Request.Trace
	expires     time.Time
	waits       *waits
	wake        chan struct{} // 1-buffered, never closed; gets a value after every change below
	stopping    sync.Once     // a stop seen in the database cancels the work once

	// outOfPatience: the bucket has denied access to the job's outcomes for longer than Options.Patience.
	outOfPatience atomic.Bool

	// The fields from here to the mutex belong to the goroutine, except hurry.
	first     *batholith.RecordError // the job's first error in this process
	firstKept bool                   // an error is stored as the job's first one
	announced bool                   // this process wrote the manifest of the decided end
	ended     bool                   // this process set the terminal status
	slow      bool                   // the buckets were slow in an earlier validation
	// refused is when the present row of denials in validation began; published is the first try to write the final output.
	refused, published time.Time
	hurry              chan struct{} // 1-buffered, never closed; gets a value when work is cancelled
	doing              Wait          // the kind of wait, if the present step fails
	since              time.Time     // start of that wait; zero: the time of the failure
	leaveLobby         func()        // gives the job's place in the lobby back; may be called by other goroutines, and again

	mu         sync.Mutex
	calloff    context.CancelCauseFunc // cancels the work of the present status
	counts     batholith.Counts        // latest committed counters
	broken     error                   // why the job cannot continue; nil: it can
	revocation error                   // that the job's role is revoked; nil: it is not
	ending     bool                    // toEnd has begun
	inLine     bool                    // the job waits to be validated here, or is validated by another worker
	rests      pauseState              // what the present step takes the job for
	looked     pauseState              // what was seen of the job since the step began
	began      time.Time               // when this process first saw the job InProgress; zero: not yet
}

// newDrive makes a drive. Its goroutine starts with run.
func newDrive(l *Lifecycle, job batholith.Job) *drive {
	d := &drive{l: l, account: job.Account, id: job.ID, owner: job.Account + "/" + job.Owner, role: job.RoleARN, model: job.Model, created: job.Submitted, trace: job.Trace, expires: job.Expires,
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), counts: job.Counts}
	d.waits = newWaits(l, job.ID, d.spent)
	d.waits.look, d.waits.revoked, d.waits.others = d.look, d.revoke, d.othersGoOn
	return d
}

// spent is called when access was denied for longer than the patience: the job fails. A denied publication is judged in again.
func (d *drive) spent(what Wait, err error) {
	switch what {
	case ToStore:
		d.outOfPatience.Store(true)
		d.fault(err)
	case ToRead:
		d.fault(err)
	}
}

// run moves the job from status to status until it is terminal or the process ends. A step that fails is retried with backoff.
func (d *drive) run(ctx context.Context) {
	waits := newStepWaits()
	for ctx.Err() == nil {
		over, err := d.step(ctx)
		switch {
		case (over || d.ended) && err == nil: // a job that ended here need not be read again
			return
		case err == nil, errors.Is(err, batholith.ErrMoved):
			d.held(nil)
			waits = newStepWaits()
		case errors.Is(err, batholith.ErrHeld):
			// Another worker publishes. It sets the terminal status, or its lease ends; both are seen within lookEvery.
			d.pause(ctx, lookEvery)
		case ctx.Err() == nil:
			d.held(err)
			wait := waits.Next()
			d.l.o.Log.Warn("a step of the job failed; Batholith retries it", "job", d.id, "err", err, "again_in", wait)
			d.pause(ctx, wait)
		}
	}
}

// newStepWaits are the waits between attempts at one step.
func newStepWaits() *backoff.Waits { return backoff.New(firstAgain, 5*time.Second) }

// held updates the job's waits after a step: the failed one waits with err, and all others have ended. A nil error ends all of them.
func (d *drive) held(err error) {
	for _, what := range []Wait{ToValidate, ToPublish, ToEnd} {
		if err != nil && what == d.doing {
			since := d.since
			if since.IsZero() {
				since = time.Now()
			}
			d.waits.failed(what, since, err)
		} else {
			d.waits.succeeded(what)
		}
	}
}

// pause waits before a step is retried, at most until the job's deadline or a stop.
func (d *drive) pause(ctx context.Context, delay time.Duration) {
	if left := d.l.until(d.expires); left > 0 {
		delay = min(delay, left)
	}
	select {
	case <-time.After(delay):
	case <-d.hurry:
	case <-ctx.Done():
	}
}

// step does the work of the job's status, and reports whether the job is terminal. It makes the context of the work before it reads the
// job: so a stop is either in the job that it reads, or cancels the work.
func (d *drive) step(ctx context.Context) (over bool, err error) {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.mu.Lock()
	d.calloff, d.rests, d.looked = cancel, pauseUnknown, pauseUnknown
	d.mu.Unlock()
	job, err := d.l.o.Store.Job(ctx, d.account, d.id)
	if err != nil {
		return false, err
	}
	if job.Ending != "" {
		return false, d.decided(ctx, job)
	}
	work, release := context.WithTimeoutCause(work, d.l.until(job.Expires), batholith.ErrExpired)
	defer release()
	d.doing, d.since = ToEnd, time.Time{}
	if !job.Status.Terminal() {
		if again, err := d.compare(ctx, work, job); again || err != nil {
			return false, err
		}
	}
	switch job.Status {
	case batholith.StatusSubmitted:
		return false, d.submitted(ctx, work, job)
	case batholith.StatusValidating:
		return false, d.validating(ctx, work, job)
	case batholith.StatusScheduled, batholith.StatusInProgress:
		if why := failing(job); why != "" {
			return false, d.toEnd(ctx, job, batholith.EventFail, errors.New(why))
		}
		if !job.Paused.Since.IsZero() {
			return false, d.resting(ctx, work, job)
		}
		return false, d.sending(ctx, work, job)
	case batholith.StatusStopping:
		return false, d.toEnd(ctx, job, batholith.EventHalt, batholith.ErrStopped)
	}
	return true, d.depart(ctx, job)
}

// couldNotGoOn begins the message of a failing job in versions without Job.Failing.
const couldNotGoOn = "The job could not go on: "

// failing returns why a job is going to be Failed, or "". A worker of a version without Job.Failing may use the same database; it stores
// the reason in the message.
func failing(job batholith.Job) string {
	if job.Failing != "" {
		return job.Failing
	}
	why, found := strings.CutPrefix(job.Message, couldNotGoOn)
	if !found {
		return ""
	}
	return why
}

// depart ends the drive of a terminal job. If another process ended the job, it cancels this process's work on it and deletes what this
// process wrote since the other's clean-up.
func (d *drive) depart(ctx context.Context, job batholith.Job) error {
	if d.ended {
		return nil
	}
	if err := d.halt(ctx, batholith.ErrMoved); err != nil {
		return err
	}
	return d.l.clean(ctx, job) // retried until it succeeds: no sweep finds what was written after the other's clean-up
}

// submitted waits for a place among the validations, and moves the job to Validating.
func (d *drive) submitted(ctx, work context.Context, job batholith.Job) error {
	d.waitsInLine(true)
	defer d.waitsInLine(false)
	if err := d.place(work, d.l.fast); err != nil {
		return d.interrupted(ctx, work)
	}
	d.l.fast.give(d.owner)
	return d.move(ctx, job, batholith.EventValidate, "")
}

// validating checks the job and plans its chunks. It moves the job to Scheduled, or to Failed if the input is refused.
func (d *drive) validating(ctx, work context.Context, job batholith.Job) error {
	d.doing = ToValidate
	leave, err := d.undertake(ctx, work)
	if err != nil {
		return err
	}
	defer leave()
	if work.Err() != nil {
		return d.interrupted(ctx, work)
	}
	at, err := d.validate(work, job)
	no, refused := errors.AsType[*refusal](err)
	if !refused || !no.denied {
		d.refused = time.Time{}
	}
	if err != nil && (!refused || no.denied) { // the right to write may have been lost
		d.l.proofs.forget()
	}
	switch {
	case refused && no.denied && d.mayYetBeAllowed():
		return err
	case refused:
		return d.endEmpty(ctx, job, batholith.EventFail, no.message)
	case work.Err() != nil:
		return d.interrupted(ctx, work)
	case errors.Is(err, errSlow):
		return nil // it is read again, in a place for slow jobs
	case err != nil:
		return err
	}
	d.moved(job.Status, batholith.StatusScheduled, at)
	return nil
}

// mayYetBeAllowed reports whether validation was denied something for less than firstPatience. Bedrock fails such a job at once. New rights
// of a role take a moment to be known everywhere, so the job fails only after some seconds.
func (d *drive) mayYetBeAllowed() bool {
	if d.refused.IsZero() {
		d.refused = time.Now()
	}
	return time.Since(d.refused) < firstPatience
}

// sending lets dispatch send the records until the last one has its outcome, the deadline passes, a stop is requested, or the job cannot
// continue.
func (d *drive) sending(ctx, work context.Context, job batholith.Job) error {
	if work.Err() != nil { // the deadline had passed before this process started
		return d.interrupted(ctx, work)
	}
	all := job.Counts.Total > 0 && job.Counts.Processed == job.Counts.Total
	if _, broken := d.state(); broken != nil && !all { // toEnd was begun and failed
		return d.toEnd(ctx, job, batholith.EventFail, broken)
	}
	if !d.agrees(pauseNone) {
		return nil
	}
	here := job
	here.Expires = d.l.local(job.Expires) // dispatch compares it with this process's clock
	d.l.o.Dispatch.Enqueue(here)
	if job.Status == batholith.StatusInProgress {
		d.begun(time.Now())
	}
	d.committed(job.Counts)
	partial := d.partial(work)
	e, cause := d.await(work, partial)
	partial.stop()
	if e != "" {
		return d.toEnd(ctx, job, e, cause)
	}
	// Cancel requests in flight now, and not only after the job was read again.
	if cause := context.Cause(work); ctx.Err() == nil && !errors.Is(cause, batholith.ErrPaused) {
		d.atEnd(batholith.EventHalt)
		if err := d.halt(ctx, cause); err != nil {
			return err
		}
	}
	return d.interrupted(ctx, work)
}

// halt stops the sending of the job's records and keeps the first error that dispatch saw. It waits until all finished outcomes are
// committed: as long as an outage lasts. If access is denied, the shelf takes the outcomes after the patience (see spent).
func (d *drive) halt(ctx context.Context, cause error) error {
	d.noteFirst()
	if err := d.l.o.Dispatch.Halt(ctx, d.id, cause); err != nil {
		return fmt.Errorf("halt job %s: %w", d.id, err)
	}
	d.keepFirst(ctx)
	return nil
}

// observe takes in the job's state in the database, which another process may have changed.
func (d *drive) observe(job batholith.Job) {
	d.waits.seen(job.Note)
	if job.Status == batholith.StatusInProgress {
		d.begun(time.Now())
	}
	switch {
	case job.Status == batholith.StatusStopping:
		d.stopping.Do(func() { d.callOff(batholith.ErrStopped) })
	case job.Status.Terminal(), job.Status != batholith.StatusSubmitted && job.Status != batholith.StatusValidating && d.isInLine():
		d.callOff(batholith.ErrMoved)
	default:
		d.committed(job.Counts)
		d.sees(pauseOf(job))
	}
}

// await returns the event that ends the sending and its cause, or no event if the work was cancelled.
func (d *drive) await(work context.Context, partial *partial) (batholith.Event, error) {
	for {
		select {
		case <-work.Done():
			return "", nil
		case <-d.wake:
		case <-partial.due.C:
		}
		counts, broken := d.state()
		if counts.Errored > 0 {
			d.noteFirst()
			d.keepFirst(work)
		}
		switch {
		case counts.Total > 0 && counts.Processed == counts.Total:
			return batholith.EventFinish, nil
		case broken != nil:
			return batholith.EventFail, broken
		}
		partial.consider(counts)
	}
}

// interrupted handles cancelled work. After a stop or a shutdown there is nothing to do: the next step, or the next start, reads the
// status. After the deadline it ends the job, under ctx, so that a shutdown can cancel that.
func (d *drive) interrupted(ctx, work context.Context) error {
	if !errors.Is(context.Cause(work), batholith.ErrExpired) {
		return nil
	}
	current, err := d.l.o.Store.Job(ctx, d.account, d.id)
	if err != nil || current.Status.Terminal() || current.Ending != "" {
		return err
	}
	if current.Status == batholith.StatusInProgress || current.Status == batholith.StatusScheduled {
		return d.toEnd(ctx, current, batholith.EventExpire, batholith.ErrExpired)
	}
	if current.Status == batholith.StatusStopping {
		return nil
	}
	return d.endEmpty(ctx, current, batholith.EventExpire, expiry(current))
}

// move applies an event to the job as it was read. It returns batholith.ErrMoved if the status has changed since.
func (d *drive) move(ctx context.Context, job batholith.Job, e batholith.Event, message string) error {
	next, err := job.Status.Next(e)
	if err != nil {
		return err
	}
	at := time.Now()
	if err := d.l.o.Store.Move(ctx, d.id, job.Status, next, message, at); err != nil {
		return fmt.Errorf("move job %s to %s: %w", d.id, next, err)
	}
	d.moved(job.Status, next, at)
	return nil
}

// moved reports a change of the status to the log and the listener.
func (d *drive) moved(from, to batholith.Status, at time.Time) {
	failpoint.Here("lifecycle.moved")
	about := []any{"job", d.id, "from", from, "to", to}
	if to.Terminal() {
		d.mu.Lock()
		c := d.counts
		d.mu.Unlock()
		about = append(about, "records", c.Total, "answered", c.Succeeded, "errors", c.Errored)
	}
	d.l.o.Log.Info("job moved", about...)
	if f := d.l.o.Listener.Moved; f != nil {
		f(batholith.Moved{Job: d.id, Model: d.model, Trace: d.trace, Submitted: d.created, From: from, To: to, At: at})
	}
	if to.Terminal() {
		failpoint.Here("lifecycle.ended")
		d.ended = true
	}
}

// callOff cancels the work of the present status.
func (d *drive) callOff(cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.calloff != nil {
		d.calloff(cause)
	}
	select {
	case d.hurry <- struct{}{}:
	default:
	}
}

// begun notes when the job became InProgress. Only the first call counts.
func (d *drive) begun(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.began.IsZero() {
		d.began = at
	}
}

// beganAt returns that time; zero: the job is not known to be InProgress.
func (d *drive) beganAt() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.began
}

// committed takes in the job's counters. Older ones than those known are ignored.
func (d *drive) committed(c batholith.Counts) {
	d.mu.Lock()
	first := d.counts.Processed == 0 && c.Processed > 0
	if c.Processed >= d.counts.Processed {
		d.counts = c
	}
	d.mu.Unlock()
	if first {
		d.l.o.Log.Info("first outcomes of the job are stored", "job", d.id, "outcomes", c.Processed)
	}
	d.nudge()
}

// stored takes in counters after a commit by this process, which also ends the wait ToStore.
func (d *drive) stored(c batholith.Counts) {
	d.waits.succeeded(ToStore)
	d.committed(c)
}

// fault keeps the first permanent reason why the job cannot continue. If the job is at its end already, it waits for its last outcomes: the
// shelf takes those that the bucket refuses.
func (d *drive) fault(err error) {
	d.mu.Lock()
	if d.broken == nil {
		d.broken = err
	}
	ending := d.ending
	d.mu.Unlock()
	if ending {
		d.l.o.Shelf.Shelve(d.id)
	}
	d.nudge()
}

// atEnd notes that the job is being ended, by this event.
func (d *drive) atEnd(e batholith.Event) {
	d.mu.Lock()
	d.ending = true
	broken := d.broken
	d.mu.Unlock()
	if broken != nil || e == batholith.EventFail {
		d.l.o.Shelf.Shelve(d.id)
	}
}

// state returns the latest counters and the reason why the job cannot continue.
func (d *drive) state() (batholith.Counts, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts, d.broken
}

// nudge wakes await. It does not block.
func (d *drive) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}
