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

// Commit makes a segment's outcomes count: its records are done, and the counters rise, in one transaction. It returns the
// job's counters after it.
//
// A part whose chunk the worker does not own under that epoch, or one of whose records is done already, refuses the whole
// commit with a [*batholith.StaleError] that names every such chunk. A job that is sealed, or neither InProgress nor Stopping,
// takes none: [batholith.ErrSealed]. A segment that was committed before is not applied again, so that a commit whose answer
// was lost may be repeated; after the segment was merged away its repetition is stale.
func (s *Store) Commit(ctx context.Context, c batholith.Commit) (batholith.Counts, error) {
	id := c.Segment.Job
	if err := checkCommit(c); err != nil {
		return batholith.Counts{}, wrap("commit to job", id, err)
	}
	// Before the transaction ends nothing of the segment counts, and its object is garbage that Clean finds. Afterwards its
	// records are never sent again, whatever happens to the worker.
	var counts batholith.Counts
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		g, err := s.lockJob(ctx, tx, id)
		if err != nil {
			return err
		}
		// This is asked first: a commit that happened did so while the job was open, sealed as it may be by now.
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

// checkCommit refuses counters that do not tell the same as the parts.
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

// ownedChunks returns the commit's chunks with its records added to those that are done, or a [*batholith.StaleError].
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
			chunk = &read // without a row it is nobody's
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

// finish writes what is done of the chunks. A chunk that has all of its records stays its owner's no longer.
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

const countColumns = `total, processed, succeeded, errored`

func scanCounts(row *sql.Row) (c batholith.Counts, err error) {
	return c, row.Scan(&c.Total, &c.Processed, &c.Succeeded, &c.Errored)
}

func readCounts(ctx context.Context, tx *sql.Tx, id string) (batholith.Counts, error) {
	return scanCounts(tx.QueryRowContext(ctx, `SELECT `+countColumns+` FROM jobs WHERE id = $1`, id))
}

// addCounts is the statement that adds to the counters of a job. An addition that would not fit leaves 2^63-1: SQL would go on in floating
// point or refuse, and a commit that is refused for one absurd number of a model server would be tried for ever.
var addCounts = func() string {
	var set strings.Builder
	for i, column := range []string{"processed", "succeeded", "errored", "input", "output", "cache_read", "cache_write",
		"attempts", "repeats", "reissued", "invalid", "refused", "exhausted",
		"wasted_input", "wasted_output", "wasted_cache_read", "wasted_cache_write", "reused", "canaries"} {
		fmt.Fprintf(&set, "%[1]s = CASE WHEN %[1]s > 9223372036854775807 - $%[2]d THEN 9223372036854775807 ELSE %[1]s + $%[2]d END, ", column, i+1)
	}
	return `UPDATE jobs SET ` + set.String() + `modified = CASE WHEN modified > $20 THEN modified ELSE $20 END WHERE id = $21 RETURNING ` + countColumns
}()

// count adds what the commit counts to the job.
func count(ctx context.Context, tx *sql.Tx, c batholith.Commit, now time.Time) (batholith.Counts, error) {
	t, l := c.Tokens.Add(batholith.Tokens{}), c.Ledger.Add(batholith.Ledger{}) // the sums have nothing below 0
	return scanCounts(tx.QueryRowContext(ctx, addCounts,
		c.Counts.Processed, c.Counts.Succeeded, c.Counts.Errored, t.Input, t.Output, t.CacheRead, t.CacheWrite,
		l.Attempts, l.Repeats, l.Reissued, l.Outcomes.Invalid, l.Outcomes.Refused, l.Outcomes.Exhausted,
		l.Wasted.Input, l.Wasted.Output, l.Wasted.CacheRead, l.Wasted.CacheWrite, l.Reused, l.Canaries, millis(now), c.Segment.Job))
}

// Ledger returns what the job's committed records cost.
func (s *Store) Ledger(ctx context.Context, id string) (batholith.Ledger, error) {
	var l batholith.Ledger
	err := s.reader.QueryRowContext(ctx, `SELECT attempts, repeats, reissued, invalid, refused, exhausted,
		wasted_input, wasted_output, wasted_cache_read, wasted_cache_write, reused, canaries FROM jobs WHERE id = $1`, id).
		Scan(&l.Attempts, &l.Repeats, &l.Reissued, &l.Outcomes.Invalid, &l.Outcomes.Refused, &l.Outcomes.Exhausted,
			&l.Wasted.Input, &l.Wasted.Output, &l.Wasted.CacheRead, &l.Wasted.CacheWrite, &l.Reused, &l.Canaries)
	return l, wrap("read the ledger of job", id, found(err))
}
