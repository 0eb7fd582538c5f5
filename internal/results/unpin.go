package results

import "context"

// crowd makes unpinAll look for too many journal files. It does not block.
func (w *Writer) crowd() {
	select {
	case w.crowded <- struct{}{}:
	default:
	}
}

// unpinAll calls unpin for the oldest journal file whenever there are too many, until ctx ends.
func (w *Writer) unpinAll(ctx context.Context) {
	for {
		select {
		case <-w.crowded:
			if old := w.journal.crowded(); old != nil {
				w.unpin(ctx, old)
			}
		case <-ctx.Done():
			return
		}
	}
}

// unpin journals the unsettled outcomes of an old journal file again, so that the file can be deleted. Otherwise a few outcomes of a job
// that cannot be committed would keep the files with all outcomes of other jobs.
//
// An outcome leaves the old file only when its copy is synced. Until then both files stay, so neither kill -9 nor a loss of power loses it.
// If the disk does not accept a copy, the old file stays until the next call.
func (w *Writer) unpin(ctx context.Context, old *logFile) {
	copies := w.copyItems(old)
	w.journal.hurry()
	durable := map[*logFile]bool{}
	for f, end := range copies {
		durable[f] = w.journal.await(ctx, f, end)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, q := range w.queues {
		for i := range q.items {
			it := &q.items[i]
			if it.copy == nil {
				continue
			}
			if durable[it.copy] {
				it.file, it.copy = it.copy, it.file
			}
			w.journal.release(it.copy, 1)
			it.copy = nil
		}
	}
}

// copyItems journals the outcomes of a file again, as far as the disk accepts them. It returns, for each file with copies, the length that
// must be synced to make them durable.
func (w *Writer) copyItems(old *logFile) map[*logFile]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	ends := map[*logFile]int64{}
	for _, q := range w.queues {
		for i := range q.items {
			it := &q.items[i]
			if it.file != old {
				continue
			}
			if it.copy, _ = w.journal.append(&it.Outcome); it.copy == nil {
				return ends
			}
			ends[it.copy] = w.journal.endOf(it.copy)
		}
	}
	return ends
}
