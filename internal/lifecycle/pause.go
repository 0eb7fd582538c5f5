package lifecycle

import (
	"context"
	"errors"
	"time"

	"github.com/batholith/batholith"
)

// A paused job is validated, but not sent. A worker sees a pause as it sees a stop: by the notification, or by the look at the database each
// second. It then lets the requests in flight finish, commits their outcomes and releases the job's chunks (Dispatch.Rest), and waits. What
// ends the wait:
//
//	resumed               the job is enqueued again
//	stopped, expired      as for a job that is sent; requests that are still in flight are cancelled
//	the last outcome      it was in flight: the job finishes
//	a fault               the job fails
//
// The pause is in the job's row, so that a restart, a crash or another worker changes nothing.

// pauseState says whether a job is paused, as far as that is known.
type pauseState int8

const (
	pauseUnknown pauseState = iota
	pauseNone
	pausePaused
)

func pauseOf(job batholith.Job) pauseState {
	if job.Paused.Since.IsZero() {
		return pauseNone
	}
	return pausePaused
}

// dueGrace is how much later than its time a pause ends by itself, so that the database's clock shows that time too.
const dueGrace = 100 * time.Millisecond

// errResumed cancels the wait of a job that is not paused any more.
var errResumed = errors.New("the job is resumed")

// sees takes in whether the job is paused, as it was read from the database. If the present step takes it for the other, the step is called
// off, and the job read again.
func (d *drive) sees(state pauseState) {
	d.mu.Lock()
	d.looked = state
	differs := d.rests != pauseUnknown && d.rests != state
	d.mu.Unlock()
	switch {
	case differs && state == pausePaused:
		d.callOff(batholith.ErrPaused)
	case differs:
		d.callOff(errResumed)
	}
}

// agrees notes what the present step takes the job for. It reports false if something else was seen since the step began: the job must be
// read again.
func (d *drive) agrees(state pauseState) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rests = state
	return d.looked == pauseUnknown || d.looked == state
}

// resting keeps a paused job from being sent until it is resumed or ends.
func (d *drive) resting(ctx, work context.Context, job batholith.Job) error {
	if work.Err() != nil { // the deadline had passed before this process started
		return d.interrupted(ctx, work)
	}
	if _, broken := d.state(); broken != nil && job.Counts.Processed < job.Counts.Total { // toEnd was begun and failed
		return d.toEnd(ctx, job, batholith.EventFail, broken)
	}
	if !d.agrees(pausePaused) {
		return nil
	}
	quiet, cancel := context.WithCancel(work)
	rested := make(chan error, 1)
	go func() { rested <- d.l.o.Dispatch.Rest(quiet, d.id) }()
	if until := job.Paused.Until; !until.IsZero() {
		due := time.AfterFunc(max(d.l.until(until), 0)+dueGrace, func() {
			if err := d.l.o.Store.ResumeDue(work, d.id); err != nil && work.Err() == nil {
				d.l.o.Log.Warn("a pause that ends by itself is not ended yet", "job", d.id, "err", err)
				d.callOff(errResumed) // the job is read again, and this tried again
			}
		})
		defer due.Stop()
	}
	d.committed(job.Counts)
	partial := d.partial(work)
	e, cause := d.await(work, partial)
	partial.stop()
	cancel()
	<-rested // an error is that quiet has ended: what is in flight is halted below, or goes on
	if e != "" {
		return d.toEnd(ctx, job, e, cause)
	}
	if cause := context.Cause(work); ctx.Err() == nil && !errors.Is(cause, errResumed) {
		d.atEnd(batholith.EventHalt)
		if err := d.halt(ctx, cause); err != nil {
			return err
		}
	}
	return d.interrupted(ctx, work)
}

// seePauses tells each drive whether its job is paused, as the database said it just now.
func (l *Lifecycle) seePauses(paused []string) {
	is := make(map[string]bool, len(paused))
	for _, id := range paused {
		is[id] = true
	}
	l.mu.Lock()
	drives := make([]*drive, 0, len(l.drives))
	for _, d := range l.drives {
		drives = append(drives, d)
	}
	l.mu.Unlock()
	for _, d := range drives {
		if is[d.id] {
			d.sees(pausePaused)
		} else {
			d.sees(pauseNone)
		}
	}
}
