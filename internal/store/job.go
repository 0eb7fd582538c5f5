package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/batholith/batholith"
)

// jobColumns are the columns that scanJob reads, in a query of jobs alone.
var jobColumns = `id, account, region, owner, model, request, status, ending, message, note, failing, kept, restored, paused, pause_until, pause_reason, needs, submitted, modified, ended, expires,
	total, processed, succeeded, errored, input, output, cache_read, cache_write, ` + sums(join(countColumns, tokenColumns)...)

// scanJob reads a row of jobColumns, and the columns after them into more.
func scanJob(row interface{ Scan(...any) error }, more ...any) (batholith.Job, error) {
	var (
		j                                   batholith.Job
		request                             sql.RawBytes
		text                                string
		submitted, modified, ended, expires int64
		paused, until                       int64
		reason, needs                       string
	)
	// A *sql.Row cannot be scanned into RawBytes, which are invalid after it is closed.
	dst := []any{&j.ID, &j.Account, &j.Region, &j.Owner, &j.Model, &request, &j.Status, &j.Ending, &j.Message, &j.Note, &j.Failing, &j.Kept, &j.Restored, &paused, &until, &reason, &needs,
		&submitted, &modified, &ended, &expires,
		&j.Counts.Total, &j.Counts.Processed, &j.Counts.Succeeded, &j.Counts.Errored,
		&j.Tokens.Input, &j.Tokens.Output, &j.Tokens.CacheRead, &j.Tokens.CacheWrite,
		adding{append(countMembers(&j.Counts), tokenMembers(&j.Tokens)...), &modified}}
	if _, single := row.(*sql.Row); single {
		dst[5] = &text
	}
	if err := row.Scan(append(dst, more...)...); err != nil {
		return j, found(err)
	}
	if request == nil {
		request = []byte(text)
	}
	if err := json.Unmarshal(request, &j.Request); err != nil {
		return j, fmt.Errorf("decode request: %w", err)
	}
	if paused > 0 && j.MayPause() { // the end of a job leaves the columns as they are
		j.Paused = batholith.Pause{Since: fromMillis(paused), Until: fromMillis(until), Reason: reason}
	}
	j.Needs = features(needs)
	j.Submitted, j.Modified, j.Ended, j.Expires = fromMillis(submitted), fromMillis(modified), fromMillis(ended), fromMillis(expires)
	return j, nil
}

// found replaces sql.ErrNoRows by [batholith.ErrNotFound].
func found(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return batholith.ErrNotFound
	}
	return err
}

// Job returns the account's job with this id, without its tags. It returns [batholith.ErrNotFound] if the account has no such job.
func (s *Store) Job(ctx context.Context, account, id string) (batholith.Job, error) {
	j, err := s.job(ctx, `SELECT `+jobColumns+` FROM jobs WHERE id = $1 AND account = $2`, id, account)
	return j, wrap("read job", id, err)
}

// Each query of many jobs uses the partial index of its condition, so that terminal jobs cost nothing.
var (
	unfinishedQuery = `SELECT ` + jobColumns + ` FROM jobs WHERE active = 1 ORDER BY submitted, account, seq`
	findQuery       = `SELECT ` + jobColumns + ` FROM jobs WHERE id = $1`
	uncleanQuery    = `SELECT id FROM jobs WHERE active = 0 AND unclean = 1 AND kept = '' ORDER BY submitted, account, seq`
	unsweptQuery    = `SELECT id FROM jobs WHERE sweep > 0 AND sweep <= $1 ORDER BY sweep`
)

// Find returns the job of any account with this id. It is for the service itself, never for a caller of the API.
func (s *Store) Find(ctx context.Context, id string) (batholith.Job, error) {
	j, err := s.job(ctx, findQuery, id)
	return j, wrap("read job", id, err)
}

// job reads one job.
func (s *Store) job(ctx context.Context, query string, args ...any) (batholith.Job, error) {
	js, err := read(ctx, s, func(rows *sql.Rows) (batholith.Job, error) { return scanJob(rows) }, query, args...)
	if err == nil && len(js) == 0 {
		err = batholith.ErrNotFound
	}
	if err != nil {
		return batholith.Job{}, err
	}
	return js[0], nil
}

// Unfinished returns the jobs of every account that are not terminal, oldest first.
func (s *Store) Unfinished(ctx context.Context) ([]batholith.Job, error) {
	return s.jobs(ctx, "list unfinished jobs", unfinishedQuery)
}

// Unclean returns the ids of the terminal jobs that are not forgotten, oldest first, without those whose results are kept. Each may have
// rows and temporary objects left.
func (s *Store) Unclean(ctx context.Context) ([]string, error) {
	return s.ids(ctx, "list unclean jobs", uncleanQuery)
}

// ids reads only ids, since the jobs may be many.
func (s *Store) ids(ctx context.Context, verb, query string, args ...any) ([]string, error) {
	all, err := read(ctx, s, func(rows *sql.Rows) (id string, err error) { return id, rows.Scan(&id) }, query, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	return all, nil
}

// jobs reads several jobs.
func (s *Store) jobs(ctx context.Context, verb, query string, args ...any) ([]batholith.Job, error) {
	js, err := read(ctx, s, func(rows *sql.Rows) (batholith.Job, error) { return scanJob(rows) }, query, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	return js, nil
}

// reads runs f with a reading connection. As in write, f may run more than once, and the context of its statements does not end with ctx
// (see transactSQLite). ctx is checked while reads waits for the connection.
func (s *Store) reads(ctx context.Context, f func(context.Context, queryer) error) (err error) {
	defer s.observed("read", &err)()
	return s.dialect.repeat(ctx, func() error {
		conn, err := s.reader.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close() // back to the pool
		within, cancel := s.dialect.within(ctx)
		defer cancel()
		return f(within, conn)
	})
}

// read collects the rows of a query on a reading connection. ctx is also checked before each row. The query may be repeated, from its
// first row.
func read[T any](ctx context.Context, s *Store, scan func(*sql.Rows) (T, error), query string, args ...any) (all []T, err error) {
	err = s.reads(ctx, func(within context.Context, db queryer) (err error) {
		all, err = collect(within, db, func(rows *sql.Rows) (one T, err error) {
			if err := ctx.Err(); err != nil {
				return one, err
			}
			return scan(rows)
		}, query, args...)
		return err
	})
	return all, err
}

// row reads the one row of a query into dst. Without a row it returns [batholith.ErrNotFound].
func (s *Store) row(ctx context.Context, dst []any, query string, args ...any) error {
	rows, err := read(ctx, s, func(rows *sql.Rows) (none struct{}, err error) { return none, rows.Scan(dst...) }, query, args...)
	if err == nil && len(rows) == 0 {
		return batholith.ErrNotFound
	}
	return err
}

// A queryer is a database, a connection or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// collect returns all rows of a query.
func collect[T any](ctx context.Context, db queryer, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
