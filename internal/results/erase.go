package results

import (
	"context"
	"fmt"

	"github.com/batholith/batholith"
)

// Turn begins a new journal file, and returns when the files of before are deleted: when all outcomes in them are settled, so that nothing of
// a job that has ended is in the journal any more. It returns the cause of ctx if it ends first. Run must be running.
func (w *Writer) Turn(ctx context.Context) error {
	if err := w.journal.turn(ctx); err != nil {
		return fmt.Errorf("begin a new journal file: %w", err)
	}
	return nil
}

// Erase deletes the output of a job: every object below its prefix. It may be repeated.
func (p *Publisher) Erase(ctx context.Context, job batholith.Job) error {
	place, err := p.o.Open(ctx, job.ID)
	if err == nil {
		err = empty(ctx, place.Output, place.Prefix)
	}
	if err != nil {
		return fmt.Errorf("delete the output of job %s: %w", job.ID, err)
	}
	return nil
}
