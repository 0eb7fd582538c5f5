package results

import "context"

// crowd asks for the oldest journal file to be made superfluous. A token that is there already will do.
func (w *Writer) crowd() {
	select {
	case w.crowded <- struct{}{}:
	default:
	}
}

// unpinAll makes the oldest journal file superfluous whenever there are too many, until ctx ends.
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

// unpin journals once more what keeps an old journal file from being deleted: a few outcomes of a job that cannot be committed
// would otherwise hold on to all that the other jobs wrote beside them.
//
// An outcome is let go of in the old file only when the copy is synced. Until then both files stay, so neither kill -9 nor the loss of
// power takes it from the disk. Where the disk does not take a copy, the old file stays as it is until unpin is called again.
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

// copyItems journals the outcomes of a file once more, as far as the disk takes them. It returns how long the files must be on the disk
// to hold the copies.
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
