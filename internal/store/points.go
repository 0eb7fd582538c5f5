package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/batholith/batholith"
)

// mostPoints bounds the points of a job. Points lie at least step apart:
//
//	step = the smallest 2^k minutes with (now − time of the first point) / step < mostPoints
//
// When the step grows, the points between are deleted.
const mostPoints = 240

// pointRows is the number of jobs whose points one transaction stores.
const pointRows = 50

// PutPoints stores what jobs have at a moment. Of several points of a job in one step the first one counts, so that several processes may
// store points of the same jobs. A point of a job that does not exist is dropped.
func (s *Store) PutPoints(ctx context.Context, all []batholith.Point) error {
	for some := range slices.Chunk(all, pointRows) {
		if err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error { return putPoints(ctx, tx, some) }); err != nil {
			return wrap("store", "points", err)
		}
	}
	return nil
}

func putPoints(ctx context.Context, tx *sql.Tx, all []batholith.Point) error {
	type first struct {
		job  string
		slot int64
	}
	var ids []any
	for _, p := range all {
		ids = append(ids, p.Job)
	}
	firsts, err := collect(ctx, tx, func(rows *sql.Rows) (f first, err error) { return f, rows.Scan(&f.job, &f.slot) },
		`SELECT job, min(slot) FROM points WHERE `+among("job", 1, len(ids))+` GROUP BY job`, ids...)
	if err != nil {
		return err
	}
	began := map[string]int64{}
	for _, f := range firsts {
		began[f.job] = f.slot
	}
	for _, p := range all {
		slot, step := p.At.Unix()/60, int64(1)
		if from, ok := began[p.Job]; ok {
			for (slot-from)/step >= mostPoints {
				step *= 2
			}
		}
		r, err := tx.ExecContext(ctx, `INSERT INTO points (job, slot, at, records, tokens, in_flight) SELECT id, $2, $3, $4, $5, $6 FROM jobs WHERE id = $1 ON CONFLICT DO NOTHING`,
			p.Job, slot-slot%step, millis(p.At), p.Records, p.Tokens, p.InFlight)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 || step == 1 {
			if err != nil {
				return err
			}
			continue
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM points WHERE job = $1 AND slot % $2 <> 0`, p.Job, step); err != nil {
			return err
		}
	}
	return nil
}

// Points returns the stored points of a job, oldest first.
func (s *Store) Points(ctx context.Context, id string) ([]batholith.Point, error) {
	all, err := read(ctx, s, func(rows *sql.Rows) (batholith.Point, error) {
		p := batholith.Point{Job: id}
		var at int64
		err := rows.Scan(&at, &p.Records, &p.Tokens, &p.InFlight)
		p.At = fromMillis(at)
		return p, err
	}, `SELECT at, records, tokens, in_flight FROM points WHERE job = $1 ORDER BY slot`, id)
	return all, wrap("read the points of job", id, err)
}

// PointStep is the least time between two points of a job.
const PointStep = time.Minute
