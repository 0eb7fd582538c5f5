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

	// Time limits of Recover. Outcomes that are not committed by then are committed later, like new ones, and the process starts. If many
	// jobs fail, they usually share one bucket that does not answer; so after recoverInAll each further job gets only recoverLeast.
	recoverTime  = 10 * time.Second       // for one job
	recoverInAll = 30 * time.Second       // for all jobs that fail, together
	recoverLeast = 500 * time.Millisecond // for each job after that
)

// Recover commits the outcomes that earlier processes left in the journal. It must be called once, before Add and Run, and before the
// worker's chunks are released or claimed again: an outcome can be committed only under its epoch and under the name of its worker. That
// may be another worker, if a data directory was copied or has a new name.
//
// Outcomes that are committed already, or whose chunk has another owner or epoch, are skipped. When all others are settled, the old files are
// deleted, or put aside if an operator should see them (see retire). Jobs whose buckets do not answer do not delay the start: their
// outcomes stay pending, and the old files stay until a later start.
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

// Suffixes of journal files that Recover puts aside. They are not read again, and never deleted.
const (
	damagedExt = ".damaged" // a part of the file cannot be read
	foreignExt = ".foreign" // no worker of this database can commit some of its outcomes
)

// retire deletes the files whose outcomes are settled, and puts the others aside.
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

// recovery collects outcomes until they fill a segment.
type recovery struct {
	w       *Writer
	tables  map[string]chunkTable // chunks of the outcomes seen so far, by job; collected records count as done
	batches map[origin][]item
	bytes   map[origin]int64
	total   int64
	done    int               // outcomes that were committed or refused
	pending int               // outcomes that were left to the Writer's queues
	stuck   map[string]bool   // jobs whose time limit is over
	waited  time.Duration     // time spent on them
	aside   map[string]string // files to put aside, with their suffix

	strangers map[string]bool // by job without a chunk here: whether the database does not know the job
}

// read takes in the outcomes of a file.
func (r *recovery) read(ctx context.Context, path string, last bool) error {
	foreign := 0
	end, err := replaySealed(path, last, r.w.o.Keys, func(worker string, o batholith.Outcome) error {
		alien, err := r.visit(ctx, worker, o)
		if alien {
			foreign++
		}
		return err
	})
	if foreign > 0 {
		r.aside[path] = foreignExt
		r.w.o.Log.Error("outcomes in the journal belong to another database, or to another worker whose records are being sent again; the file is kept",
			"file", path+foreignExt, "outcomes", foreign)
	}
	var hurt *damage
	if errors.As(err, &hurt) {
		r.aside[path] = damagedExt
		r.w.o.Log.Error("a journal file is damaged; its readable outcomes count, other records are sent again, and the file is kept",
			"file", path+damagedExt, "unreadable_bytes", hurt.bytes, "first_at", hurt.at)
		return nil
	}
	if err != nil {
		return err
	}
	return r.cutOff(path, end)
}

// cutOff truncates an unfinished end of a file and logs it. The file may be kept, and in a file that is not the last one the same bytes
// would count as damage. It also logs an empty file: a writer begins a file with its head, so the power was lost, or somebody emptied the
// file.
func (r *recovery) cutOff(path string, end int64) error {
	info, err := os.Stat(path)
	if err == nil && (info.Size() > end || end == 0) {
		r.w.o.Log.Warn("the end of a journal file is missing; records whose answers were in it are sent again", "file", path, "unfinished_bytes", info.Size()-end)
		err = os.Truncate(path, end)
	}
	if err != nil {
		return fmt.Errorf("cut off the unfinished end of a journal file: %w", err)
	}
	return nil
}

// visit takes in an outcome. alien is true if it cannot be committed although its record has no other outcome: this database does not know
// the job, or another worker made the outcome and has lost the chunk since.
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
		table[o.Chunk] = found[o.Chunk] // a chunk that does not exist accepts no outcome
	}
	if table[o.Chunk].State == "" && r.stranger(ctx, o.Job) {
		return true, nil
	}
	c := table[o.Chunk]
	// An epoch belongs to one claim, so the chunk's owner is the worker if the file does not name it any more.
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

// stranger reports whether the database does not know the job. A terminal job has no chunks either, but is known.
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

// done marks an outcome's record as done, so that a second outcome for it is skipped.
func (t chunkTable) done(o *batholith.Outcome) {
	c := t[o.Chunk]
	bit := int(o.Key.Record - c.First)
	for len(c.Done) <= bit/8 {
		c.Done = append(c.Done, 0)
	}
	c.Done.Set(bit)
	t[o.Chunk] = c
}

// settleLargest commits the batch with the most bytes. If that takes too long, its outcomes are left to the Writer's queues.
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
		r.w.o.Log.Warn("outcomes of the journal are not committed yet; Batholith retries automatically", "job", from.job, "worker", from.worker, "outcomes", len(batch), "err", err)
		r.stuck[from.job] = true
		r.waited += time.Since(began)
		r.keep(batch)
	}
	return nil
}

// keep leaves outcomes to the Writer's queues. They are not journalled again, since the old files stay.
func (r *recovery) keep(batch []item) {
	r.pending += len(batch)
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	for _, i := range batch {
		q, n := r.w.enqueue(i)
		r.w.pending += q.count(n)
	}
}
