package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/failpoint"
)

// Stopper moves jobs to Stopping in a process without a worker. The workers see the status at their next look at the database, after
// Options.Look at the latest.
type Stopper struct {
	Listener batholith.Listener // its Moved is called
	Log      *slog.Logger       // nil: nothing is logged
	Store    interface {
		Job(ctx context.Context, account, id string) (batholith.Job, error)
		Move(ctx context.Context, id string, from, to batholith.Status, message string, at time.Time) error
	}
}

// Stop moves a job to Stopping. It returns batholith.ErrNotFound, or a *batholith.MoveError if the job is terminal or its end is decided.
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
			if s.Log != nil && err == nil {
				s.Log.Info("job moved", "job", id, "from", job.Status, "to", next)
			}
			if f := s.Listener.Moved; f != nil && err == nil {
				f(batholith.Moved{Job: id, Model: job.Model, Trace: job.Trace, Submitted: job.Submitted, From: job.Status, To: next, At: at})
			}
		}
		if errors.Is(err, batholith.ErrMoved) { // its status has changed: try again, at most once for each status
			continue
		}
		failpoint.Here("lifecycle.stopping")
		return err
	}
}

// Stop is [Stopper.Stop] in the process that runs the job. After it returns, no more records of the job are sent here, and requests in
// flight are cancelled.
func (l *Lifecycle) Stop(ctx context.Context, account, id string) error {
	err := Stopper{Store: l.o.Store, Listener: l.o.Listener, Log: l.o.Log}.Stop(ctx, account, id)
	if d := l.drive(id); err == nil && d != nil {
		d.callOff(batholith.ErrStopped)
	}
	return err
}
