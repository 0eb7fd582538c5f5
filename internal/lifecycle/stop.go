package lifecycle

import (
	"context"
	"errors"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/failpoint"
)

// Stopper moves jobs to Stopping in a process that runs none. The workers see the status when they next look at the database, after
// Options.Look at the latest.
type Stopper struct {
	Listener batholith.Listener // is told of Moved
	Store    interface {
		Job(ctx context.Context, account, id string) (batholith.Job, error)
		Move(ctx context.Context, id string, from, to batholith.Status, message string, at time.Time) error
	}
}

// Stop returns once the job is Stopping. Its errors are batholith.ErrNotFound, and *batholith.MoveError for a job that is over or whose
// end is decided.
func (s Stopper) Stop(ctx context.Context, account, id string) error {
	for {
		job, err := s.Store.Job(ctx, account, id)
		if err != nil {
			return err
		}
		next, err := job.Status.Next(batholith.EventStop)
		if err != nil {
			return err
		}
		if next != job.Status {
			if job.Ending != "" {
				return &batholith.MoveError{Status: job.Ending, Event: batholith.EventStop}
			}
			at := time.Now()
			err = s.Store.Move(ctx, id, job.Status, next, "", at)
			if f := s.Listener.Moved; f != nil && err == nil {
				f(batholith.Moved{Job: id, From: job.Status, To: next, At: at})
			}
		}
		if errors.Is(err, batholith.ErrMoved) { // it moved on meanwhile: ask again, at most as often as a job has statuses
			continue
		}
		failpoint.Here("lifecycle.stopping")
		return err
	}
}

// Stop is [Stopper.Stop] in the process that runs the job: once it returns, nothing more of the job is begun here, and what was in flight
// is called off.
func (l *Lifecycle) Stop(ctx context.Context, account, id string) error {
	err := Stopper{Store: l.o.Store, Listener: l.o.Listener}.Stop(ctx, account, id)
	if d := l.drive(id); err == nil && d != nil {
		d.callOff(batholith.ErrStopped)
	}
	return err
}
