package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/batholith/batholith"
)

// Commit makes a segment's outcomes count: in one transaction it adds the segment, marks its records as done and adds to the counters. It
// returns the job's counters after it. If only reading them fails, the commit has happened all the same; a repetition returns them.
//
// If the worker does not own a chunk of the commit under the commit's epoch, or a record is done already, the whole
// commit is refused with a [*batholith.StaleError] that names every such chunk. If the job is sealed, or neither InProgress nor Stopping,
// the commit is refused with [batholith.ErrSealed]. A segment that was committed before is not applied again, so that a commit whose answer
// was lost may be repeated. After a merge has replaced the segment, the repetition is stale.
func (s *Store) Commit(ctx context.Context, c batholith.Commit) (batholith.Counts, error) {
	id := c.Segment.Job
	if err := checkCommit(c); err != nil {
		return batholith.Counts{}, wrap("commit to job", id, err)
	}
	// Until the transaction ends, nothing of the segment counts, and after a crash Clean deletes its object. After it, the records are
	// never sent again, whatever happens to the worker.
	var sum batholith.Counts
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		err := s.commit(ctx, tx, c)
		if err == nil && s.dialect.serial() {
			sum, err = one(collect(ctx, tx, scanCounts, countsQuery, id))
		}
		return err
	})
	switch {
	case err != nil && !errors.Is(err, errUnchanged):
		return batholith.Counts{}, wrap("commit to job", id, err)
	case err == nil && s.dialect.serial():
		return sum, nil
	}
	// Read after the transaction: of two workers that commit a job's last records at the same time, one sees both commits.
	sum, err = one(read(ctx, s, scanCounts, countsQuery, id))
	return sum, wrap("read the counters of job", id, err)
}

// commit is Commit within a transaction, without the counters that it returns. It returns errUnchanged if the commit was applied before.
func (s *Store) commit(ctx context.Context, tx *sql.Tx, c batholith.Commit) error {
	id := c.Segment.Job
	if err := s.count(ctx, tx, c); err != nil {
		return err
	}
	if added, err := addSegment(ctx, tx, c.Segment); err != nil {
		return err
	} else if !added {
		return errUnchanged // the rollback takes the counters back
	}
	chunks, err := s.ownedChunks(ctx, tx, c)
	if err != nil {
		return err
	}
	for _, chunk := range chunks {
		if chunk.Done.Len() == chunk.Count {
			chunk.State = batholith.ChunkDone // its lease ends
		}
	}
	if err := s.dialect.storeDone(ctx, tx, id, chunks); err != nil {
		return err
	}
	return s.spend(ctx, tx, c)
}

// checkCommit returns an error if the counters differ from the parts.
func checkCommit(c batholith.Commit) error {
	var done int64
	for _, p := range c.Parts {
		done += int64(p.Done.Len())
	}
	if n := c.Counts; n.Processed != done || n.Succeeded < 0 || n.Errored < 0 || n.Succeeded+n.Errored != done || n.Total != 0 {
		return fmt.Errorf("segment %s: %d records in its parts, but it counts %d processed, %d succeeded, %d errored, %d in total",
			c.Segment.Key, done, n.Processed, n.Succeeded, n.Errored, n.Total)
	}
	return nil
}

// ownedChunks returns the commit's chunks, with its records added to the done ones, or a [*batholith.StaleError]. It locks them in the order of
// their numbers, so that two commits never wait for each other in a circle.
func (s *Store) ownedChunks(ctx context.Context, tx *sql.Tx, c batholith.Commit) ([]*batholith.Chunk, error) {
	numbers := numbersOf(c.Parts)
	read, err := s.dialect.lockChunks(ctx, tx, c.Segment.Job, numbers)
	if err != nil {
		return nil, err
	}
	chunks, all := make(map[int]*batholith.Chunk, len(numbers)), make([]*batholith.Chunk, len(read))
	for i := range read {
		all[i], chunks[read[i].N] = &read[i], &read[i]
	}
	var stale []int
	for _, p := range c.Parts {
		chunk := chunks[p.Chunk]
		if chunk == nil || chunk.State != batholith.ChunkLeased || chunk.Owner != c.Worker || chunk.Epoch != p.Epoch || chunk.Done.Overlaps(p.Done) {
			stale = append(stale, p.Chunk)
			continue
		}
		if err := add(chunk, p.Done); err != nil {
			return nil, err
		}
	}
	if len(stale) > 0 {
		return nil, &batholith.StaleError{Chunks: stale}
	}
	return all, nil
}

// numbersOf returns the numbers of the chunks of parts, each once, in order.
func numbersOf(parts []batholith.CommitPart) []int {
	ns := make([]int, len(parts))
	for i, p := range parts {
		ns[i] = p.Chunk
	}
	slices.Sort(ns)
	return slices.Compact(ns)
}

// add marks records of a chunk as done.
func add(chunk *batholith.Chunk, done batholith.Bits) error {
	for i := range len(done) * 8 {
		switch {
		case !done.Has(i):
		case i >= chunk.Count:
			return fmt.Errorf("chunk %d has no record %d", chunk.N, i)
		default:
			chunk.Done.Set(i)
		}
	}
	return nil
}

// readChunks reads chunks one by one. It locks nothing, since SQLite has one writer.
func readChunks(ctx context.Context, tx *sql.Tx, job string, numbers []int) (chunks []batholith.Chunk, err error) {
	for _, n := range numbers {
		chunk, err := scanChunk(tx.QueryRowContext(ctx, `SELECT `+chunkColumns+` FROM chunks WHERE job = $1 AND n = $2`, job, n))
		switch {
		case err == nil:
			chunks = append(chunks, chunk)
		case !errors.Is(err, sql.ErrNoRows):
			return nil, err
		}
	}
	return chunks, nil
}

// storeDone stores the state and the done records of chunks one by one.
func storeDone(ctx context.Context, tx *sql.Tx, job string, chunks []*batholith.Chunk) error {
	for _, chunk := range chunks {
		_, err := tx.ExecContext(ctx, `UPDATE chunks SET done = $1, state = $2 WHERE job = $3 AND n = $4`,
			[]byte(chunk.Done), string(chunk.State), job, chunk.N)
		if err != nil {
			return err
		}
	}
	return nil
}
