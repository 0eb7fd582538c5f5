package engine

import (
	"context"
	"maps"
	"sync"
	"time"
)

// notes keep what only this worker waits for out of a job's note while other workers go on with the job. They implement dispatch.Store for
// a worker of several. A note that is held back is written once no other living worker has chunks of the job.
type notes struct {
	Store
	worker string

	mu   sync.Mutex        // held while a note is written too, so that an older text does not replace a newer one
	held map[string]string // notes that are held back, by job
}

// notesEvery is the time between two looks whether held notes must be written.
const notesEvery = 5 * time.Second

// Note replaces the note of a job, or holds the text back.
func (n *notes) Note(ctx context.Context, job, text string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.note(ctx, job, text)
}

// note is Note under mu.
func (n *notes) note(ctx context.Context, job, text string) error {
	delete(n.held, job)
	if text == "" {
		return n.Store.Note(ctx, job, "")
	}
	others, err := n.Store.LeasedByOthers(ctx, n.worker, job)
	if err != nil || !others {
		return n.Store.Note(ctx, job, text)
	}
	if n.held == nil {
		n.held = map[string]string{}
	}
	n.held[job] = text
	return nil
}

// run writes held notes when it is time, until ctx ends.
func (n *notes) run(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, notesEvery)
		n.mu.Lock()
		held := maps.Clone(n.held)
		n.mu.Unlock()
		for job, text := range held {
			n.again(ctx, job, text)
		}
	}
}

// again tries to write a held note, unless it was removed or replaced meanwhile.
func (n *notes) again(ctx context.Context, job, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held[job] == text {
		_ = n.note(ctx, job, text) // after an error, as when the job has ended, it is not held any more
	}
}
