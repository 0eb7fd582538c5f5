package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/batholith/batholith"
)

// Plan stores the files and chunks of a job that is Validating, in place of an earlier plan, and its total of records.
// Every chunk begins as pending and under epoch 0, whatever it says. In another status it is [batholith.ErrMoved].
func (s *Store) Plan(ctx context.Context, id string, files []batholith.File, chunks []batholith.Chunk, total int64) error {
	if err := checkChunks(chunks); err != nil {
		return wrap("plan job", id, err)
	}
	return wrap("plan job", id, s.write(ctx, func(tx *sql.Tx) error {
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

func insertFiles(ctx context.Context, tx *sql.Tx, id string, files []batholith.File) error {
	in := inserter{tx: tx, into: `files (job, n, key, etag, bytes, records, output, index_key)`, columns: 8}
	for _, f := range files {
		if err := in.add(ctx, id, f.N, f.Key, f.ETag, f.Bytes, f.Records, f.Output, f.Index); err != nil {
			return err
		}
	}
	return in.flush(ctx)
}

func insertChunks(ctx context.Context, tx *sql.Tx, id string, chunks []batholith.Chunk) error {
	in := inserter{tx: tx, into: `chunks (job, n, file, first, count, pos, bytes, index_offset, index_bytes, state, owner, epoch, done)`,
		columns: 13}
	for _, c := range chunks {
		err := in.add(ctx, id, c.N, c.File, c.First, c.Count, c.Offset, c.Bytes, c.IndexOffset, c.IndexBytes,
			string(batholith.ChunkPending), "", 0, []byte{})
		if err != nil {
			return err
		}
	}
	return in.flush(ctx)
}

// inserterRows is how many rows one statement inserts. Beyond that, binding the values is what takes the time.
const inserterRows = 50

// An inserter inserts many rows, inserterRows to a statement that is prepared once.
type inserter struct {
	tx      *sql.Tx
	into    string // table and columns
	columns int
	full    *sql.Stmt // of inserterRows rows; belongs to tx, which closes it
	args    []any
}

func (in *inserter) add(ctx context.Context, row ...any) error {
	in.args = append(in.args, row...)
	if len(in.args) < inserterRows*in.columns {
		return nil
	}
	if in.full == nil {
		stmt, err := in.tx.PrepareContext(ctx, in.text(inserterRows))
		if err != nil {
			return err
		}
		in.full = stmt
	}
	_, err := in.full.ExecContext(ctx, in.args...)
	in.args = in.args[:0]
	return err
}

// flush inserts what is left.
func (in *inserter) flush(ctx context.Context) error {
	if len(in.args) == 0 {
		return nil
	}
	_, err := in.tx.ExecContext(ctx, in.text(len(in.args)/in.columns), in.args...)
	in.args = nil
	return err
}

func (in *inserter) text(rows int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + in.into + " VALUES ")
	for i := range rows * in.columns {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%in.columns == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", i+1)
	}
	b.WriteString(")")
	return b.String()
}

// Files returns the job's input files in their order.
func (s *Store) Files(ctx context.Context, id string) ([]batholith.File, error) {
	fs, err := collect(ctx, s.reader, func(rows *sql.Rows) (f batholith.File, err error) {
		return f, rows.Scan(&f.N, &f.Key, &f.ETag, &f.Bytes, &f.Records, &f.Output, &f.Index)
	}, `SELECT n, key, etag, bytes, records, output, index_key FROM files WHERE job = $1 ORDER BY n`, id)
	return fs, wrap("read files of job", id, err)
}

// Chunks returns the job's chunks in their order.
func (s *Store) Chunks(ctx context.Context, id string) ([]batholith.Chunk, error) {
	cs, err := collect(ctx, s.reader, func(rows *sql.Rows) (batholith.Chunk, error) { return scanChunk(rows) },
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
