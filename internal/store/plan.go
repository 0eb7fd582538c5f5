package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/batholith/batholith"
)

// Plan stores the files and chunks of a job that is Validating, in place of an earlier plan, and its total of records.
// Every chunk begins as pending and under epoch 0, whatever it says. In another status it is [batholith.ErrMoved].
func (s *Store) Plan(ctx context.Context, id string, files []batholith.File, chunks []batholith.Chunk, total int64) error {
	if err := checkChunks(chunks); err != nil {
		return wrap("plan job", id, err)
	}
	// A crash leaves the plan that was there before, or none: the job is still Validating, and is validated again.
	return wrap("plan job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE jobs SET total = $1 WHERE id = $2 AND status = $3`,
			total, id, string(batholith.StatusValidating))
		if err := changed(ctx, tx, r, err, id, batholith.ErrMoved); err != nil {
			return err
		}
		if err := deletePlan(ctx, tx, id); err != nil {
			return err
		}
		if err := insertFiles(ctx, tx, id, files); err != nil {
			return err
		}
		return insertChunks(ctx, tx, id, chunks)
	}))
}

// checkChunks refuses what could never be finished.
func checkChunks(chunks []batholith.Chunk) error {
	for _, c := range chunks {
		if c.Count <= 0 {
			return fmt.Errorf("chunk %d has %d records", c.N, c.Count)
		}
	}
	return nil
}

func deletePlan(ctx context.Context, tx *sql.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM chunks WHERE job = $1`, id)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM files WHERE job = $1`, id)
	return err
}

// insertFiles inserts row by row: the cost of a statement with many rows rises with the square of its placeholders.
func insertFiles(ctx context.Context, tx *sql.Tx, id string, files []batholith.File) error {
	stmt, err := tx.PrepareContext(ctx, `
		INSERT INTO files (job, n, key, etag, bytes, records, crc32c, output, index_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`)
	if err != nil {
		return err
	}
	for _, f := range files {
		if _, err := stmt.ExecContext(ctx, id, f.N, f.Key, f.ETag, f.Bytes, f.Records, f.CRC32C, f.Output, f.Index); err != nil {
			return fmt.Errorf("file %d: %w", f.N, err)
		}
	}
	return nil
}

func insertChunks(ctx context.Context, tx *sql.Tx, id string, chunks []batholith.Chunk) error {
	stmt, err := tx.PrepareContext(ctx, `
		INSERT INTO chunks (job, n, file, first, count, pos, bytes, index_offset, index_bytes, state, owner, epoch, done)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'pending', '', 0, $10)`)
	if err != nil {
		return err
	}
	for _, c := range chunks {
		_, err := stmt.ExecContext(ctx, id, c.N, c.File, c.First, c.Count, c.Offset, c.Bytes, c.IndexOffset, c.IndexBytes, []byte{})
		if err != nil {
			return fmt.Errorf("chunk %d: %w", c.N, err)
		}
	}
	return nil
}

// Files returns the job's input files in their order.
func (s *Store) Files(ctx context.Context, id string) ([]batholith.File, error) {
	fs, err := read(ctx, s, func(rows *sql.Rows) (f batholith.File, err error) {
		return f, rows.Scan(&f.N, &f.Key, &f.ETag, &f.Bytes, &f.Records, &f.CRC32C, &f.Output, &f.Index)
	}, `SELECT n, key, etag, bytes, records, crc32c, output, index_key FROM files WHERE job = $1 ORDER BY n`, id)
	return fs, wrap("read files of job", id, err)
}

// Chunks returns the job's chunks in their order.
func (s *Store) Chunks(ctx context.Context, id string) ([]batholith.Chunk, error) {
	cs, err := read(ctx, s, func(rows *sql.Rows) (batholith.Chunk, error) { return scanChunk(rows) },
		`SELECT `+chunkColumns+` FROM chunks WHERE job = $1 ORDER BY n`, id)
	return cs, wrap("read chunks of job", id, err)
}

// chunkColumns is what scanChunk reads.
const chunkColumns = `job, n, file, first, count, pos, bytes, index_offset, index_bytes, state, owner, epoch, done`

// scanChunk returns a chunk whose Done has room for all of its records.
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
