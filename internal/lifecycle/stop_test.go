package lifecycle

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

// racing is a store in which the job moves on just before a stop does.
type racing struct {
	job   batholith.Job
	moves []func(*batholith.Job) // what another does before each Move in turn
	moved int
}

func (r *racing) Job(context.Context, string, string) (batholith.Job, error) { return r.job, nil }

func (r *racing) Move(_ context.Context, _ string, from, to batholith.Status, _ string, _ time.Time) error {
	if len(r.moves) > 0 {
		r.moves[0](&r.job)
		r.moves = r.moves[1:]
	}
	if r.job.Status != from || r.job.Ending != "" {
		return batholith.ErrMoved
	}
	r.job.Status = to
	r.moved++
	return nil
}

// A stop that meets the end is told the end; one that meets another stop, or the next status, is a stop.
func TestAStopThatRacesSaysWhatCameOfTheJob(t *testing.T) {
	to := func(s batholith.Status) func(*batholith.Job) { return func(j *batholith.Job) { j.Status = s } }
	ending := func(s batholith.Status) func(*batholith.Job) { return func(j *batholith.Job) { j.Ending = s } }
	for name, c := range map[string]struct {
		from  batholith.Status
		moves []func(*batholith.Job)
		over  batholith.Status // what the refusal names; "" when there is none
		moved int
	}{
		"nothing happens":                {batholith.StatusInProgress, nil, "", 1},
		"validation ends":                {batholith.StatusValidating, []func(*batholith.Job){to(batholith.StatusScheduled)}, "", 1},
		"every status on the way":        {batholith.StatusSubmitted, []func(*batholith.Job){to(batholith.StatusValidating), to(batholith.StatusScheduled), to(batholith.StatusInProgress)}, "", 1},
		"another stop":                   {batholith.StatusInProgress, []func(*batholith.Job){to(batholith.StatusStopping)}, "", 0},
		"another stop, which has ended":  {batholith.StatusInProgress, []func(*batholith.Job){to(batholith.StatusStopped)}, batholith.StatusStopped, 0},
		"the end":                        {batholith.StatusInProgress, []func(*batholith.Job){to(batholith.StatusCompleted)}, batholith.StatusCompleted, 0},
		"the end of its time":            {batholith.StatusScheduled, []func(*batholith.Job){to(batholith.StatusExpired)}, batholith.StatusExpired, 0},
		"a refusal in validation":        {batholith.StatusValidating, []func(*batholith.Job){to(batholith.StatusFailed)}, batholith.StatusFailed, 0},
		"the end is decided, not made":   {batholith.StatusInProgress, []func(*batholith.Job){ending(batholith.StatusPartiallyCompleted)}, batholith.StatusPartiallyCompleted, 0},
		"a beginning and then a failure": {batholith.StatusScheduled, []func(*batholith.Job){to(batholith.StatusInProgress), to(batholith.StatusFailed)}, batholith.StatusFailed, 0},
	} {
		r := &racing{job: batholith.Job{ID: id, Status: c.from}, moves: c.moves}
		told := 0
		err := Stopper{Store: r, Listener: batholith.Listener{Moved: func(batholith.Moved) { told++ }}}.Stop(t.Context(), account, id)
		var over *batholith.MoveError
		switch {
		case c.over == "" && err != nil, c.over != "" && (!errors.As(err, &over) || over.Status != c.over):
			t.Errorf("%s: %v, want the status %q", name, err, c.over)
		case r.moved != c.moved || told != c.moved:
			t.Errorf("%s: moved %d times, told %d times", name, r.moved, told)
		}
	}
}
