package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/failpoint"
)

// A restored database may be older than the bucket of a job that had not ended. Such a job has the mark Restored, and no record of it is sent:
//
//	read    Books reads the bucket: the manifest, or all segments. It may write segments. Crash: the same again; segments that no row names
//	        are left to the clean-up.
//	enter   One transaction: the job's segments, done records, counters and epochs become what the bucket shows, or the job ends with its
//	        manifest's status; the mark is removed. Crash: the job goes on, or is cleaned up.
//
// A job without a plan is validated first, unless its manifest is there. Its chunks are claimed after the comparison.

// endedBefore is the message of a job that is ended with the manifest in its bucket.
const endedBefore = "The job had ended as %s after the backup from which the database was restored."

// compare compares a restored job with its bucket. It returns true if the step is over: the job must be read again.
func (d *drive) compare(ctx, work context.Context, job batholith.Job) (over bool, err error) {
	if !job.Restored {
		return false, nil
	}
	if d.l.o.Shared {
		duty := "compare " + d.id
		if !d.l.undertakes(work, duty) {
			d.pause(work, dutyAgain) // another worker does it
			return true, nil
		}
		defer d.l.resign(ctx, duty)
	}
	books, err := d.l.o.Publisher.Books(work, job)
	if err != nil {
		if work.Err() != nil && ctx.Err() == nil { // a stop, or the deadline: the job is ended with what the bucket shows
			books, err = d.l.o.Publisher.Books(ctx, job)
		}
		if err != nil {
			return true, err
		}
	}
	failpoint.Here("lifecycle.compared")
	switch planned := job.Status != batholith.StatusSubmitted && job.Status != batholith.StatusValidating; {
	case books.Ended != nil:
		return true, d.endRestored(ctx, job, *books.Ended)
	case !planned:
		return false, nil // the plan comes first
	}
	if err := d.l.o.Store.Rebook(ctx, d.id, books); err != nil {
		return true, err
	}
	d.l.o.Log.Info("a restored job was compared with its bucket", "job", d.id, "finished_records", books.Counts.Processed, "finished_after_the_backup", books.Adopted, "segments_merged_since", books.Missing)
	d.mu.Lock()
	d.counts = books.Counts
	d.counts.Total = job.Counts.Total
	d.mu.Unlock()
	if job.Status == batholith.StatusScheduled && books.Counts.Processed > 0 {
		return true, d.l.Begin(ctx, d.id)
	}
	return true, nil
}

// endRestored ends a job as its manifest says.
func (d *drive) endRestored(ctx context.Context, job batholith.Job, m batholith.Manifest) error {
	to, at := m.Batholith.Status, time.Now()
	message := fmt.Sprintf(endedBefore, to)
	if err := d.l.o.Store.EndRestored(ctx, d.id, job.Status, m, message, at); err != nil {
		return err
	}
	d.moved(job.Status, to, at)
	job.Status = to
	d.l.tidy(ctx, job, d.l.clean)
	return nil
}
