package results

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/batholith/batholith"
)

const (
	recoverBytes = 32 << 20         // outcomes in memory while journals are read
	recoverTime  = 10 * time.Second // for the segments of one job; then its outcomes go on like new ones and the start goes on
)

// Recover commits what earlier processes left in the journal. It must be called once, before Add and Run and before the
// worker's chunks are released or claimed again: an outcome counts only under the epoch that it was made under.
//
// Outcomes that are committed, whose chunk has moved on, or whose job is no more, are passed over. When all that was found is
// settled, the old files are deleted. A job whose bucket is out of reach does not hold up the start: its outcomes stay pending,
// and the old files stay until a start at which nothing of the kind happens.
func (w *Writer) Recover(ctx context.Context) error {
	paths, err := journalFiles(w.o.Dir)
	if err != nil {
		return err
	}
	r := &recovery{w: w, tables: map[string]chunkTable{}, batches: map[origin][]item{}, bytes: map[origin]int64{}, stuck: map[string]bool{}}
	var damaged []string
	for _, path := range paths {
		err := replay(path, func(worker string, o batholith.Outcome) error { return r.visit(ctx, worker, o) })
		if errors.Is(err, errDamaged) {
			w.o.Log.Error("the journal is damaged; records behind the place will be asked again", "file", path+damagedExt, "err", err)
			damaged = append(damaged, path)
		} else if err != nil {
			return fmt.Errorf("recover: %w", err)
		}
	}
	for len(r.batches) > 0 {
		if err := r.settleLargest(ctx); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
	}
	if len(paths) > 0 {
		w.o.Log.Info("journal recovered", "files", len(paths), "committed", r.done, "pending", r.pending)
	}
	if r.pending > 0 {
		return nil
	}
	return retire(paths, damaged)
}

// retire deletes journal files, and puts those that were damaged aside.
func retire(paths, damaged []string) error {
	for _, path := range damaged {
		if err := os.Rename(path, path+damagedExt); err != nil {
			return fmt.Errorf("put damaged journal aside: %w", err)
		}
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("delete journal file: %w", err)
		}
	}
	return nil
}

// origin is a job and the worker that made its outcomes.
type origin struct{ job, worker string }

// recovery collects outcomes until they are worth a segment.
type recovery struct {
	w       *Writer
	tables  map[string]chunkTable // of every job seen, those of the outcomes seen, with the records that were collected counted as done
	batches map[origin][]item
	bytes   map[origin]int64
	total   int64
	done    int             // outcomes that were committed, or found refused in the end
	pending int             // outcomes that wait in the Writer's queues
	stuck   map[string]bool // jobs that ran out of recoverTime
}

// visit takes in an outcome that may still count.
func (r *recovery) visit(ctx context.Context, worker string, o batholith.Outcome) error {
	table := r.tables[o.Job]
	if table == nil {
		table = chunkTable{}
		r.tables[o.Job] = table
	}
	if _, known := table[o.Chunk]; !known {
		found, err := r.w.chunks(ctx, o.Job, []int{o.Chunk})
		if err != nil {
			return err
		}
		table[o.Chunk] = found[o.Chunk] // a chunk that does not exist takes nothing
	}
	if !table.takes(worker, &o) {
		return nil
	}
	table.done(&o)
	from := origin{o.Job, worker}
	i := item{Outcome: o}
	r.batches[from] = append(r.batches[from], i)
	r.bytes[from] += i.size()
	if r.total += i.size(); r.bytes[from] >= segmentBytes || r.total >= recoverBytes {
		return r.settleLargest(ctx)
	}
	return nil
}

// done counts an outcome's record as done, so that a second outcome of it is passed over.
func (t chunkTable) done(o *batholith.Outcome) {
	c := t[o.Chunk]
	bit := int(o.Key.Record - c.First)
	for len(c.Done) <= bit/8 {
		c.Done = append(c.Done, 0)
	}
	c.Done.Set(bit)
	t[o.Chunk] = c
}

// settleLargest settles the batch with the most bytes.
func (r *recovery) settleLargest(ctx context.Context) error {
	var from origin
	for f, n := range r.bytes {
		if n > r.bytes[from] {
			from = f
		}
	}
	batch := r.batches[from]
	r.total -= r.bytes[from]
	delete(r.batches, from)
	delete(r.bytes, from)

	if r.stuck[from.job] {
		r.keep(batch)
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, recoverTime)
	defer cancel()
	err := r.w.settle(limited, from.worker, batch)
	switch {
	case err == nil:
		r.done += len(batch)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case limited.Err() == nil || from.worker != r.w.o.Worker:
		r.w.o.Log.Warn("outcomes given up", "job", from.job, "outcomes", len(batch), "err", err)
	default:
		r.w.o.Log.Warn("outcomes of the journal stay pending", "job", from.job, "err", err)
		r.stuck[from.job] = true
		r.keep(batch)
	}
	return nil
}

// keep leaves outcomes to the Writer's queues. They are not journalled anew: the old files stay.
func (r *recovery) keep(batch []item) {
	r.pending += len(batch)
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	for _, i := range batch {
		r.w.enqueue(i.Outcome, nil)
	}
}
