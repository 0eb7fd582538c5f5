package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
)

const (
	// cleanTime is what a clean-up gets, also when the process is to end meanwhile.
	cleanTime = 30 * time.Second
	// sweepEvery is how often is looked for what a clean-up left, and for what is to be cleaned up once more.
	sweepEvery = 10 * time.Minute
	// sweepAfter is when a job that is over is cleaned up once more: when nothing that a worker had sent to the bucket before it died can
	// still arrive there. A worker gives no call more than some minutes.
	sweepAfter = 15 * time.Minute
)

// tidy does some of the clean-up after a job and returns whether it is done. What fails is done by a sweep.
func (l *Lifecycle) tidy(ctx context.Context, job batholith.Job, do func(context.Context, batholith.Job) error) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	err := do(ctx, job)
	if err != nil {
		l.o.Log.Warn("clean up; it is tried again later", "job", job.ID, "err", err)
	}
	return err == nil
}

// clean removes what a terminal job left.
func (l *Lifecycle) clean(ctx context.Context, job batholith.Job) error {
	if err := l.remove(ctx, job); err != nil {
		return err
	}
	return l.forget(ctx, job)
}

// forget drops the rows of a terminal job whose place in the bucket is clear.
func (l *Lifecycle) forget(ctx context.Context, job batholith.Job) error {
	if err := l.o.Store.Forget(ctx, job.ID, time.Now().Add(sweepAfter)); err != nil {
		return fmt.Errorf("forget the work of job %s: %w", job.ID, err)
	}
	failpoint.Here("lifecycle.forgotten")
	return nil
}

// remove clears the bucket. Where access is gone for good, there is nothing to be done.
func (l *Lifecycle) remove(ctx context.Context, job batholith.Job) error {
	if err := l.o.Publisher.Clean(ctx, job); err != nil && !blob.Permanent(err) {
		return fmt.Errorf("clean up after job %s: %w", job.ID, err)
	}
	failpoint.Here("lifecycle.cleaned")
	return nil
}

// sweep cleans up after jobs that became terminal just before the last process ended, those whose clean-up failed, and once more after
// those that are due. What a worker wrote that died after its last look at a job is found by the second clean-up; that of a
// job that is not due yet comes at the start already, and again when it is.
func (l *Lifecycle) sweep(ctx context.Context) {
	for early := sweepAfter; ctx.Err() == nil; early = 0 {
		now := time.Now()
		unclean, err := l.o.Store.Unclean(ctx)
		l.each(ctx, unclean, err, func(ctx context.Context, job batholith.Job) { l.tidy(ctx, job, l.clean) })
		unswept, err := l.o.Store.Unswept(ctx, now.Add(early))
		l.each(ctx, unswept, err, func(ctx context.Context, job batholith.Job) { l.cleanAgain(ctx, job, now) })
		sleep(ctx, sweepEvery)
	}
}

// each does something for every job that was listed and that nobody drives here. They may be all jobs of a busy quarter of an hour, and
// so they are read one at a time.
func (l *Lifecycle) each(ctx context.Context, ids []string, err error, do func(context.Context, batholith.Job)) {
	if err != nil && ctx.Err() == nil {
		l.o.Log.Error("list jobs to clean up", "err", err)
	}
	for _, id := range ids {
		if ctx.Err() != nil {
			return
		}
		if l.drive(id) != nil {
			continue
		}
		job, err := l.o.Store.Find(ctx, id)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, batholith.ErrNotFound) {
				l.o.Log.Warn("read a job to clean up; it is tried again later", "job", id, "err", err)
			}
			continue
		}
		do(ctx, job)
	}
}

// cleanAgain is the second clean-up after a job, as of now.
func (l *Lifecycle) cleanAgain(ctx context.Context, job batholith.Job, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, cleanTime)
	defer cancel()
	err := l.remove(ctx, job)
	if err == nil {
		err = l.o.Store.Swept(ctx, job.ID, now)
		failpoint.Here("lifecycle.swept")
	}
	if err != nil && ctx.Err() == nil {
		l.o.Log.Warn("clean up again; it is tried once more later", "job", job.ID, "err", err)
	}
}
