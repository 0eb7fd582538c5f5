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

// watchCommand is watch.
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
	firstLook   = 100 * time.Millisecond
	slowestLook = 2 * time.Second
	// lookBudget is how many looks in a row may fail before watching gives up; the SDK has retried each.
	lookBudget = 5
)

// watch shows a job until it has ended.
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

// watched is what a person who watches a job was told of its note.
type watched struct {
	trouble string
	place   int64
	late    bool
}

// news is what is new in a job's note, and the word that it begins with: a warning of what the job waits for, or a note of its place in
// the queue. The expected times change with every look. They are told only when the job becomes late.
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

// closeWatch tells how the job ended.
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

// ended prints how a job ended: its status in colour, and the rest, which breaks at blanks.
func (s *screen) ended(status batholith.Status, rest string) {
	before, after := s.paint(colourOf(status))
	lines := wrap(s.text(string(status)+rest), s.width())
	tail, _ := strings.CutPrefix(lines[0], s.text(string(status)))
	_ = plain.Draw(s.out, before, string(status), after, tail, newline) // there is nowhere else to say so
	for _, line := range lines[1:] {
		_ = plain.Draw(s.out, line, newline)
	}
}
