package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/backoff"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
)

// The finished results of a job are kept if its output cannot be written. The steps, and what happens after a crash at the end of each:
//
//	shelve    The job is failing. Segments that the bucket refuses are written to the worker's disk and committed. Crash: as after any
//	          commit.
//	decide    One transaction: the job will be Failed, and its results are kept. Crash: the next process ends the job, and deletes no
//	          results.
//	end       The job is Failed. Its rows, segments and shelf stay until a user publishes or discards them.
//	ask       One transaction: Publishing. Crash here or during the publication: the next process publishes again.
//	publish   The output and the manifest are written, as at the end of any job. Repetition writes the same bytes.
//	published One transaction: nothing is kept, and the job needs a clean-up. Crash: a sweep cleans up. Segments are deleted only after
//	          this step, so that no publication misses one.
//
// To discard the results, a user's request stores Discarding, in one transaction. A worker then stores that in the job's message, in
// another transaction, and cleans up.

// keep ends a job whose output cannot be written: it becomes Failed, and its finished results are kept.
func (d *drive) keep(ctx context.Context, job batholith.Job, epoch int64, next batholith.Status, message string, cause error) error {
	d.mu.Lock()
	if d.revocation != nil {
		cause = d.revocation // which names the role and the last denial
	}
	d.mu.Unlock()
	switch {
	case next != batholith.StatusFailed:
		message = "The output cannot be written: " + cause.Error() + "."
	case strings.Contains(message, cause.Error()):
		message += "."
	default:
		message += ". The output cannot be written: " + cause.Error() + "."
	}
	if job.Counts.Processed == 0 { // there are no results to keep
		if err := d.l.o.Store.Decide(ctx, d.id, epoch, job.Status, batholith.StatusFailed, message, nil); err != nil {
			return fmt.Errorf("decide the end of job %s: %w", d.id, err)
		}
	} else {
		message = withNotice(message, keptNotice(job))
		if err := d.l.o.Store.DecideKept(ctx, d.id, epoch, job.Status, message); err != nil {
			return fmt.Errorf("decide the end of job %s: %w", d.id, err)
		}
		job.Kept = batholith.KeptWaiting
		d.l.o.Log.Warn("the results of a job are kept, since its output cannot be written", "job", d.id, "records", job.Counts.Processed, "err", cause)
	}
	failpoint.Here("lifecycle.kept")
	job.Ending = batholith.StatusFailed
	return d.end(ctx, job, epoch)
}

// keptNotice is the end of the message of a job with kept results.
func keptNotice(job batholith.Job) string {
	return fmt.Sprintf(" The %d finished records are kept. Fix the cause, then publish them with: batholith publish %s", job.Counts.Processed, job.ID)
}

// publishedNotice replaces keptNotice after the results were published.
func publishedNotice(job batholith.Job, at time.Time) string {
	return fmt.Sprintf(" The %d finished records were published afterwards, at %s.", job.Counts.Processed, at.UTC().Format(time.RFC3339))
}

// discardedNotice replaces keptNotice after the results were discarded.
func discardedNotice(job batholith.Job, at time.Time) string {
	return fmt.Sprintf(" The %d finished records were discarded, at %s.", job.Counts.Processed, at.UTC().Format(time.RFC3339))
}

// withNotice appends a notice to a message. If both are too long, it shortens the message, since the reader needs the notice.
func withNotice(message, notice string) string {
	if n := batholith.MaxMessage - len(notice); len(message) > n {
		message = strings.ToValidUTF8(message[:n-len("…")], "") + "…"
	}
	return message + notice
}

const (
	// publishAtOnce is how many jobs' kept results are published in parallel, so that a slow bucket does not delay the others.
	publishAtOnce = 8
	// publishTries is the number of attempts before the user who asked is told of a temporary error.
	publishTries = 4
)

// publishAsked publishes or discards kept results as users request it, until ctx ends.
func (l *Lifecycle) publishAsked(ctx context.Context) {
	changes, cancel := l.o.Store.Subscribe()
	defer cancel()
	var (
		wg      sync.WaitGroup
		places  = semaphore.NewWeighted(publishAtOnce)
		mu      sync.Mutex
		running = map[string]bool{}
	)
	defer wg.Wait()
	begin := func(id string) bool {
		mu.Lock()
		defer mu.Unlock()
		if running[id] || !places.TryAcquire(1) {
			return false
		}
		running[id] = true
		return true
	}
	end := func(id string) {
		mu.Lock()
		defer mu.Unlock()
		places.Release(1)
		delete(running, id)
	}
	for ctx.Err() == nil {
		asked, err := l.o.Store.Asked(ctx)
		if err != nil && ctx.Err() == nil {
			l.o.Log.Error("list jobs whose kept results are asked for", "err", err)
		}
		for _, id := range asked {
			if begin(id) {
				wg.Go(func() { defer end(id); l.publishKept(ctx, id) })
			}
		}
		select {
		case <-changes:
		case <-time.After(l.o.Look):
		case <-ctx.Done():
		}
	}
}

// publishKept publishes or discards the kept results of one job, with retries. If it fails, the job's message says why.
func (l *Lifecycle) publishKept(ctx context.Context, id string) {
	tries := 0
	err := backoff.Repeat(ctx, 4*firstAgain, 16*firstAgain, func(ctx context.Context) error {
		err := l.tryPublishKept(ctx, id)
		if tries++; tries == publishTries || blob.Permanent(err) || errors.Is(err, batholith.ErrOutcomesLost) || errors.Is(err, batholith.ErrHeld) {
			return backoff.Final(err)
		}
		return err
	}, nil)
	switch {
	case err == nil, ctx.Err() != nil: // after a shutdown the next process continues
	case errors.Is(err, batholith.ErrHeld), errors.Is(err, batholith.ErrMoved), errors.Is(err, batholith.ErrNothingKept):
		l.o.Log.Debug("another worker publishes the kept results of a job", "job", id, "err", err)
	default:
		l.o.Log.Warn("the kept results of a job could not be published; fix the cause and publish again", "job", id, "err", err)
		if err := l.o.Store.Unpublished(ctx, id, err.Error()); err != nil {
			l.o.Log.Error("the note that the kept results of a job could not be published is not stored", "job", id, "err", err)
		}
	}
}

// tryPublishKept makes one attempt. It returns batholith.ErrNothingKept if another worker has done it.
func (l *Lifecycle) tryPublishKept(ctx context.Context, id string) error {
	job, err := l.o.Store.Find(ctx, id)
	if err != nil {
		return err
	}
	switch job.Kept {
	case batholith.KeptPublishing:
	case batholith.KeptDiscarding:
		return l.discardKept(ctx, job)
	default:
		return batholith.ErrNothingKept
	}
	epoch, err := l.o.Store.ClaimPublication(ctx, id, l.o.Worker, true, time.Now())
	if err != nil {
		return err
	}
	m, err := l.o.Publisher.Publish(ctx, job, epoch, true)
	if err == nil && m.Pending != nil { // the job is Failed already
		err = l.o.Publisher.Announce(ctx, job, m.Pending)
	}
	if err != nil {
		if errors.Is(err, batholith.ErrOutcomesLost) {
			err = errors.Join(err, l.o.Publisher.Salvage(ctx, job, epoch))
		}
		l.yieldPublication(ctx, id, epoch)
		return l.leftTo(ctx, err)
	}
	failpoint.Here("lifecycle.kept-published")
	now := time.Now()
	if err := l.o.Store.Published(ctx, id, epoch, renotice(job, publishedNotice(job, now)), now); err != nil {
		return err
	}
	l.o.Log.Info("the kept results of a job are published", "job", id, "records", job.Counts.Processed)
	job.Kept = ""
	l.tidy(ctx, job, l.clean)
	return nil
}

// discardKept stores that the results are discarded, and deletes them. The sweep deletes the rest if that fails.
func (l *Lifecycle) discardKept(ctx context.Context, job batholith.Job) error {
	now := time.Now()
	if err := l.o.Store.Discarded(ctx, job.ID, renotice(job, discardedNotice(job, now)), now); err != nil {
		return err
	}
	l.o.Log.Info("the kept results of a job are discarded", "job", job.ID, "records", job.Counts.Processed)
	job.Kept = ""
	l.tidy(ctx, job, l.clean)
	return nil
}

// renotice replaces the keptNotice in a job's message by another notice.
func renotice(job batholith.Job, notice string) string {
	base, _ := strings.CutSuffix(job.Message, keptNotice(job))
	return withNotice(base, notice)
}

// noShelf is the Shelf of a process without one.
type noShelf struct{}

// Shelve does nothing: the outcomes wait until the bucket accepts them.
func (noShelf) Shelve(string) {}

// Unshelve does nothing.
func (noShelf) Unshelve(string) {}
