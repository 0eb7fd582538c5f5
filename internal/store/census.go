package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/batholith/batholith"
)

// censusQuery counts the jobs that are not terminal, through their partial index. Sums are floating-point numbers: they cannot overflow, and a
// metric is one anyway.
const censusQuery = `
	SELECT j.model, j.status, count(*), sum(CASE WHEN j.paused > 0 THEN 1 ELSE 0 END), min(j.submitted), min(j.expires),
		sum(CAST(j.total AS DOUBLE PRECISION)),
		sum(CAST(j.processed AS DOUBLE PRECISION) + coalesce(p.processed, 0)),
		sum(CAST(j.input AS DOUBLE PRECISION) + CAST(j.output AS DOUBLE PRECISION) + coalesce(p.tokens, 0))
	FROM jobs j LEFT JOIN (
		SELECT job, sum(CAST(processed AS DOUBLE PRECISION)) AS processed, sum(CAST(input AS DOUBLE PRECISION) + CAST(output AS DOUBLE PRECISION)) AS tokens
		FROM progress GROUP BY job) p ON p.job = j.id
	WHERE j.active = 1 GROUP BY j.model, j.status ORDER BY j.model, j.status`

// Census counts the jobs and the workers of the whole service. It reads only jobs that are not terminal.
func (s *Store) Census(ctx context.Context) (c batholith.Census, err error) {
	c.Jobs, err = read(ctx, s, func(rows *sql.Rows) (g batholith.JobGroup, err error) {
		var first, expires int64
		err = rows.Scan(&g.Model, &g.Status, &g.Jobs, &g.Paused, &first, &expires, &g.Records, &g.Processed, &g.Tokens)
		g.Oldest, g.Deadline = fromMillis(first), fromMillis(expires)
		return g, err
	}, censusQuery)
	if err != nil {
		return c, wrap("count", "jobs", err)
	}
	kept, err := read(ctx, s, func(rows *sql.Rows) (n int, err error) { return n, rows.Scan(&n) }, `SELECT count(*) FROM jobs WHERE kept <> ''`)
	if err != nil {
		return c, wrap("count", "jobs with kept results", err)
	}
	c.Kept = kept[0]
	if c.Events, err = s.backlogs(ctx); err != nil {
		return c, wrap("count", "waiting events", err)
	}
	c.Living, c.Lost, err = s.workers(ctx)
	return c, wrap("count", "workers", err)
}

// workers counts the workers whose lease lasts, and those whose lease was lost within the last hour: they have neither renewed it nor given it
// up. A process that has not said what it is counts as a worker.
func (s *Store) workers(ctx context.Context) (living, lost int, err error) {
	_, _, err = s.watch.look(ctx, s.reader)
	if err != nil {
		return 0, 0, err
	}
	type row struct {
		id, reach string
		lease     int64
	}
	rows, err := read(ctx, s, func(rows *sql.Rows) (r row, err error) { return r, rows.Scan(&r.id, &r.reach, &r.lease) }, `SELECT id, reach, lease FROM workers`)
	if err != nil {
		return 0, 0, err
	}
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	for _, r := range rows {
		var p batholith.Process
		if r.reach != "" {
			if err := json.Unmarshal([]byte(r.reach), &p); err != nil {
				return 0, 0, fmt.Errorf("decode a process: %w", err)
			}
		}
		switch {
		case r.reach != "" && !p.Worker, r.lease == 0:
		case s.watch.seen[r.id].lasts:
			living++
		default:
			lost++
		}
	}
	return living, lost, nil
}
