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

// drive is one job on its way. Its goroutine is run; the other methods tell it what happened.
type drive struct {
	l           *Lifecycle
	account, id string
	owner       string // principal whose job it is, and its account
	expires     time.Time
	waits       *waits
	wake        chan struct{} // 1-buffered; told after every change below
	stopping    sync.Once     // a stop that was seen in the database calls work off once

	// outOfPatience: the bucket has refused the job's outcomes for longer than the patience.
	outOfPatience atomic.Bool

	// From here to the mutex, all but hurry is the goroutine's own.
	first     *batholith.RecordError // the job's first error in this process
	announced bool                   // this process wrote the manifest of the decided end
	ended     bool                   // this process made the terminal move
	slow      bool                   // its buckets were slow when its input was read
	// refused is when validation was first denied something, without a break; published when the final output was first tried.
	refused, published time.Time
	hurry              chan struct{} // 1-buffered; told when work is called off
	doing              Wait          // what the present step waits for when it fails
	since              time.Time     // when it began to do only that; zero: when it failed

	mu      sync.Mutex
	calloff context.CancelCauseFunc // ends the work of the present status
	counts  batholith.Counts        // the latest that were committed
	broken  error                   // why the job cannot go on
	ending  bool                    // the job is being brought to its end
	began   time.Time               // when it was InProgress, as far as this process has seen; zero before
}

func newDrive(l *Lifecycle, job batholith.Job) *drive {
	d := &drive{l: l, account: job.Account, id: job.ID, owner: job.Account + "/" + job.Owner, expires: job.Expires,
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), counts: job.Counts}
	d.waits = newWaits(l, job.ID, d.spent)
	return d
}

// spent takes in that something was denied for longer than the patience. A denied publication is judged where it is tried.
func (d *drive) spent(what Wait, err error) {
	switch what {
	case ToStore:
		d.outOfPatience.Store(true)
		d.fault(err)
	case ToRead:
		d.fault(err)
	}
}

// run takes the job from status to status until it is terminal or the process ends. What fails for a reason that may pass is repeated.
func (d *drive) run(ctx context.Context) {
	waits := newStepWaits()
	for ctx.Err() == nil {
		over, err := d.step(ctx)
		switch {
		case (over || d.ended) && err == nil: // a job that ended here needs no other look
			return
		case err == nil, errors.Is(err, batholith.ErrMoved):
			d.held(nil)
			waits = newStepWaits()
		case errors.Is(err, batholith.ErrHeld):
			// The other makes the terminal move, which is seen as soon, or its lease runs out.
			d.pause(ctx, lookEvery)
		case ctx.Err() == nil:
			d.held(err)
			wait := waits.Next()
			d.l.o.Log.Warn("job is held up", "job", d.id, "err", err, "again_in", wait)
			d.pause(ctx, wait)
		}
	}
}

// newStepWaits are the waits before a step that failed is repeated.
func newStepWaits() *backoff.Waits { return backoff.New(firstAgain, 5*time.Second) }

// held says what the last step waits for; with a nil error it waits for nothing.
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

// pause waits before a step is repeated, but not beyond the end of the job's time, nor after a stop.
func (d *drive) pause(ctx context.Context, delay time.Duration) {
	if left := time.Until(d.expires); left > 0 {
		delay = min(delay, left)
	}
	select {
	case <-time.After(delay):
	case <-d.hurry:
	case <-ctx.Done():
	}
}

// step does what the job's status asks for. The work is under a context of its own before the job is read, so that a stop is either
// in what was read or calls the work off.
func (d *drive) step(ctx context.Context) (over bool, err error) {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.mu.Lock()
	d.calloff = cancel
	d.mu.Unlock()
	job, err := d.l.o.Store.Job(ctx, d.account, d.id)
	if err != nil {
		return false, err
	}
	if job.Ending != "" {
		return false, d.decided(ctx, job)
	}
	work, release := context.WithDeadlineCause(work, job.Expires, batholith.ErrExpired)
	defer release()
	d.doing, d.since = ToEnd, time.Time{}
	switch job.Status {
	case batholith.StatusSubmitted:
		return false, d.submitted(ctx, work, job)
	case batholith.StatusValidating:
		return false, d.validating(ctx, work, job)
	case batholith.StatusScheduled, batholith.StatusInProgress:
		if why := failing(job); why != "" {
			return false, d.toEnd(ctx, job, batholith.EventFail, errors.New(why))
		}
		return false, d.sending(ctx, work, job)
	case batholith.StatusStopping:
		return false, d.toEnd(ctx, job, batholith.EventHalt, batholith.ErrStopped)
	}
	return true, d.depart(ctx, job)
}

// failing returns why a job is on its way to Failed, or "" when it is not. A worker of a version without Job.Failing may still run on the
// same database; it keeps the reason in the message.
func failing(job batholith.Job) string {
	if job.Failing != "" {
		return job.Failing
	}
	why, _ := strings.CutPrefix(job.Message, couldNotGoOn)
	if why == job.Message {
		return ""
	}
	return why
}

// depart lets go of a job that is over. When another process ended it, what this one still had of it is called off, and what it wrote
// since the other's clean-up is cleaned up.
func (d *drive) depart(ctx context.Context, job batholith.Job) error {
	if d.ended {
		return nil
	}
	if err := d.halt(ctx, batholith.ErrMoved); err != nil {
		return err
	}
	return d.l.clean(ctx, job) // repeated until it succeeds: no sweep would find what came after the other's clean-up
}

// submitted waits for a place among the validations.
func (d *drive) submitted(ctx, work context.Context, job batholith.Job) error {
	if err := d.place(work, d.l.fast); err != nil {
		return d.interrupted(ctx, work)
	}
	d.l.fast.give(d.owner)
	return d.move(ctx, job, batholith.EventValidate, "")
}

// validating checks the job and plans its work.
func (d *drive) validating(ctx, work context.Context, job batholith.Job) error {
	d.doing = ToValidate
	at, err := d.validate(work, job)
	no, refused := errors.AsType[*refusal](err)
	if !refused || !no.denied {
		d.refused = time.Time{}
	}
	if err != nil && (!refused || no.denied) { // a bucket may be at fault
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
		return nil // it is read again, beside the others
	case err != nil:
		return err
	}
	d.moved(job.Status, batholith.StatusScheduled, at)
	return nil
}

// mayYetBeAllowed tells whether a denial in validation is young. Bedrock fails a job at once; a role's rights take a moment to be known
// everywhere, and so the job fails after some seconds.
func (d *drive) mayYetBeAllowed() bool {
	if d.refused.IsZero() {
		d.refused = time.Now()
	}
	return time.Since(d.refused) < firstPatience
}

// sending has the records sent until the last has its outcome, the time is over, a stop was asked for, or the job cannot go on.
func (d *drive) sending(ctx, work context.Context, job batholith.Job) error {
	if work.Err() != nil { // a process that starts when the time is over sends nothing any more
		return d.interrupted(ctx, work)
	}
	all := job.Counts.Total > 0 && job.Counts.Processed == job.Counts.Total
	if _, broken := d.state(); broken != nil && !all { // the end was begun, and an outage interrupted it
		return d.toEnd(ctx, job, batholith.EventFail, broken)
	}
	if err := d.l.o.Dispatch.Enqueue(job); err != nil {
		return d.toEnd(ctx, job, batholith.EventFail, err)
	}
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
	// What is in flight ends now, not only when the database says how the job stands.
	if cause := context.Cause(work); ctx.Err() == nil {
		d.atEnd(batholith.EventHalt)
		if err := d.halt(ctx, cause); err != nil {
			return err
		}
	}
	return d.interrupted(ctx, work)
}

// halt calls off what the dispatcher has of the job, and keeps the first error that it saw. It waits until everything that was finished is
// stored: for an outage as long as it takes, for access that is denied until the patience is over, when the shelf takes it (see spent).
func (d *drive) halt(ctx context.Context, cause error) error {
	if first := d.l.o.Dispatch.FirstError(d.id); first != nil {
		d.first = first
	}
	if err := d.l.o.Dispatch.Halt(ctx, d.id, cause); err != nil {
		return fmt.Errorf("halt job %s: %w", d.id, err)
	}
	return nil
}

// observe takes in how the job stands in the database, where another process may have changed it.
func (d *drive) observe(job batholith.Job) {
	d.waits.seen(job.Note)
	if job.Status == batholith.StatusInProgress {
		d.begun(time.Now())
	}
	switch {
	case job.Status == batholith.StatusStopping:
		d.stopping.Do(func() { d.callOff(batholith.ErrStopped) })
	case job.Status.Terminal():
		d.callOff(batholith.ErrMoved)
	default:
		d.committed(job.Counts)
	}
}

// await returns the event that ends the sending and its cause, or no event when the work was called off.
func (d *drive) await(work context.Context, partial *partial) (batholith.Event, error) {
	for {
		select {
		case <-work.Done():
			return "", nil
		case <-d.wake:
		case <-partial.due.C:
		}
		counts, broken := d.state()
		switch {
		case counts.Total > 0 && counts.Processed == counts.Total:
			return batholith.EventFinish, nil
		case broken != nil:
			return batholith.EventFail, broken
		}
		partial.consider(counts)
	}
}

// interrupted says what becomes of a job whose work was called off: nothing for a stop or a shutdown, which are in the store or will
// be found there at the next start; the end, when its time has passed. The end is made under ctx, which lasts as long as the process, so
// that a shutdown calls it off.
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

// move applies an event to the job as it was read.
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

// moved tells of a change of the status.
func (d *drive) moved(from, to batholith.Status, at time.Time) {
	failpoint.Here("lifecycle.moved")
	d.l.o.Log.Info("job moved", "job", d.id, "from", from, "to", to)
	if f := d.l.o.Listener.Moved; f != nil {
		f(batholith.Moved{Job: d.id, From: from, To: to, At: at})
	}
	if to.Terminal() {
		failpoint.Here("lifecycle.ended")
		d.ended = true
	}
}

// callOff ends the work of the present status.
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

// begun takes in that the job is InProgress; beganAt tells since when this process has known it.
func (d *drive) begun(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.began.IsZero() {
		d.began = at
	}
}

func (d *drive) beganAt() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.began
}

func (d *drive) committed(c batholith.Counts) {
	d.mu.Lock()
	if c.Processed >= d.counts.Processed {
		d.counts = c
	}
	d.mu.Unlock()
	d.nudge()
}

// stored says that outcomes of the job were stored by this process just now.
func (d *drive) stored(c batholith.Counts) {
	d.waits.succeeded(ToStore)
	d.committed(c)
}

// fault keeps the first reason why the job cannot go on, if it is one that will not pass. A job that is at its end has what the bucket
// refuses written to the shelf: it waits for its last outcomes.
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

// atEnd says that the job is being brought to its end, by this event.
func (d *drive) atEnd(e batholith.Event) {
	d.mu.Lock()
	d.ending = true
	broken := d.broken
	d.mu.Unlock()
	if broken != nil || e == batholith.EventFail {
		d.l.o.Shelf.Shelve(d.id)
	}
}

func (d *drive) state() (batholith.Counts, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts, d.broken
}

func (d *drive) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}
