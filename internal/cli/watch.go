package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// watchCommand returns the command watch. It may be started at any time, also for a job that has ended: it then
// prints how.
func (a *app) watchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch JOB",
		Short: "Watch a job to its end",
		Long: `Watch a job to its end: with a progress bar on a terminal, otherwise with a line for each change. Ctrl-C stops the command,
not the job. The exit code is 3 if the job does not end Completed.
JOB is its id, its ARN, or its name if only one job has that name.` + clientHelp,
		Example: `  batholith watch 8fj2k4l6m8n0`,
		Args:    arguments(1, 1, "a JOB: an id, an ARN or a name"),
	}
	t := a.bindTarget(cmd)
	a.completeJobs(cmd, t, nil)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, j, err := a.connectTo(cmd.Context(), *t, args[0])
		if err != nil {
			return err
		}
		j, err = a.watch(cmd.Context(), c, j)
		if err != nil {
			return err
		}
		return a.closeWatch(j)
	}
	return cmd
}

// How often a job is looked at: soon in its beginning, so that a short job ends at once, and every two seconds later on.
const (
	// The job is requested soon at first, so that the end of a short job is seen at once. Each wait is 1.25 times
	// the last, up to slowestLook.
	firstLook   = 100 * time.Millisecond
	slowestLook = 2 * time.Second
	// lookBudget is the number of requests in a row that may fail before the wait is given up. The SDK has retried
	// each of them.
	lookBudget = 5
)

// watch shows a job until it has ended, and returns it as it was last seen, also with an error. Ctrl-C ends the
// wait and not the job. Outages of the server are tolerated for lookBudget - 1 requests in a row, each with the
// SDK's retries.
func (a *app) watch(ctx context.Context, c *clients, j jobFacts) (jobFacts, error) {
	p := a.newProgress()
	defer p.done()
	defer p.followSize()()
	wait, failed := firstLook, 0
	var told watched
	for {
		if kind, now := told.news(j); now != "" {
			p.done()
			a.tell(kind, now)
		}
		p.show(standing{status: j.Status, counts: batholith.Counts{
			Total: j.Total, Processed: j.Processed, Succeeded: j.Succeeded, Errored: j.Errored}})
		if j.Status.Terminal() {
			return j, nil
		}
		select {
		case <-ctx.Done():
			return j, hint(ctx.Err(), "the job goes on; see it again with: batholith watch %s", words.Quote(j.id()))
		case <-time.After(wait):
		}
		// Waits grow from 100 ms to 2 s within 14 requests.
		wait = min(wait*5/4, slowestLook)
		next, err := c.fetch(ctx, j.ARN)
		switch {
		case err == nil:
			j, failed = next, 0
		case ctx.Err() != nil:
			return j, hint(errors.Join(ctx.Err(), err), "the job goes on; see it again with: batholith watch %s", words.Quote(j.id()))
		default:
			if failed++; failed == lookBudget {
				return j, err
			}
		}
	}
}

// watched is what the user has already been told of a job's note, so that nothing is repeated.
type watched struct {
	trouble string
	place   int64
	late    bool
}

// news returns a text that the user has not been told yet, and its kind: a warning about the cause of a wait or
// about a late job, or a note of the place in the queue. It returns "" if there is none. Forecasts change with
// every request, so they are only told when the job becomes late.
func (w *watched) news(j jobFacts) (kind, text string) {
	if j.Status.Terminal() {
		return "", ""
	}
	f := j.forecast()
	_, note := j.told()
	switch before := *w; {
	case f == nil:
		if w.trouble = note; note != before.trouble {
			return "warning", note
		}
	case f.Late:
		if w.late = true; !before.late {
			return "warning", note
		}
	case f.Position > 0:
		if w.place = int64(f.Position); w.place != before.place {
			return "note", fmt.Sprintf("number %d of the jobs that wait for this model", f.Position)
		}
	}
	if f != nil {
		w.trouble = ""
	}
	return "", ""
}

// closeWatch prints how the job ended and where its output is. A status other than Completed is an *endedError,
// exit code 3.
func (a *app) closeWatch(j jobFacts) error {
	took := ""
	if j.Submitted != nil && j.Ended != nil {
		took = " after " + words.Span(j.Ended.Sub(*j.Submitted))
	}
	s := a.talk()
	if j.Processed == 0 {
		s.ended(j.Status, took+", with no record done")
	} else {
		s.ended(j.Status, fmt.Sprintf("%s: %s of %s records succeeded, %s", took, words.Number(j.Succeeded), words.Number(j.Total), words.Plural(j.Errored, "error")))
		plain.Fprintf(a.stderr, "output in %s\n", j.outputPrefix())
	}
	if j.Status != batholith.StatusCompleted {
		_, told := j.told()
		ended := &endedError{status: j.Status, message: told}
		if j.Status == batholith.StatusFailed && j.Processed == 0 {
			return hint(ended, "correct what it names, and create the job again; no record was sent")
		}
		return ended
	}
	return nil
}

// ended prints a status in its colour, followed by rest, broken at blanks to the width of the screen.
func (s *screen) ended(status batholith.Status, rest string) {
	before, after := s.paint(colourOf(status))
	lines := wrap(s.text(string(status)+rest), s.width())
	tail, _ := strings.CutPrefix(lines[0], s.text(string(status)))
	_ = plain.Draw(s.out, before, string(status), after, tail, newline) // there is nowhere else to say so
	for _, line := range lines[1:] {
		_ = plain.Draw(s.out, line, newline)
	}
}
