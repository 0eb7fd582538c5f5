package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/batholith/batholith"
)

// PutReach stores what a process is and what it reaches. It returns [batholith.ErrNotFound] if the process has no lease: it must call
// Heartbeat first. The row is deleted an hour after the lease has ended, so a process calls PutReach again from time to time.
func (s *Store) PutReach(ctx context.Context, p batholith.Process) error {
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode a process: %w", err)
	}
	return wrap("store the reach of", p.ID, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE workers SET reach = $1 WHERE id = $2`, string(text), p.ID)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return batholith.ErrNotFound
	}))
}

// Processes returns the processes whose lease lasts and which have stored their reach. For the length of a lease after the start of this
// process, and after the end of another, the others may be among them although they have ended.
func (s *Store) Processes(ctx context.Context) (all []batholith.Process, err error) {
	var texts []string
	err = s.reads(ctx, func(ctx context.Context, db queryer) error {
		living, _, err := s.watch.glance(ctx, db)
		if err != nil {
			return err
		}
		texts, err = collect(ctx, db, func(rows *sql.Rows) (text string, err error) { return text, rows.Scan(&text) },
			`SELECT reach FROM workers WHERE reach <> '' AND `+among("id", 1, len(living))+` ORDER BY id`, living...)
		return err
	})
	for _, text := range texts {
		var p batholith.Process
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return nil, fmt.Errorf("decode a process: %w", err)
		}
		all = append(all, p)
	}
	return all, wrap("list", "processes", err)
}

// Undertake gives a duty to a worker, unless another living worker has it. It reports whether the worker has the duty now. A duty has no
// number: it only prevents that two workers do the same work, and the results of that work must be safe if they do. A worker is taken for
// living as in [Store.Claim].
func (s *Store) Undertake(ctx context.Context, worker, duty string) (mine bool, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		living, _, err := s.watch.look(ctx, tx)
		if err != nil {
			return err
		}
		owners, err := collect(ctx, tx, func(rows *sql.Rows) (owner string, err error) { return owner, rows.Scan(&owner) }, `
			INSERT INTO duties (name, worker) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET worker = excluded.worker WHERE duties.worker = $2 OR NOT `+among("duties.worker", 3, len(living))+`
			RETURNING worker`, append([]any{duty, worker}, living...)...)
		mine = len(owners) > 0
		return err
	})
	return mine && err == nil, wrap("undertake", duty, err)
}

// Resign gives up a duty, if the worker has it.
func (s *Store) Resign(ctx context.Context, worker, duty string) error {
	return wrap("resign", duty, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM duties WHERE name = $1 AND worker = $2`, duty, worker)
		return err
	}))
}

// Stopping lists the ids of the jobs that are Stopping. It uses a partial index, so it costs nothing while there are none.
func (s *Store) Stopping(ctx context.Context) ([]string, error) {
	return s.ids(ctx, "list stopping jobs", `SELECT id FROM jobs WHERE status = 'Stopping' ORDER BY id`)
}

// LeasedByOthers reports whether other living workers have leased chunks of a job.
func (s *Store) LeasedByOthers(ctx context.Context, worker, id string) (bool, error) {
	var owners []string
	err := s.reads(ctx, func(ctx context.Context, db queryer) error {
		living, _, err := s.watch.look(ctx, db)
		if err != nil {
			return err
		}
		owners, err = collect(ctx, db, func(rows *sql.Rows) (owner string, err error) { return owner, rows.Scan(&owner) },
			`SELECT owner FROM chunks WHERE state = 'leased' AND job = $1 AND owner <> $2 AND `+among("owner", 3, len(living))+` LIMIT 1`,
			append([]any{id, worker}, living...)...)
		return err
	})
	return len(owners) > 0, wrap("read the leases of job", id, err)
}

// PutFirstError stores the first error line of a job, if none is stored. It may quote a record only as a note may.
func (s *Store) PutFirstError(ctx context.Context, id string, e batholith.RecordError) error {
	return wrap("store the first error of job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE jobs SET first_code = $1, first_error = $2 WHERE id = $3 AND first_code = 0`, e.Code, batholith.CutMessage(e.Message), id)
		return err
	}))
}

// FirstError returns the first error line of a job; nil: none is stored.
func (s *Store) FirstError(ctx context.Context, id string) (*batholith.RecordError, error) {
	var e batholith.RecordError
	err := s.row(ctx, []any{&e.Code, &e.Message}, `SELECT first_code, first_error FROM jobs WHERE id = $1`, id)
	if err != nil || e.Code == 0 {
		return nil, wrap("read the first error of job", id, found(err))
	}
	return &e, nil
}

const (
	// forecastStale is how long a worker's forecast of a job stands against those of other workers.
	forecastStale = 10 * time.Second
	// forecastOld is the age from which a forecast is not shown. Workers store an unchanged one again before that.
	forecastOld = time.Minute
	// forecastRows is how many forecasts one statement stores.
	forecastRows = 50
)

// PutForecasts stores when jobs are expected to begin and end, by the database's clock. A forecast of another worker is replaced only if that
// worker has not renewed it for 10 s, or does not know the end, as one that does not work on the job: so that the workers, which reckon alike,
// do not write the same rows in turn.
func (s *Store) PutForecasts(ctx context.Context, worker string, all []batholith.JobForecast) error {
	if len(all) == 0 {
		return nil
	}
	return wrap("store forecasts of", worker, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		now, err := s.now(ctx, tx)
		if err != nil {
			return err
		}
		for some := range slices.Chunk(all, forecastRows) {
			args := []any{worker, millis(now), millis(now.Add(-forecastStale))}
			values := ""
			for i, f := range some {
				if i > 0 {
					values += ", "
				}
				n := len(args)
				values += fmt.Sprintf("($%d, $1, $%d, $%d, $%d, $%d, $2)", n+1, n+2, n+3, n+4, n+5)
				args = append(args, f.Job, f.Position, millis(f.Begin), millis(f.End), bit(f.Late))
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO forecasts (job, worker, position, begins, ends, late, at) VALUES `+values+`
				ON CONFLICT (job) DO UPDATE SET worker = excluded.worker, position = excluded.position, begins = excluded.begins,
					ends = excluded.ends, late = excluded.late, at = excluded.at
				WHERE forecasts.worker = excluded.worker OR forecasts.at < $3 OR forecasts.ends = 0 AND excluded.ends > 0`, args...)
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// Forecasts returns the stored forecasts of jobs, by id, that are at most a minute old.
func (s *Store) Forecasts(ctx context.Context, ids []string) (map[string]batholith.Forecast, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	all := map[string]batholith.Forecast{}
	err := s.reads(ctx, func(ctx context.Context, db queryer) error {
		now, err := s.now(ctx, db)
		if err != nil {
			return err
		}
		for some := range slices.Chunk(ids, forecastRows) {
			args := []any{millis(now.Add(-forecastOld))}
			for _, id := range some {
				args = append(args, id)
			}
			got, err := collect(ctx, db, scanForecast, `SELECT job, position, begins, ends, late FROM forecasts WHERE at >= $1 AND `+among("job", 2, len(some)), args...)
			if err != nil {
				return err
			}
			for _, f := range got {
				all[f.Job] = f.Forecast
			}
		}
		return nil
	})
	return all, wrap("read", "forecasts", err)
}

// scanForecast reads a row of Forecasts.
func scanForecast(rows *sql.Rows) (f batholith.JobForecast, err error) {
	var begins, ends int64
	var late int
	err = rows.Scan(&f.Job, &f.Position, &begins, &ends, &late)
	f.Begin, f.End, f.Late = fromMillis(begins), fromMillis(ends), late != 0
	return f, err
}

// TidyProcesses deletes forecasts that nobody renews, and duties of workers that have ended.
func (s *Store) TidyProcesses(ctx context.Context) error {
	return wrap("tidy", "the rows of processes", s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		now, err := s.now(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM forecasts WHERE at < $1`, millis(now.Add(-forecastOld))); err != nil {
			return err
		}
		living, _, err := s.watch.look(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM duties WHERE NOT `+among("worker", 1, len(living)), living...)
		return err
	}))
}
