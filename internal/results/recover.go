package results

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/batholith/batholith"
)

const (
	recoverBytes = 32 << 20 // outcomes in memory while journals are read

	// For the segments of one job; then its outcomes go on like new ones and the start goes on. The jobs whose time ran out may have
	// taken so long in all; after that each job gets only the least time, for usually they share one bucket, and it is out of reach.
	recoverTime  = 10 * time.Second
	recoverInAll = 30 * time.Second
	recoverLeast = 500 * time.Millisecond
)

// Recover commits what earlier processes left in the journal. It must be called once, before Add and Run and before the
// worker's chunks are released or claimed again: an outcome counts only under the epoch that it was made under, and under the name of
// the worker that made it, which need not be this one's: a data directory may have been copied, or have got a new name.
//
// Outcomes that are committed, or whose chunk has moved on, are passed over. When all that was found is settled, the old files are
// deleted, except for those that a person should see, which are put aside: see retire. Jobs whose buckets are out of reach, however many,
// do not hold up the start: their outcomes stay pending, and the old files stay until a start at which nothing of the kind happens.
func (w *Writer) Recover(ctx context.Context) error {
	paths, err := journalFiles(w.o.Dir)
	if err != nil {
		return err
	}
	r := &recovery{w: w, tables: map[string]chunkTable{}, batches: map[origin][]item{}, bytes: map[origin]int64{}, stuck: map[string]bool{},
		aside: map[string]string{}, strangers: map[string]bool{}}
	for i, path := range paths {
		if err := r.read(ctx, path, i == len(paths)-1); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
	}
	for len(r.batches) > 0 {
		if err := r.settleLargest(ctx); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
	}
	if len(paths) > 0 {
		w.o.Log.Info("journal recovered", "files", len(paths), "committed", r.done, "pending", r.pending, "put_aside", len(r.aside))
	}
	if r.pending > 0 {
		return nil
	}
	return r.retire(paths)
}

// What is appended to the name of a journal file that Recover puts aside. It is not read again, and never deleted.
const (
	damagedExt = ".damaged" // a part of it could not be read
	foreignExt = ".foreign" // it has outcomes that can be committed by nobody here
)

// retire deletes the files whose outcomes are settled, and puts aside those that have something left.
func (r *recovery) retire(paths []string) error {
	for _, path := range paths {
		if ext := r.aside[path]; ext != "" {
			if err := os.Rename(path, path+ext); err != nil {
				return fmt.Errorf("put journal file aside: %w", err)
			}
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("delete journal file: %w", err)
		}
	}
	return syncFolder(r.w.o.Dir)
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
	done    int               // outcomes that were committed, or found refused in the end
	pending int               // outcomes that wait in the Writer's queues
	stuck   map[string]bool   // jobs that ran out of time
	waited  time.Duration     // for these
	aside   map[string]string // files that are put aside, and under which extension

	strangers map[string]bool // jobs of whose outcomes no chunk was found: whether the database has no such job
}

// read takes in the outcomes of a file.
func (r *recovery) read(ctx context.Context, path string, last bool) error {
	foreign := 0
	end, err := replayFile(path, last, func(worker string, o batholith.Outcome) error {
		alien, err := r.visit(ctx, worker, o)
		if alien {
			foreign++
		}
		return err
	})
	if foreign > 0 {
		r.aside[path] = foreignExt
		r.w.o.Log.Error("outcomes in the journal belong to another database or to another worker whose records are being asked again; the file is kept",
			"file", path+foreignExt, "outcomes", foreign)
	}
	var hurt *damage
	if errors.As(err, &hurt) {
		r.aside[path] = damagedExt
		r.w.o.Log.Error("a journal file is damaged; what could be read of it counts, other records are asked again, and the file is kept",
			"file", path+damagedExt, "unreadable_bytes", hurt.bytes, "first_at", hurt.at)
		return nil
	}
	if err != nil {
		return err
	}
	return r.cutOff(path, end)
}

// cutOff takes a torn end off a file and says so. The file may be kept, and then it is the last one no more: the same bytes would be
// damage. An empty file is told of too: its writer begins a file with its head, so either the power went, or somebody emptied it.
func (r *recovery) cutOff(path string, end int64) error {
	info, err := os.Stat(path)
	if err == nil && (info.Size() > end || end == 0) {
		r.w.o.Log.Warn("the end of a journal file is not there; records whose answers it had are asked again", "file", path, "unfinished_bytes", info.Size()-end)
		err = os.Truncate(path, end)
	}
	if err != nil {
		return fmt.Errorf("cut off the unfinished end of a journal file: %w", err)
	}
	return nil
}

// visit takes in an outcome that may still count. It is alien when it does not, and may have been made for nothing: when this database
// has no such job, or another worker made it whose chunk has moved on while the record has no other outcome yet.
func (r *recovery) visit(ctx context.Context, worker string, o batholith.Outcome) (alien bool, err error) {
	table := r.tables[o.Job]
	if table == nil {
		table = chunkTable{}
		r.tables[o.Job] = table
	}
	if _, known := table[o.Chunk]; !known {
		found, err := r.w.chunks(ctx, o.Job, []int{o.Chunk})
		if err != nil {
			return false, err
		}
		table[o.Chunk] = found[o.Chunk] // a chunk that does not exist takes nothing
	}
	if table[o.Chunk].State == "" && r.stranger(ctx, o.Job) {
		return true, nil
	}
	c := table[o.Chunk]
	// The epoch of a chunk is that of one claim, so the owner is known where the file has lost its name.
	worker = cmp.Or(worker, c.Owner)
	if !table.takes(worker, &o) {
		return worker != r.w.o.Worker && c.State != "" && c.State != batholith.ChunkDone && !c.Done.Has(int(o.Key.Record-c.First)), nil
	}
	table.done(&o)
	from := origin{o.Job, worker}
	i := item{Outcome: o, worker: worker}
	r.batches[from] = append(r.batches[from], i)
	r.bytes[from] += i.size()
	if r.total += i.size(); r.bytes[from] >= segmentBytes || r.total >= recoverBytes {
		return false, r.settleLargest(ctx)
	}
	return false, nil
}

// stranger tells whether the database has no such job. A job that is over has no chunks either, but is known.
func (r *recovery) stranger(ctx context.Context, job string) bool {
	strange, asked := r.strangers[job]
	if !asked {
		ctx, cancel := context.WithTimeout(ctx, recoverTime)
		defer cancel()
		_, err := r.w.o.Open(ctx, job)
		strange = errors.Is(err, batholith.ErrNotFound)
		r.strangers[job] = strange
	}
	return strange
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

// settleLargest settles the batch with the most bytes. What cannot be settled in time goes on like new outcomes.
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
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, min(recoverTime, max(recoverInAll-r.waited, recoverLeast)))
	defer cancel()
	err := r.w.settle(limited, from.worker, batch)
	switch {
	case err == nil:
		r.done += len(batch)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		r.w.o.Log.Warn("outcomes of the journal stay pending", "job", from.job, "worker", from.worker, "outcomes", len(batch), "err", err)
		r.stuck[from.job] = true
		r.waited += time.Since(began)
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
		q, n := r.w.enqueue(i)
		r.w.pending += q.count(n)
	}
}
