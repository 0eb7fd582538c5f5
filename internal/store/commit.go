package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/batholith/batholith"
)

// Commit makes a segment's outcomes count: in one transaction it adds the segment, marks its records as done and adds to the counters. It
// returns the job's counters after it.
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
	var counts batholith.Counts
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		g, err := s.lockJob(ctx, tx, id)
		if err != nil {
			return err
		}
		// Check this first: the job may have been sealed after the commit was applied.
		if known, err := hasSegment(ctx, tx, id, c.Segment.Key); err != nil {
			return err
		} else if known {
			counts, err = readCounts(ctx, tx, id)
			return err
		}
		if g.sealed || g.status != batholith.StatusInProgress && g.status != batholith.StatusStopping {
			return batholith.ErrSealed
		}
		chunks, err := s.ownedChunks(ctx, tx, c)
		if err != nil {
			return err
		}
		if err := finish(ctx, tx, chunks); err != nil {
			return err
		}
		if err := insertSegment(ctx, tx, c.Segment); err != nil {
			return err
		}
		now, err := s.dialect.now(ctx, tx)
		if err != nil {
			return err
		}
		counts, err = count(ctx, tx, c, now)
		return err
	})
	if err != nil {
		return batholith.Counts{}, wrap("commit to job", id, err)
	}
	return counts, nil
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

// ownedChunks returns the commit's chunks, with its records added to the done ones, or a [*batholith.StaleError].
func (s *Store) ownedChunks(ctx context.Context, tx *sql.Tx, c batholith.Commit) (map[int]*batholith.Chunk, error) {
	query := `SELECT ` + chunkColumns + ` FROM chunks WHERE job = $1 AND n = $2` + s.dialect.lock
	chunks := map[int]*batholith.Chunk{}
	var stale []int
	for _, p := range c.Parts {
		chunk := chunks[p.Chunk]
		if chunk == nil {
			read, err := scanChunk(tx.QueryRowContext(ctx, query, c.Segment.Job, p.Chunk))
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return nil, err
			}
			chunk = &read // a chunk without a row has no owner
			chunks[p.Chunk] = chunk
		}
		if chunk.State != batholith.ChunkLeased || chunk.Owner != c.Worker || chunk.Epoch != p.Epoch || chunk.Done.Overlaps(p.Done) {
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
	return chunks, nil
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

// finish writes the done records of chunks. A chunk with all records done becomes ChunkDone, and its lease ends.
func finish(ctx context.Context, tx *sql.Tx, chunks map[int]*batholith.Chunk) error {
	for n, chunk := range chunks {
		if chunk.Done.Len() == chunk.Count {
			chunk.State = batholith.ChunkDone
		}
		_, err := tx.ExecContext(ctx, `UPDATE chunks SET done = $1, state = $2 WHERE job = $3 AND n = $4`,
			[]byte(chunk.Done), string(chunk.State), chunk.Job, n)
		if err != nil {
			return err
		}
	}
	return nil
}

// countColumns are the columns that scanCounts reads.
const countColumns = `total, processed, succeeded, errored`

// scanCounts reads a row of countColumns.
func scanCounts(row *sql.Row) (c batholith.Counts, err error) {
	return c, row.Scan(&c.Total, &c.Processed, &c.Succeeded, &c.Errored)
}

// readCounts reads the counters of a job.
func readCounts(ctx context.Context, tx *sql.Tx, id string) (batholith.Counts, error) {
	return scanCounts(tx.QueryRowContext(ctx, `SELECT `+countColumns+` FROM jobs WHERE id = $1`, id))
}

// addCounts is the statement that adds to the counters of a job. A sum that does not fit becomes 2^63-1. Otherwise SQL would use floating
// point or fail, and a commit that fails because of one absurd number from a model server would be retried for ever.
var addCounts = func() string {
	var set strings.Builder
	for i, column := range []string{"processed", "succeeded", "errored", "input", "output", "cache_read", "cache_write",
		"attempts", "repeats", "reissued", "invalid", "refused", "exhausted",
		"wasted_input", "wasted_output", "wasted_cache_read", "wasted_cache_write", "reused", "canaries"} {
		fmt.Fprintf(&set, "%[1]s = CASE WHEN %[1]s > 9223372036854775807 - $%[2]d THEN 9223372036854775807 ELSE %[1]s + $%[2]d END, ", column, i+1)
	}
	return `UPDATE jobs SET ` + set.String() + `modified = CASE WHEN modified > $20 THEN modified ELSE $20 END WHERE id = $21 RETURNING ` + countColumns
}()

// count adds the counters of a commit to the job's.
func count(ctx context.Context, tx *sql.Tx, c batholith.Commit, now time.Time) (batholith.Counts, error) {
	t, l := c.Tokens.Add(batholith.Tokens{}), c.Ledger.Add(batholith.Ledger{}) // Add raises negative values to 0
	return scanCounts(tx.QueryRowContext(ctx, addCounts,
		c.Counts.Processed, c.Counts.Succeeded, c.Counts.Errored, t.Input, t.Output, t.CacheRead, t.CacheWrite,
		l.Attempts, l.Repeats, l.Reissued, l.Outcomes.Invalid, l.Outcomes.Refused, l.Outcomes.Exhausted,
		l.Wasted.Input, l.Wasted.Output, l.Wasted.CacheRead, l.Wasted.CacheWrite, l.Reused, l.Canaries, millis(now), c.Segment.Job))
}

// Ledger returns the job's sums over its committed records: attempts, error lines by kind, wasted tokens.
func (s *Store) Ledger(ctx context.Context, id string) (batholith.Ledger, error) {
	var l batholith.Ledger
	err := s.reader.QueryRowContext(ctx, `SELECT attempts, repeats, reissued, invalid, refused, exhausted,
		wasted_input, wasted_output, wasted_cache_read, wasted_cache_write, reused, canaries FROM jobs WHERE id = $1`, id).
		Scan(&l.Attempts, &l.Repeats, &l.Reissued, &l.Outcomes.Invalid, &l.Outcomes.Refused, &l.Outcomes.Exhausted,
			&l.Wasted.Input, &l.Wasted.Output, &l.Wasted.CacheRead, &l.Wasted.CacheWrite, &l.Reused, &l.Canaries)
	return l, wrap("read the ledger of job", id, found(err))
}
