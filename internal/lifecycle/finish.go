package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/plain"
)

// toEnd brings a job that was planned to its end: halt, seal and claim, publish, decide, announce, clean, move. An error means that it is
// to be called again.
func (d *drive) toEnd(ctx context.Context, job batholith.Job, e batholith.Event, cause error) error {
	d.atEnd(e)
	if err := d.halt(ctx, cause); err != nil {
		return err
	}
	failpoint.Here("lifecycle.halted")
	// Why a job fails is stored with the seal, since a later process could not find it out again; every other end can be read off the job:
	// its counters, its time or its status.
	why := ""
	if e == batholith.EventFail {
		why = cmp.Or(cause.Error(), noReason)
	}
	epoch, err := d.l.o.Store.SealToPublish(ctx, d.id, why, d.l.o.Worker)
	if err != nil {
		return fmt.Errorf("seal job %s: %w", d.id, err)
	}
	failpoint.Here("lifecycle.sealed")
	delivering, err := d.sealed(ctx, epoch, e, cause)
	if epoch != 0 && !delivering {
		d.yield(ctx, epoch)
	}
	return err
}

// noReason is why a job fails that failed for no reason that was told.
const noReason = "the reason is not known"

// sealed ends a job that is sealed. The epoch is that of its publication, 0 when this worker has not claimed it. It tells whether the
// publication went on to deliver, which yields by itself.
func (d *drive) sealed(ctx context.Context, epoch int64, e batholith.Event, cause error) (delivering bool, err error) {
	job, err := d.l.o.Store.Job(ctx, d.account, d.id) // with the counters that are final now
	if err != nil {
		return false, err
	}
	if job.Ending != "" {
		return false, nil // another has published it: the next step waits for that one, or takes its place
	}
	if e == batholith.EventExpire && job.Counts.Total > 0 && job.Counts.Processed == job.Counts.Total {
		e = batholith.EventFinish // the last record made it
	}
	if e != batholith.EventHalt && job.Status == batholith.StatusStopping {
		return false, batholith.ErrMoved // a stop came first
	}
	if why := failing(job); why != "" && e != batholith.EventHalt { // another worker found out first that the job cannot go on
		e, cause = batholith.EventFail, errors.New(why)
	}
	next, err := job.Status.Next(e)
	if err != nil {
		return false, batholith.ErrMoved
	}
	message := ending(job, next, cause, d.first)
	if next == batholith.StatusExpired { // nothing of it was ever sent
		return false, d.endEmpty(ctx, job, e, message)
	}
	if job.Counts.Total == 0 {
		files, err := d.l.o.Store.Files(ctx, d.id)
		if err != nil {
			return false, err
		}
		if len(files) == 0 { // it was stopped before it had a plan
			return false, d.endEmpty(ctx, job, e, message)
		}
	}
	return true, d.deliver(ctx, job, epoch, next, message)
}

// deliver publishes the final output of a sealed job and brings it to its terminal status, as the one publisher it has, under an epoch that
// was claimed; 0: it claims one. While another worker publishes, it is batholith.ErrHeld.
func (d *drive) deliver(ctx context.Context, job batholith.Job, epoch int64, next batholith.Status, message string) (err error) {
	d.doing = ToPublish
	if epoch == 0 {
		if epoch, err = d.claim(ctx); err != nil {
			return err
		}
	}
	planned := job
	planned.Status, planned.Message = next, message
	planned, manifest, err := d.publish(ctx, planned, epoch)
	if no, ok := errors.AsType[*unwritten](err); ok {
		return d.keep(ctx, job, epoch, planned.Status, planned.Message, no.cause)
	}
	if err != nil {
		d.yield(ctx, epoch)
		return err
	}
	next = planned.Status
	if err := d.l.o.Store.Decide(ctx, d.id, epoch, job.Status, next, planned.Message, manifest); err != nil {
		return fmt.Errorf("decide the end of job %s: %w", d.id, err)
	}
	failpoint.Here("lifecycle.decided")
	job.Ending = next
	return d.announce(ctx, job, epoch, planned.Message, manifest)
}

// decided ends a job whose publisher did not come to do so.
func (d *drive) decided(ctx context.Context, job batholith.Job) error {
	if err := d.halt(ctx, batholith.ErrMoved); err != nil {
		return err
	}
	epoch, err := d.claim(ctx)
	if err != nil {
		return err
	}
	// Until the claim the other could decide otherwise: that the manifest cannot be written, and the results are kept.
	if job, err = d.l.o.Store.Job(ctx, d.account, d.id); err != nil {
		return err
	}
	if job.Ending == "" {
		return batholith.ErrMoved
	}
	message, manifest, err := d.l.o.Store.Decided(ctx, d.id)
	if err != nil {
		return err
	}
	return d.announce(ctx, job, epoch, message, manifest)
}

// announce writes the manifest that the end of a job was decided with, if there is one, and ends the job. What it was made of is there until the
// manifest is, so a job whose manifest cannot be written keeps its results like one whose output cannot be. A manifest that was written is
// not written again when the end itself fails: what the output was made of may be gone by then, and could not be kept any more.
func (d *drive) announce(ctx context.Context, job batholith.Job, epoch int64, message string, manifest []byte) error {
	if manifest == nil || d.announced {
		return d.end(ctx, job, epoch)
	}
	d.doing = ToPublish
	err := d.l.o.Publisher.Announce(ctx, job, manifest)
	switch {
	case err == nil:
		d.announced = true
		return d.end(ctx, job, epoch)
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case !d.again(job.Ending, err):
		return d.keep(ctx, job, epoch, job.Ending, message, err)
	}
	d.yield(ctx, epoch)
	return err
}

// end cleans up after a job whose end is decided and makes its terminal move: who sees that finds the output and nothing else. A
// clean-up that fails keeps nobody waiting for the output, and is made later.
func (d *drive) end(ctx context.Context, job batholith.Job, epoch int64) error {
	removed := job.Kept == "" && d.l.tidy(ctx, job, d.l.remove)
	at, sweep := time.Now(), time.Time{}
	if removed {
		sweep = at.Add(sweepAfter)
	}
	forgotten, err := d.l.o.Store.End(ctx, d.id, epoch, at, sweep)
	if err != nil {
		return fmt.Errorf("move job %s to %s: %w", d.id, job.Ending, err)
	}
	d.moved(job.Status, job.Ending, at)
	d.l.o.Shelf.Unshelve(d.id)
	switch {
	case forgotten:
		nothingLeft()
	case removed:
		d.l.tidy(ctx, job, d.l.forget)
	}
	return nil
}

// claim makes this worker the job's publisher, under a new epoch.
func (d *drive) claim(ctx context.Context) (epoch int64, err error) {
	epoch, err = d.l.o.Store.ClaimPublication(ctx, d.id, d.l.o.Worker, true, time.Now())
	if err != nil {
		return 0, fmt.Errorf("claim the publication of job %s: %w", d.id, err)
	}
	return epoch, nil
}

// yield lets another publish what could not be published here. When that fails, the other waits for this worker to succeed or to die.
func (d *drive) yield(ctx context.Context, epoch int64) { d.l.yieldPublication(ctx, d.id, epoch) }

func (l *Lifecycle) yieldPublication(ctx context.Context, id string, epoch int64) {
	ctx, cancel := outlast(ctx, yieldTime, yieldGrace)
	defer cancel()
	if err := l.o.Store.YieldPublication(ctx, id, epoch); err != nil {
		l.o.Log.Debug("yield a publication", "job", id, "err", err)
	}
}

// yieldTime bounds a call that is worth no more; yieldGrace is what it gets when the process is to end.
const (
	yieldTime  = 5 * time.Second
	yieldGrace = time.Second
)

// unwritten says that the output cannot be written, whatever is tried.
type unwritten struct{ cause error }

func (u *unwritten) Error() string { return "the output cannot be written: " + u.cause.Error() }
func (u *unwritten) Unwrap() error { return u.cause }

// publish writes the final output of a job that is to have this status and message, and returns it with those that it has in fact: it is
// Failed if outcomes are lost. The manifest is what is still to be written. After an *unwritten there is no output; any other error says
// that nothing is decided, and that publish is to be called again.
func (d *drive) publish(ctx context.Context, job batholith.Job, epoch int64) (_ batholith.Job, manifest []byte, err error) {
	m, err := d.l.o.Publisher.Publish(ctx, job, epoch, true)
	if errors.Is(err, batholith.ErrOutcomesLost) {
		if job.Status != batholith.StatusFailed {
			job.Status, job.Message = batholith.StatusFailed, couldNotGoOn+err.Error()
		} else { // it failed for another reason, and its output has less than it counts
			job.Message = withNotice(job.Message, ". "+err.Error())
		}
		m.Pending, err = nil, d.salvage(ctx, job, epoch)
	}
	switch {
	case err == nil:
		return job, m.Pending, nil
	case ctx.Err() != nil:
		return job, nil, context.Cause(ctx)
	case d.again(job.Status, err):
		return job, nil, err
	}
	return job, nil, &unwritten{err}
}

// failedFor is for how long the output of a job that failed is tried at least, if what is in the way may pass.
const failedFor = time.Hour

// again tells whether a publication that failed is to be tried again. An outage is waited for. Access that is denied is tried until the
// patience is over; if that went by while outcomes were to be stored, once. The output of a job that fails is tried as long as its time
// lasts: what is wrong with the job may also be what is in the way of its output.
func (d *drive) again(next batholith.Status, err error) bool {
	if d.published.IsZero() {
		d.published = time.Now()
	}
	switch {
	case errors.Is(err, batholith.ErrHeld), errors.Is(err, batholith.ErrMoved):
		return true
	case blob.Denied(err):
		return !d.waits.failed(ToPublish, time.Now(), err) && !d.outOfPatience.Load()
	case blob.Permanent(err):
		return false
	}
	return next != batholith.StatusFailed || time.Since(d.published) < failedFor || time.Now().Before(d.expires)
}

// salvage publishes what is left of a job whose outcomes are lost. A job whose end another process decided meanwhile has lost nothing:
// its segments went with the clean-up, which comes after that, and its output must stay as it is.
func (d *drive) salvage(ctx context.Context, job batholith.Job, epoch int64) error {
	now, err := d.l.o.Store.Job(ctx, d.account, d.id)
	if err != nil {
		return err
	}
	if now.Status.Terminal() || now.Ending != "" {
		return batholith.ErrMoved
	}
	return d.l.o.Publisher.Salvage(ctx, job, epoch)
}

// endEmpty makes the terminal move of a job that has no output and cleans up. The move comes first: nothing says before it that the job ends
// so, and another worker may plan the same job over the same index meanwhile.
func (d *drive) endEmpty(ctx context.Context, job batholith.Job, e batholith.Event, message string) error {
	if err := d.move(ctx, job, e, message); err != nil {
		return err
	}
	d.l.tidy(ctx, job, d.l.clean)
	return nil
}

// couldNotGoOn begins the message of a job that failed after validation. It is for people: what decides is batholith.Job.Failing.
const couldNotGoOn = "The job could not go on: "

// ending is the message of a job that ends in a status, for the person who asks what became of it.
func ending(job batholith.Job, next batholith.Status, cause error, first *batholith.RecordError) string {
	c := job.Counts
	switch next {
	case batholith.StatusFailed:
		return couldNotGoOn + cause.Error()
	case batholith.StatusExpired:
		return expiry(job)
	case batholith.StatusPartiallyCompleted:
		return fmt.Sprintf("The timeout passed when %d of %d records had been processed; their output is kept.%s",
			c.Processed, c.Total, errored(c, first))
	case batholith.StatusStopped:
		return fmt.Sprintf("Stopped when %d of %d records had been processed; their output is kept.%s",
			c.Processed, c.Total, errored(c, first))
	}
	return allProcessed + errored(c, first) + saved(job.Tokens)
}

// saved says what the model server's prefix cache spared it, where it tells.
func saved(t batholith.Tokens) string {
	if t.CacheRead == 0 || t.Input == 0 {
		return ""
	}
	return fmt.Sprintf(" %d of %d prompt tokens (%d %%) were in the model server's cache.", t.CacheRead, t.Input, 100*t.CacheRead/t.Input)
}

// allProcessed takes the place of what was noted while the job ran.
const allProcessed = "Every record was processed."

func errored(c batholith.Counts, first *batholith.RecordError) string {
	switch {
	case c.Errored == 0:
		return ""
	case first == nil:
		return fmt.Sprintf(" %d of %d ended with an error.", c.Errored, c.Processed)
	}
	return plain.Sprintf(" %d of %d ended with an error, the first with %d: %s", c.Errored, c.Processed, first.Code, first.Message)
}

func expiry(job batholith.Job) string {
	m := fmt.Sprintf("The job did not begin before %s, when its time ran out.", job.Expires.UTC().Format(time.RFC3339))
	if job.Note != "" {
		m += " " + job.Note
	}
	return m
}
