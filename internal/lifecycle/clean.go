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
	// cleanTime is how long a clean-up is retried before it is left to the sweep. That is enough for a bucket with occasional failures, and
	// a bucket that does not answer delays nothing for longer.
	cleanTime = 30 * time.Second
	// cleanGrace is the time that a running clean-up gets at a shutdown. The next start repeats it.
	cleanGrace = time.Second
	// sweepEvery is the time between two sweeps.
	sweepEvery = 10 * time.Minute
	// sweepAfter is the time from the end of a job to its second clean-up. By then no request of a dead worker can still arrive at the
	// bucket, since the timeout of every call is a few minutes at most.
	sweepAfter = 15 * time.Minute
	// refusedFor is how long sweeps repeat a clean-up that the bucket refuses.
	refusedFor = 24 * time.Hour
	// sweepsAtOnce is the number of principals whose jobs a sweep cleans up in parallel. After sweepFailures failed clean-ups of one
	// principal, the rest of its jobs wait for the next sweep.
	sweepsAtOnce, sweepFailures = 16, 3
)

// tidy does one part of a job's clean-up, and reports whether it is done. It retries for cleanTime, since each attempt leaves less to do;
// then the sweep takes over.
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
		err = cmp.Or(last, err) // the cause, and not only that the time was over
		l.o.Log.Warn("the internal objects of a finished job are not deleted yet; Batholith retries later", "job", job.ID, "err", err)
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

// clean deletes the temporary objects and rows of a terminal job, unless its results are kept.
func (l *Lifecycle) clean(ctx context.Context, job batholith.Job) error {
	if job.Kept != "" {
		return nil
	}
	if err := l.remove(ctx, job); err != nil {
		return err
	}
	return l.forget(ctx, job)
}

// forget deletes the rows of a terminal job whose objects are deleted.
func (l *Lifecycle) forget(ctx context.Context, job batholith.Job) error {
	if err := l.o.Store.Forget(ctx, job.ID, time.Now().Add(sweepAfter)); err != nil {
		return fmt.Errorf("forget the work of job %s: %w", job.ID, err)
	}
	nothingLeft()
	return nil
}

// nothingLeft is a failpoint after the transaction that deletes the rows of a terminal job.
func nothingLeft() { failpoint.Here("lifecycle.forgotten") }

// remove deletes the temporary objects of a job. A bucket that does not exist counts as clean. If the bucket refuses, every sweep of a day
// tries again, since the role may get its rights back; after a day remove gives up and returns nil.
func (l *Lifecycle) remove(ctx context.Context, job batholith.Job) error {
	err := l.o.Publisher.Clean(ctx, job)
	hopeless := blob.Permanent(err) && !job.Ended.IsZero() && l.o.Now().Sub(job.Ended) > refusedFor
	if err != nil && !hopeless && !errors.Is(err, batholith.ErrNoBucket) {
		return fmt.Errorf("clean up after job %s: %w", job.ID, err)
	}
	failpoint.Here("lifecycle.cleaned")
	return nil
}

// sweep cleans up until ctx ends: after jobs whose clean-up failed or whose process died, and a second time after jobs whose sweepAfter has
// passed. The second clean-up finds what a dead worker wrote late. The first sweep of a process also cleans jobs whose time comes later,
// which are cleaned again then.
func (l *Lifecycle) sweep(ctx context.Context) {
	for early := sweepAfter; ctx.Err() == nil; early = 0 {
		if !l.sweeps(ctx) {
			sleep(ctx, sweepEvery)
			continue
		}
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
		l.outdate(ctx)
		l.outdateEvents(ctx)
		sleep(ctx, sweepEvery)
	}
}

// each cleans up after every listed job that has no drive here. Principals are handled in parallel, the jobs of one principal one after the
// other. If the bucket of a principal does not answer, each of its jobs takes the whole cleanTime; it delays no other principal, and after
// some failures its other jobs wait for the next sweep. Only the ids are in memory, since they may be all jobs of 15 minutes.
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

// undriven reads a job. It returns false if the job has a drive here, which cleans up itself, or if it cannot be read.
func (l *Lifecycle) undriven(ctx context.Context, id string) (job batholith.Job, ok bool) {
	if ctx.Err() != nil || l.drive(id) != nil {
		return job, false
	}
	job, err := l.o.Store.Find(ctx, id)
	if err != nil && ctx.Err() == nil && !errors.Is(err, batholith.ErrNotFound) {
		l.o.Log.Warn("a finished job cannot be read for its clean-up; Batholith retries later", "job", id, "err", err)
	}
	return job, err == nil
}
