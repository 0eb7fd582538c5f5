package store

import (
	"context"
	"database/sql"
	"math"

	"github.com/batholith/batholith"
)

// A worker reserves what its records may take before it sends them. A cap holds if
//
//	what commits have stored + what living workers have reserved ≤ cap
//
// Reservations of an account are made one after the other. A commit needs no lock: it adds to what is stored, and its reservation is lowered
// later, so that in between a record counts twice, and never not at all. A lost worker's reservations count until its lease ends.

// Reserve replaces what a worker has reserved for a job by base, and adds need if all caps permit it. Base is what it has reserved before
// for records that are not committed, and is always permitted.
func (s *Store) Reserve(ctx context.Context, worker string, j batholith.Job, base, need batholith.Amount, caps []batholith.Cap) (room batholith.Allowance, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		room = batholith.Allowance{Granted: true, Left: batholith.Amount{Tokens: math.MaxInt64, Micros: math.MaxInt64}}
		if _, err := tx.ExecContext(ctx, `UPDATE accounts SET seq = seq WHERE account = $1`, j.Account); err != nil { // locks it
			return err
		}
		now, err := s.now(ctx, tx)
		if err != nil {
			return err
		}
		living, _, err := s.watch.look(ctx, tx)
		if err != nil {
			return err
		}
		for _, c := range caps {
			day, next := c.Since(now)
			used, err := s.usedOf(ctx, tx, worker, j, c, day, living)
			if err != nil {
				return err
			}
			left := batholith.Amount{Tokens: math.MaxInt64, Micros: math.MaxInt64}
			if c.Tokens > 0 {
				left.Tokens = max(c.Tokens-batholith.Sum(used.Tokens, base.Tokens), 0)
			}
			if c.Micros > 0 {
				left.Micros = max(c.Micros-batholith.Sum(used.Micros, base.Micros), 0)
			}
			room.Left = batholith.Amount{Tokens: min(room.Left.Tokens, left.Tokens), Micros: min(room.Left.Micros, left.Micros)}
			if room.Granted && (need.Tokens > left.Tokens || need.Micros > left.Micros) {
				room.Granted, room.Cap, room.Used, room.Next = false, c, used.Add(base), next
			}
		}
		if room.Granted {
			base = base.Add(need)
		}
		_, err = tx.ExecContext(ctx, `
			INSERT INTO reservations (job, worker, account, principal, tokens, micros) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (job, worker) DO UPDATE SET tokens = excluded.tokens, micros = excluded.micros`,
			j.ID, worker, j.Account, j.Owner, base.Tokens, base.Micros)
		return err
	})
	return room, wrap("reserve for job", j.ID, err)
}

// usedOf returns what counts for a cap without the caller's own reservation. Reservations are read first: see above.
func (s *Store) usedOf(ctx context.Context, tx *sql.Tx, worker string, j batholith.Job, c batholith.Cap, day int64, living []any) (used batholith.Amount, err error) {
	scope, of := "job", j.ID
	if c.Principal != "" {
		scope, of = "principal", c.Principal
	}
	query := `SELECT tokens, micros FROM reservations WHERE account = $1 AND ` + scope + ` = $2 AND NOT (job = $3 AND worker = $4)
		AND job IN (SELECT id FROM jobs WHERE active = 1) AND ` + among("worker", 5, len(living))
	held, err := collect(ctx, tx, func(rows *sql.Rows) (a batholith.Amount, err error) { return a, rows.Scan(&a.Tokens, &a.Micros) },
		query, append([]any{j.Account, of, j.ID, worker}, living...)...)
	if err != nil {
		return used, err
	}
	for _, a := range held {
		used = used.Add(a)
	}
	all, err := collect(ctx, tx, func(rows *sql.Rows) (g batholith.Spent, err error) {
		var h [12]int64
		err = rows.Scan(&g.Price, &h[0], &h[1], &h[2], &h[3], &h[4], &h[5], &h[6], &h[7], &h[8], &h[9], &h[10], &h[11])
		for i, to := range []*int64{&g.Tokens.Input, &g.Tokens.Output, &g.Tokens.CacheRead, &g.Wasted.Input, &g.Wasted.Output, &g.Wasted.CacheRead} {
			*to = joined(h[2*i], h[2*i+1])
		}
		return g, err
	}, takenQuery(scope), j.Account, of, day)
	for _, g := range all {
		used.Tokens = batholith.Sum(used.Tokens, batholith.Sum(batholith.Sum(g.Tokens.Input, g.Tokens.Output), batholith.Sum(g.Wasted.Input, g.Wasted.Output)))
		if cost, currency, known := g.Cost(); known && currency == c.Currency {
			used.Micros = batholith.Sum(used.Micros, cost.Micros())
		}
	}
	return used, err
}

// takenSums are what counts of the records that a cap is about.
var takenSums = halves("input", "output", "cache_read", "wasted_input", "wasted_output", "wasted_cache_read")

// takenQuery adds up, by price, what records took of what is capped. scope is the column that says whose they are.
func takenQuery(scope string) string {
	return `SELECT price` + takenSums + ` FROM job_usage WHERE account = $1 AND ` + scope + ` = $2 AND day >= $3 GROUP BY price`
}

// Unreserve gives up what a worker has reserved for a job. Everything that it finished is committed.
func (s *Store) Unreserve(ctx context.Context, worker, id string) error {
	if some, err := s.holds(ctx, `SELECT 1 FROM reservations WHERE job = $1 AND worker = $2`, id, worker); err != nil || !some {
		return wrap("give up reservations for job", id, err)
	}
	return wrap("give up reservations for job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM reservations WHERE job = $1 AND worker = $2`, id, worker)
		return err
	}))
}

// ResumeDue ends pauses of a job that end by themselves, if it is time.
func (s *Store) ResumeDue(ctx context.Context, id string) error {
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		now, err := s.now(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE jobs SET paused = 0, pause_until = 0, pause_reason = '' WHERE id = $1 AND pause_until > 0 AND pause_until <= $2 AND `+mayPause, id, millis(now))
		return err
	})
	if err == nil {
		s.changes.signal()
	}
	return wrap("resume job", id, err)
}
