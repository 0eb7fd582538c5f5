package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/backoff"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
)

const (
	// cleanTime is for how long a clean-up is tried before it is left to the sweep: a bucket that fails now and then is clean by then, and
	// one that is dead holds up nothing for longer.
	cleanTime = 30 * time.Second
	// cleanGrace is what a clean-up gets that is under way when the process is to end. The next start makes it again.
	cleanGrace = time.Second
	// sweepEvery is how often is looked for what a clean-up left, and for what is to be cleaned up once more.
	sweepEvery = 10 * time.Minute
	// sweepAfter is when a job that is over is cleaned up once more: when nothing that a worker had sent to the bucket before it died can
	// still arrive there. A worker gives no call more than some minutes.
	sweepAfter = 15 * time.Minute
	// refusedFor is for how long a clean-up that the bucket refuses is repeated.
	refusedFor = 24 * time.Hour
	// sweepsAtOnce is how many principals' jobs a sweep cleans up after beside each other, and sweepFailures how many clean-ups of one
	// principal may fail before the rest of its jobs wait for the next sweep.
	sweepsAtOnce, sweepFailures = 16, 3
)

// tidy does some of the clean-up after a job and returns whether it is done. A step that fails is repeated, for each attempt leaves less to
// do; what is not done when the time is over is left to the sweep.
func (l *Lifecycle) tidy(ctx context.Context, job batholith.Job, do func(context.Context, batholith.Job) error) bool {
	ctx, cancel := outlast(ctx, cleanTime, cleanGrace)
	defer cancel()
	var last error
	err := backoff.Repeat(ctx, firstAgain, 2*time.Second, func(ctx context.Context) error {
		if last = do(ctx, job); blob.Permanent(last) {
			return backoff.Final(last)
		}
		return last
	}, nil)
	if err != nil {
		err = cmp.Or(last, err) // rather than that the time was over
		l.o.Log.Warn("clean up; it is tried again later", "job", job.ID, "err", err)
	}
	return err == nil
}

// outlast returns a context that ends after limit, or grace after ctx has ended.
func outlast(ctx context.Context, limit, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	unlink := context.AfterFunc(ctx, func() {
		sleep(longer, grace)
		cancel()
	})
	return longer, func() { unlink(); cancel() }
}

// clean removes what a terminal job left, unless results of it are kept.
func (l *Lifecycle) clean(ctx context.Context, job batholith.Job) error {
	if job.Kept != "" {
		return nil
	}
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
	nothingLeft()
	return nil
}

// nothingLeft is passed once the rows of a terminal job are gone, by whichever transaction that was.
func nothingLeft() { failpoint.Here("lifecycle.forgotten") }

// remove clears the bucket. A bucket that is gone is clear. One that refuses is tried again by every sweep for a day, since somebody may
// give the role its rights back; after that there is nothing to be done.
func (l *Lifecycle) remove(ctx context.Context, job batholith.Job) error {
	err := l.o.Publisher.Clean(ctx, job)
	hopeless := blob.Permanent(err) && !job.Ended.IsZero() && time.Since(job.Ended) > refusedFor
	if err != nil && !hopeless && !errors.Is(err, batholith.ErrNoBucket) {
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
		l.each(ctx, unclean, err, l.clean)
		unswept, err := l.o.Store.Unswept(ctx, now.Add(early))
		l.each(ctx, unswept, err, func(ctx context.Context, job batholith.Job) error {
			if err := l.remove(ctx, job); err != nil {
				return err
			}
			err := l.o.Store.Swept(ctx, job.ID, now)
			failpoint.Here("lifecycle.swept")
			return err
		})
		sleep(ctx, sweepEvery)
	}
}

// each cleans up after every job that was listed and that nobody drives here. The jobs of one principal come one after the other, and
// those of several beside each other: a principal whose bucket is dead, for whom every job takes the whole cleanTime, holds up nobody
// else, and after some jobs the rest of its own are left to the next sweep. They may be all jobs of a busy quarter of an hour, so only
// their ids are kept in memory.
func (l *Lifecycle) each(ctx context.Context, ids []string, err error, do func(context.Context, batholith.Job) error) {
	if err != nil && ctx.Err() == nil {
		l.o.Log.Error("list jobs to clean up", "err", err)
	}
	var owners errgroup.Group
	owners.SetLimit(sweepsAtOnce)
	for _, of := range l.byOwner(ctx, ids) {
		owners.Go(func() error {
			for failed := 0; len(of) > 0 && failed < sweepFailures && ctx.Err() == nil; of = of[1:] {
				if job, ok := l.undriven(ctx, of[0]); ok && !l.tidy(ctx, job, do) {
					failed++
				}
			}
			return nil
		})
	}
	_ = owners.Wait() // none returns an error
}

// byOwner groups jobs by the principal that created them, oldest first.
func (l *Lifecycle) byOwner(ctx context.Context, ids []string) (groups [][]string) {
	at := map[[2]string]int{}
	for _, id := range ids {
		job, ok := l.undriven(ctx, id)
		if !ok {
			continue
		}
		owner := [2]string{job.Account, job.Owner}
		if _, known := at[owner]; !known {
			at[owner] = len(groups)
			groups = append(groups, nil)
		}
		groups[at[owner]] = append(groups[at[owner]], id)
	}
	return groups
}

// undriven reads a job. It is not ok when the job has a drive here, which cleans up by itself, or cannot be read.
func (l *Lifecycle) undriven(ctx context.Context, id string) (job batholith.Job, ok bool) {
	if ctx.Err() != nil || l.drive(id) != nil {
		return job, false
	}
	job, err := l.o.Store.Find(ctx, id)
	if err != nil && ctx.Err() == nil && !errors.Is(err, batholith.ErrNotFound) {
		l.o.Log.Warn("read a job to clean up; it is tried again later", "job", id, "err", err)
	}
	return job, err == nil
}
