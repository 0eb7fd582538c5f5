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

// A job that has ended is forgotten because a user asks for it, or because the retention does. The steps, and what a crash after each leaves:
//
//	ask      One transaction: the job is to be forgotten. Crash: the next look goes on.
//	clean    Its working objects, uploads and shelf are deleted, and its output if that was asked for. Crash: the same again.
//	turn     This worker's journal begins a new file, and the old ones are deleted when all in them is committed. Crash: the next start
//	         deletes them.
//	erase    One transaction, or several for many rows: tags, token, history and the job itself. Crash before the last: the same again.
//	compact  The bytes of the deleted rows are removed from the files of the database. That it is due is stored by the last transaction
//	         of erase. Crash: the next look goes on.
//
// Another worker's journal may hold outcomes of the job until its file is full, or that worker ends. The audit log stays.

const (
	// forgetTime is how long one job's deletion is tried at a time, and forgetAgain the wait after a failure.
	forgetTime, forgetAgain = 2 * time.Minute, 30 * time.Second
	// turnTime is how long a forgotten job waits for the journal. If an outage keeps outcomes of other jobs in it, the job is erased later.
	turnTime = time.Minute
)

// forgetAsked erases jobs as users and the retention request it, until ctx ends.
func (l *Lifecycle) forgetAsked(ctx context.Context) {
	changes, cancel := l.o.Store.Subscribe()
	defer cancel()
	failed := map[string]time.Time{} // when they are tried again
	compact := true                  // a crash may have prevented it
	for ctx.Err() == nil {
		ids, output, err := l.o.Store.Forgetting(ctx)
		if err != nil && ctx.Err() == nil {
			l.o.Log.Error("list jobs to forget", "err", err)
		}
		if len(ids) > 0 && (!l.o.Shared || l.undertakes(ctx, "forget")) {
			compact = l.forgetJobs(ctx, ids, output, failed) || compact
		}
		if compact {
			compact = !l.compact(ctx)
		}
		select {
		case <-changes:
		case <-time.After(l.o.Look):
		case <-ctx.Done():
		}
	}
}

// undertakes reports whether this worker has a duty, and takes it if it is free.
func (l *Lifecycle) undertakes(ctx context.Context, duty string) bool {
	mine, err := l.o.Store.Undertake(ctx, l.o.Worker, duty)
	if err != nil && ctx.Err() == nil {
		l.o.Log.Debug("ask for a duty", "duty", duty, "err", err)
	}
	return mine && err == nil
}

// forgetJobs erases jobs, and reports whether rows were deleted. A job that cannot be erased yet waits for forgetAgain.
func (l *Lifecycle) forgetJobs(ctx context.Context, ids []string, output map[string]bool, failed map[string]time.Time) (erased bool) {
	turned := false
	for _, id := range ids {
		if ctx.Err() != nil {
			return erased
		}
		if time.Now().Before(failed[id]) || l.drive(id) != nil {
			continue
		}
		delete(failed, id)
		if err := l.forgetJob(ctx, id, output[id], &turned); err != nil && ctx.Err() == nil {
			l.o.Log.Warn("a job cannot be forgotten yet; Batholith retries automatically", "job", id, "err", err, "again_in", forgetAgain)
			failed[id] = time.Now().Add(forgetAgain)
			continue
		}
		erased = true
	}
	return erased
}

// forgetJob erases one job. turned says that the journal holds nothing of the listed jobs any more.
func (l *Lifecycle) forgetJob(ctx context.Context, id string, output bool, turned *bool) error {
	ctx, cancel := context.WithTimeout(ctx, forgetTime)
	defer cancel()
	job, err := l.o.Store.Find(ctx, id)
	if err != nil {
		return err
	}
	if err := l.withdraw(ctx, job, output); err != nil {
		return err
	}
	failpoint.Here("lifecycle.withdrawn")
	if l.o.Turn != nil && !*turned {
		waiting, stop := context.WithTimeout(ctx, turnTime)
		err := l.o.Turn(waiting)
		stop()
		if err != nil {
			return fmt.Errorf("wait until the journal holds nothing of the job: %w", err)
		}
		*turned = true
	}
	if err := l.o.Store.EraseJob(ctx, id); err != nil {
		return err
	}
	failpoint.Here("lifecycle.erased")
	l.o.Log.Info("job forgotten", "job", id, "output", output)
	return nil
}

// withdraw deletes the objects of a job: those beside its output, and its output if it is asked for. A bucket that does not exist has none. If
// the role has lost its rights, objects beside the output stay, as after any clean-up; output that is to be deleted is an error.
func (l *Lifecycle) withdraw(ctx context.Context, job batholith.Job, output bool) error {
	err := l.o.Publisher.Clean(ctx, job)
	if blob.Permanent(err) && !output {
		l.o.Log.Warn("objects beside the output of a forgotten job cannot be deleted", "job", job.ID, "err", err)
		err = nil
	}
	if err == nil && output {
		err = l.o.Publisher.Erase(ctx, job)
	}
	if errors.Is(err, batholith.ErrNoBucket) {
		return nil
	}
	return err
}

// compact removes the bytes of erased jobs from the database, and reports whether that is done.
func (l *Lifecycle) compact(ctx context.Context) bool {
	whole, err := l.o.Store.Compact(ctx)
	if err != nil && ctx.Err() == nil {
		l.o.Log.Warn("the database is not compacted yet; Batholith retries automatically", "err", err)
	}
	if err == nil && !whole {
		l.o.Log.Info("the database is too large to be written anew; bytes of deleted jobs may stay in it until they are overwritten")
	}
	return err == nil
}

// outdate notes which jobs the retention forgets.
func (l *Lifecycle) outdate(ctx context.Context) {
	if l.o.Retention == nil {
		return
	}
	age, keep := l.o.Retention()
	for (age > 0 || keep > 0) && ctx.Err() == nil {
		n, err := l.o.Store.Outdate(ctx, age, keep)
		if err != nil && ctx.Err() == nil {
			l.o.Log.Error("find jobs that are kept too long", "err", err)
		}
		if n == 0 || err != nil {
			return
		}
	}
}

// outdateEvents deletes events that are kept too long.
func (l *Lifecycle) outdateEvents(ctx context.Context) {
	if l.o.EventsAge == nil {
		return
	}
	age := l.o.EventsAge()
	if age <= 0 {
		return
	}
	n, err := l.o.Store.DeleteEvents(ctx, age)
	if err != nil && ctx.Err() == nil {
		l.o.Log.Error("delete events that are kept too long", "err", err)
	}
	if n > 0 {
		l.o.Log.Info("old events are deleted", "events", n)
	}
}
