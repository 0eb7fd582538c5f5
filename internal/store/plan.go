package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/failpoint"
)

// Plan is [Store.PlanFrom] for chunks in memory. It checks all of them before it changes anything.
func (s *Store) Plan(ctx context.Context, id string, files []batholith.File, chunks []batholith.Chunk, total int64) error {
	if _, err := checkChunks(-1, chunks); err != nil {
		return wrap("plan job", id, err)
	}
	return s.PlanFrom(ctx, id, files, slices.Values(chunks), total)
}

// PlanFrom replaces the files and chunks of a Validating job, and its total number of records. The chunks must come
// in the order of their numbers. Each is stored as pending and with epoch 0. It returns [batholith.ErrMoved] if the job has another status, or
// if another plan of the job was begun meanwhile.
//
// A plan may have a million chunks, so it is written in many short transactions, and others can write in between. No transaction is open while
// the iterator runs. Until the last transaction the job has no plan: Files and Chunks return nothing, and the job cannot become Scheduled.
// After an error or a crash this remains so, until the next plan replaces the rows or Forget deletes them.
func (s *Store) PlanFrom(ctx context.Context, id string, files []batholith.File, chunks iter.Seq[batholith.Chunk], total int64) error {
	d := draft{s: s, job: id}
	return wrap("plan job", id, d.write(ctx, files, chunks, total))
}

// smallPlan is the number of rows up to which a plan is stored in the transaction that moves its job to Scheduled.
const smallPlan = 256

// Accept is [Store.PlanFrom] followed by the move from Validating to Scheduled. A small plan is stored in the transaction of the move, so
// that a crash leaves the job either unchanged or Scheduled.
func (s *Store) Accept(ctx context.Context, id string, files []batholith.File, chunks iter.Seq[batholith.Chunk], total int64, at time.Time) error {
	next, stop := iter.Pull(chunks)
	defer stop()
	first := make([]batholith.Chunk, 0, 16)
	for len(first)+len(files) <= smallPlan {
		c, more := next()
		if !more {
			return s.acceptSmall(ctx, id, files, first, total, at)
		}
		first = append(first, c)
	}
	all := func(yield func(batholith.Chunk) bool) {
		for _, c := range first {
			if !yield(c) {
				return
			}
		}
		for c, more := next(); more && yield(c); c, more = next() {
		}
	}
	if err := s.PlanFrom(ctx, id, files, all, total); err != nil {
		return err
	}
	return s.Move(ctx, id, batholith.StatusValidating, batholith.StatusScheduled, "", at)
}

// acceptSmall is Accept for a plan that fits into one transaction.
func (s *Store) acceptSmall(ctx context.Context, id string, files []batholith.File, chunks []batholith.Chunk, total int64, at time.Time) error {
	if _, err := checkChunks(-1, chunks); err != nil {
		return wrap("plan job", id, err)
	}
	large := false
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		d := draft{s: s, job: id}
		if err := d.withdraw(ctx, tx); err != nil {
			return err
		}
		for _, t := range []table{chunksTable, filesTable} {
			n, err := deleteSome(ctx, tx, t, id)
			if err != nil {
				return err
			}
			if n >= batchRows { // an earlier plan was large
				large = true
				return errUnchanged
			}
		}
		if err := s.dialect.insertFiles(ctx, tx, id, files); err != nil {
			return err
		}
		if err := s.dialect.insertChunks(ctx, tx, id, chunks); err != nil {
			return err
		}
		if err := d.establish(ctx, tx, total); err != nil {
			return err
		}
		return s.move(ctx, tx, id, batholith.StatusValidating, batholith.StatusScheduled, "", at)
	})
	switch {
	case large:
		if err := s.PlanFrom(ctx, id, files, slices.Values(chunks), total); err != nil {
			return err
		}
		return s.Move(ctx, id, batholith.StatusValidating, batholith.StatusScheduled, "", at)
	case err != nil:
		return wrap("plan job", id, err)
	}
	s.changes.signal()
	return nil
}

// draft is a plan that is being written. Its number distinguishes it from other plans of the job, and every transaction compares it with
// the job's. So if two workers plan one job at the same time, the one that began first is refused, and their chunks never mix.
type draft struct {
	s      *Store
	job    string
	number int64
}

// write replaces the job's plan.
func (d *draft) write(ctx context.Context, files []batholith.File, chunks iter.Seq[batholith.Chunk], total int64) error {
	if err := d.begin(ctx); err != nil {
		return err
	}
	failpoint.Here("store.plan-begun")
	if err := d.clear(ctx); err != nil {
		return err
	}
	for some := range slices.Chunk(files, batchRows) {
		if err := d.step(ctx, func(ctx context.Context, tx *sql.Tx) error { return d.s.dialect.insertFiles(ctx, tx, d.job, some) }); err != nil {
			return err
		}
	}
	last := -1
	some := make([]batholith.Chunk, 0, batchRows)
	flush := func() (err error) {
		if last, err = checkChunks(last, some); err != nil {
			return err
		}
		err = d.step(ctx, func(ctx context.Context, tx *sql.Tx) error { return d.s.dialect.insertChunks(ctx, tx, d.job, some) })
		some = some[:0]
		failpoint.Here("store.plan-half")
		return err
	}
	for c := range chunks {
		if some = append(some, c); len(some) == batchRows {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(some) > 0 {
		if err := flush(); err != nil {
			return err
		}
	}
	return d.finish(ctx, total)
}

// begin makes the job's plan invalid and takes the next number.
func (d *draft) begin(ctx context.Context) error {
	return d.s.write(ctx, d.withdraw)
}

// withdraw is begin within a transaction.
func (d *draft) withdraw(ctx context.Context, tx *sql.Tx) error {
	err := tx.QueryRowContext(ctx, `UPDATE jobs SET plan = plan + 1, drafting = 1, total = 0 WHERE id = $1 AND status = $2 RETURNING plan`,
		d.job, string(batholith.StatusValidating)).Scan(&d.number)
	if errors.Is(err, sql.ErrNoRows) {
		return cause(ctx, tx, d.job, batholith.ErrMoved)
	}
	return err
}

// clear deletes the rows of earlier plans.
func (d *draft) clear(ctx context.Context) error {
	for _, t := range []table{chunksTable, filesTable} {
		if err := d.s.inBatches(ctx, func(ctx context.Context, tx *sql.Tx) (bool, error) {
			if err := d.check(ctx, tx); err != nil {
				return false, err
			}
			n, err := deleteSome(ctx, tx, t, d.job)
			return n < batchRows, err
		}); err != nil {
			return err
		}
	}
	return nil
}

// step writes one batch, if the draft is still the job's latest.
func (d *draft) step(ctx context.Context, insert func(context.Context, *sql.Tx) error) error {
	return d.s.inBatches(ctx, func(ctx context.Context, tx *sql.Tx) (bool, error) {
		if err := d.check(ctx, tx); err != nil {
			return false, err
		}
		return true, insert(ctx, tx)
	})
}

// check returns [batholith.ErrMoved] unless the job is Validating and the draft is its latest. The job's row cannot change before the
// transaction ends.
func (d *draft) check(ctx context.Context, tx *sql.Tx) error {
	var n int
	err := tx.QueryRowContext(ctx, `SELECT 1 FROM jobs WHERE id = $1 AND plan = $2 AND drafting = 1 AND status = $3`+d.s.dialect.lock,
		d.job, d.number, string(batholith.StatusValidating)).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return cause(ctx, tx, d.job, batholith.ErrMoved)
	}
	return err
}

// finish makes the draft valid as the job's plan.
func (d *draft) finish(ctx context.Context, total int64) error {
	return d.s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := d.check(ctx, tx); err != nil {
			return err
		}
		return d.establish(ctx, tx, total)
	})
}

// establish is finish within a transaction that has checked the draft.
func (d *draft) establish(ctx context.Context, tx *sql.Tx, total int64) error {
	_, err := tx.ExecContext(ctx, `UPDATE jobs SET drafting = 0, total = $1 WHERE id = $2`, total, d.job)
	return err
}

// checkChunks returns an error for an empty chunk, and for chunks that are not in the order of their numbers after last. It returns the
// number of the last chunk.
func checkChunks(last int, chunks []batholith.Chunk) (int, error) {
	for _, c := range chunks {
		switch {
		case c.Count <= 0:
			return last, fmt.Errorf("chunk %d has %d records", c.N, c.Count)
		case c.N <= last:
			return last, fmt.Errorf("chunk %d comes after chunk %d", c.N, last)
		}
		last = c.N
	}
	return last, nil
}

// insertFiles inserts row by row: SQLite has no arrays, and the time of a statement with many rows grows with the square of its placeholders.
func insertFiles(ctx context.Context, tx *sql.Tx, id string, files []batholith.File) error {
	for _, f := range files {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO files (job, n, key, etag, bytes, records, crc32c, output, index_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			id, f.N, f.Key, f.ETag, f.Bytes, f.Records, f.CRC32C, f.Output, f.Index)
		if err != nil {
			return fmt.Errorf("file %d: %w", f.N, err)
		}
	}
	return nil
}

// insertChunks inserts row by row, for the same reason.
func insertChunks(ctx context.Context, tx *sql.Tx, id string, chunks []batholith.Chunk) error {
	for _, c := range chunks {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO chunks (job, n, file, first, count, pos, bytes, index_offset, index_bytes, state, owner, epoch, done)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'pending', '', 0, $10)`, id, c.N, c.File, c.First, c.Count, c.Offset, c.Bytes, c.IndexOffset, c.IndexBytes, []byte{})
		if err != nil {
			return fmt.Errorf("chunk %d: %w", c.N, err)
		}
	}
	return nil
}

// planned is the condition that the job's plan is finished.
const planned = `(SELECT drafting FROM jobs WHERE id = $1) = 0`

// Files returns the job's input files in their order. Without a finished plan there are none.
func (s *Store) Files(ctx context.Context, id string) ([]batholith.File, error) {
	fs, err := read(ctx, s, func(rows *sql.Rows) (f batholith.File, err error) {
		return f, rows.Scan(&f.N, &f.Key, &f.ETag, &f.Bytes, &f.Records, &f.CRC32C, &f.Output, &f.Index)
	}, `SELECT n, key, etag, bytes, records, crc32c, output, index_key FROM files WHERE job = $1 AND `+planned+` ORDER BY n`, id)
	return fs, wrap("read files of job", id, err)
}

// Chunks returns the job's chunks in their order. Without a finished plan there are none. It is for tests and small jobs, since a job may
// have a million. It reads page by page, so that the pages may be of different moments.
func (s *Store) Chunks(ctx context.Context, id string) ([]batholith.Chunk, error) {
	var all []batholith.Chunk
	for next := 0; ; next = all[len(all)-1].N + 1 {
		page, err := read(ctx, s, func(rows *sql.Rows) (batholith.Chunk, error) { return scanChunk(rows) },
			chunksQuery, id, next, batchRows)
		if err != nil {
			return nil, wrap("read chunks of job", id, err)
		}
		if all = append(all, page...); len(page) < batchRows {
			return all, nil
		}
	}
}

// chunksQuery reads one page of Chunks.
const chunksQuery = `SELECT ` + chunkColumns + ` FROM chunks WHERE job = $1 AND n >= $2 AND ` + planned + ` ORDER BY n LIMIT $3`

// ChunksOf returns the job's chunks with these numbers, in order. Numbers without a chunk are skipped.
func (s *Store) ChunksOf(ctx context.Context, id string, numbers []int) ([]batholith.Chunk, error) {
	numbers = slices.Compact(slices.Sorted(slices.Values(numbers)))
	var all []batholith.Chunk
	for some := range slices.Chunk(numbers, maxNumbers) {
		args := []any{id}
		for _, n := range some {
			args = append(args, n)
		}
		page, err := read(ctx, s, func(rows *sql.Rows) (batholith.Chunk, error) { return scanChunk(rows) },
			chunksOfQuery(len(some)), args...)
		if err != nil {
			return nil, wrap("read chunks of job", id, err)
		}
		all = append(all, page...)
	}
	return all, nil
}

// maxNumbers is the number of chunks that one statement reads: the time of a statement grows with the square of its placeholders.
const maxNumbers = 100

// chunksOfQuery is the statement of ChunksOf for n numbers.
func chunksOfQuery(n int) string {
	return `SELECT ` + chunkColumns + ` FROM chunks WHERE job = $1 AND ` + among("n", 2, n) + ` AND ` + planned + ` ORDER BY n`
}

// chunkColumns are the columns that scanChunk reads.
const chunkColumns = `job, n, file, first, count, pos, bytes, index_offset, index_bytes, state, owner, epoch, done`

// scanChunk reads a row of chunkColumns. Done has room for all records of the chunk.
func scanChunk(row interface{ Scan(...any) error }) (batholith.Chunk, error) {
	var c batholith.Chunk
	var done []byte
	err := row.Scan(&c.Job, &c.N, &c.File, &c.First, &c.Count, &c.Offset, &c.Bytes, &c.IndexOffset, &c.IndexBytes,
		&c.State, &c.Owner, &c.Epoch, &done)
	if err != nil {
		return c, err
	}
	c.Done = batholith.NewBits(c.Count)
	if n := copy(c.Done, done); n < len(done) {
		return c, errors.New("the set of finished records is longer than the chunk")
	}
	return c, nil
}
