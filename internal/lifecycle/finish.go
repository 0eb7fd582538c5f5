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

// toEnd ends a job that has a plan: halt, seal and claim, publish, decide, announce, clean, move. After an error it must be called again.
func (d *drive) toEnd(ctx context.Context, job batholith.Job, e batholith.Event, cause error) error {
	d.atEnd(e)
	if err := d.halt(ctx, cause); err != nil {
		return err
	}
	failpoint.Here("lifecycle.halted")
	if err := d.letOthersHalt(ctx, e); err != nil {
		return err
	}
	// The reason of a failure is stored with the seal, since a later process could not find it out. Every other end follows from the job's
	// counters, deadline or status.
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

// noReason is the reason of a failure whose error has no text.
const noReason = "the cause was not recorded; see the log of the server"

// sealed ends a sealed job. epoch is that of its publication; 0: this worker has not claimed it. It reports whether it called deliver,
// which yields the publication itself.
func (d *drive) sealed(ctx context.Context, epoch int64, e batholith.Event, cause error) (delivering bool, err error) {
	job, err := d.l.o.Store.Job(ctx, d.account, d.id) // its counters are final now
	if err != nil {
		return false, err
	}
	if job.Ending != "" {
		return false, nil // another worker has published it: the next step waits for that worker or takes over
	}
	if e == batholith.EventExpire && job.Counts.Total > 0 && job.Counts.Processed == job.Counts.Total {
		e = batholith.EventFinish // the last record was processed in time
	}
	if e != batholith.EventHalt && job.Status == batholith.StatusStopping {
		return false, batholith.ErrMoved // a stop came first
	}
	if why := failing(job); why != "" && e != batholith.EventHalt { // another worker has stored a reason why the job fails
		e, cause = batholith.EventFail, errors.New(why)
	}
	next, err := job.Status.Next(e)
	if err != nil {
		return false, batholith.ErrMoved
	}
	if job.Counts.Errored > 0 {
		if d.first, err = d.firstOfAll(ctx); err != nil {
			return false, err
		}
	}
	message := ending(job, next, cause, d.first)
	// No record was ever sent. In OpenAI's lines there is a line for each of them all the same.
	if next == batholith.StatusExpired && (job.OutputLines != batholith.LinesOpenAI || job.Counts.Total == 0) {
		return false, d.endEmpty(ctx, job, e, message)
	}
	if job.Counts.Total == 0 {
		files, err := d.l.o.Store.Files(ctx, d.id)
		if err != nil {
			return false, err
		}
		if len(files) == 0 { // it was stopped before it had a plan of chunks
			return false, d.endEmpty(ctx, job, e, message)
		}
	}
	return true, d.deliver(ctx, job, epoch, next, message)
}

// deliver publishes the final output of a sealed job and ends the job. epoch is a claimed publication; 0: it claims one. It returns
// batholith.ErrHeld while another worker publishes.
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

// decided ends a job whose end is decided and whose publisher died or failed before the end.
func (d *drive) decided(ctx context.Context, job batholith.Job) error {
	if err := d.halt(ctx, batholith.ErrMoved); err != nil {
		return err
	}
	epoch, err := d.claim(ctx)
	if err != nil {
		return err
	}
	// Before the claim the other worker could still change the decision: keep the results, because the manifest cannot be written.
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

// announce writes the stored small manifest of a decided job, if there is one, and ends the job. The segments still exist then, so a job
// whose manifest cannot be written keeps its results, like one whose output cannot be written. A manifest that was written is not written
// again if only the end fails: by then the segments may be deleted, and could not be kept.
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

// end cleans up after a decided job and sets its terminal status, so that a client that sees the status finds the output and no temporary
// objects. A clean-up that fails does not delay the status; the sweep repeats it.
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

// yield allows another worker to publish what could not be published here. If yield fails, the others wait until this worker succeeds or
// its lease ends.
func (d *drive) yield(ctx context.Context, epoch int64) { d.l.yieldPublication(ctx, d.id, epoch) }

// yieldPublication gives up a claimed publication. Errors are only logged.
func (l *Lifecycle) yieldPublication(ctx context.Context, id string, epoch int64) {
	ctx, cancel := outlast(ctx, yieldTime, yieldGrace)
	defer cancel()
	if err := l.o.Store.YieldPublication(ctx, id, epoch); err != nil {
		l.o.Log.Debug("yield a publication", "job", id, "err", err)
	}
}

// yieldTime is the timeout of a yield, and yieldGrace the time that it gets at a shutdown.
const (
	yieldTime  = 5 * time.Second
	yieldGrace = time.Second
)

// unwritten says that the output cannot be written, and that retries cannot help.
type unwritten struct{ cause error }

// Error names the cause, as in the job's message.
func (u *unwritten) Error() string { return "the output cannot be written: " + u.cause.Error() }

// Unwrap returns what the bucket said.
func (u *unwritten) Unwrap() error { return u.cause }

// publish writes the final output of a job that is planned to have this status and message. It returns the job with the status and message
// of its output: Failed, if outcomes were lost. manifest is the small manifest that is still to be written. After an *unwritten error there
// is no output. After any other error nothing is decided, and publish must be called again.
func (d *drive) publish(ctx context.Context, job batholith.Job, epoch int64) (_ batholith.Job, manifest []byte, err error) {
	m, err := d.l.o.Publisher.Publish(ctx, job, epoch, true)
	if errors.Is(err, batholith.ErrOutcomesLost) {
		if job.Status != batholith.StatusFailed {
			job.Status, job.Message = batholith.StatusFailed, jobFailed+err.Error()
		} else { // it failed for another reason, and its output has fewer outcomes than it counts
			job.Message = withNotice(job.Message, ". "+err.Error())
		}
		m.Pending, err = nil, d.salvage(ctx, job, epoch)
	}
	switch {
	case err == nil:
		if job.Status != batholith.StatusFailed {
			job.Message = batholith.CutMessage(job.Message + taken(m))
		}
		return job, m.Pending, nil
	case ctx.Err() != nil:
		return job, nil, context.Cause(ctx)
	case d.again(job.Status, err):
		return job, nil, err
	}
	return job, nil, &unwritten{err}
}

// failedFor is the least time for which the output of a failed job is retried after temporary errors.
const failedFor = time.Hour

// again reports whether a failed publication is to be retried:
//
//	outage                  always
//	denied access           until the patience is over; not at all if it was used up while outcomes were stored
//	other permanent error   no
//	job that fails          until its deadline, and at least for failedFor: its fault may also prevent the output
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
	return next != batholith.StatusFailed || time.Since(d.published) < failedFor || d.l.until(d.expires) > 0
}

// salvage publishes the readable outcomes of a job with lost segments. If another process has decided the job's end, nothing was lost: its
// segments were deleted by the clean-up after that, and its output must stay as it is. Then salvage returns batholith.ErrMoved.
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

// endEmpty ends a job without output. It sets the terminal status first and then cleans up: until then nothing says that the job ends, and
// another worker may write an index for it.
func (d *drive) endEmpty(ctx context.Context, job batholith.Job, e batholith.Event, message string) error {
	if err := d.move(ctx, job, e, message); err != nil {
		return err
	}
	d.l.tidy(ctx, job, d.l.clean)
	return nil
}

// jobFailed begins the message of a job that failed after validation. Programs use batholith.Job.Failing instead.
const jobFailed = "The job failed: "

// ending is the message of a job for its terminal status.
func ending(job batholith.Job, next batholith.Status, cause error, first *batholith.RecordError) string {
	c := job.Counts
	switch next {
	case batholith.StatusFailed:
		return jobFailed + cause.Error()
	case batholith.StatusExpired:
		return expiry(job)
	case batholith.StatusPartiallyCompleted:
		return fmt.Sprintf("The job reached its timeout when %d of %d records had been processed; their output is kept.%s",
			c.Processed, c.Total, errored(c, first))
	case batholith.StatusStopped:
		return fmt.Sprintf("Stopped when %d of %d records had been processed; their output is kept.%s",
			c.Processed, c.Total, errored(c, first))
	}
	return allProcessed + errored(c, first) + saved(job.Tokens)
}

// saved says how many prompt tokens the model server took from its prefix cache, if it reports that.
func saved(t batholith.Tokens) string {
	if t.CacheRead == 0 || t.Input == 0 {
		return ""
	}
	return fmt.Sprintf(" %d of %d prompt tokens (%d %%) were in the model server's cache.", t.CacheRead, t.Input, 100*t.CacheRead/t.Input)
}

// taken says how many records have the answers of earlier jobs.
func taken(m batholith.Manifest) string {
	n := int64(0)
	for _, from := range m.Batholith.ReusedFrom {
		n += from.Records
	}
	if n == 0 {
		return ""
	}
	if n == 1 {
		return " 1 answer was taken from an earlier job."
	}
	return fmt.Sprintf(" %d answers were taken from earlier jobs.", n)
}

// allProcessed begins the message of a Completed job, and replaces the note of the running job.
const allProcessed = "Every record was processed."

// errored says how many records ended with an error line, and the first error.
func errored(c batholith.Counts, first *batholith.RecordError) string {
	switch {
	case c.Errored == 0:
		return ""
	case first == nil:
		return fmt.Sprintf(" %d of %d ended with an error.", c.Errored, c.Processed)
	}
	return plain.Sprintf(" %d of %d ended with an error, the first with %d: %s", c.Errored, c.Processed, first.Code, first.Message)
}

// expiry is the message of an Expired job.
func expiry(job batholith.Job) string {
	m := fmt.Sprintf("The job had not begun when it reached its timeout at %s.", job.Expires.UTC().Format(time.RFC3339))
	if job.Note != "" {
		m += " " + job.Note
	}
	return m
}
