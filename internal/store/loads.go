package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/batholith/batholith"
)

// PutLoads replaces the rows of a worker. It also deletes rows of workers that are gone for an hour.
func (s *Store) PutLoads(ctx context.Context, worker string, loads []batholith.Load) error {
	return wrap("store the load of worker", worker, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM loads WHERE worker = $1`, worker); err != nil {
			return err
		}
		if len(loads) == 0 {
			_, err := tx.ExecContext(ctx, `DELETE FROM loads WHERE NOT EXISTS (SELECT 1 FROM workers WHERE id = loads.worker)`)
			return err
		}
		for _, l := range loads {
			_, err := tx.ExecContext(ctx, `
				INSERT INTO loads (worker, backend, model, share, inflight, wants, calls, purses, most, bound, source, found, leads, idle, goodput)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
				worker, l.Backend, l.Model, l.Share, l.InFlight, l.Wants, l.Calls, writePurses(l.Purses), l.Limit, l.Bound, l.Source, bit(l.Found), bit(l.Lead), l.Idle, l.Goodput)
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// Loads returns the rows of the other workers whose lease lasts for these backends, in the order of their names, and how many other workers
// have a lease. As for [Store.Claim], this process's own observation decides which leases last.
func (s *Store) Loads(ctx context.Context, worker string, backends []string) (others []batholith.Load, workers int, err error) {
	err = s.reads(ctx, func(ctx context.Context, db queryer) error {
		others, workers, err = s.loads(ctx, db, worker, backends)
		return err
	})
	return others, workers, wrap("read the loads beside worker", worker, err)
}

// loads is Loads on a reading connection.
func (s *Store) loads(ctx context.Context, db queryer, worker string, backends []string) (others []batholith.Load, workers int, err error) {
	living, _, err := s.watch.glance(ctx, db)
	if err != nil {
		return nil, 0, err
	}
	living = slices.DeleteFunc(living, func(id any) bool { return id == any(worker) })
	if len(living) == 0 || len(backends) == 0 {
		return nil, len(living), nil
	}
	args := slices.Clone(living)
	for _, b := range backends {
		args = append(args, b)
	}
	others, err = collect(ctx, db, func(rows *sql.Rows) (l batholith.Load, err error) {
		var found, leads int
		var purses string
		err = rows.Scan(&l.Worker, &l.Backend, &l.Model, &l.Share, &l.InFlight, &l.Wants, &l.Calls, &purses, &l.Limit, &l.Bound, &l.Source, &found, &leads, &l.Idle, &l.Goodput)
		l.Found, l.Lead, l.Purses = found != 0, leads != 0, readPurses(purses)
		return l, err
	}, `SELECT worker, backend, model, share, inflight, wants, calls, purses, most, bound, source, found, leads, idle, goodput FROM loads
		WHERE `+among("worker", 1, len(living))+` AND `+among("backend", len(living)+1, len(backends))+` ORDER BY worker, backend, model`, args...)
	return others, len(living), err
}

// writePurses is the column purses of a row.
func writePurses(purses []batholith.Purse) string {
	texts := make([]string, len(purses))
	for i, p := range purses {
		texts[i] = fmt.Sprintf("%s:%d:%d", p.Group, p.Weight, p.Wants)
	}
	return strings.Join(texts, ",")
}

// readPurses reverses writePurses. It leaves out what it cannot read.
func readPurses(text string) (purses []batholith.Purse) {
	for one := range strings.SplitSeq(text, ",") {
		group, numbers, ok := strings.Cut(one, ":")
		p := batholith.Purse{Group: group}
		if _, err := fmt.Sscanf(numbers, "%d:%d", &p.Weight, &p.Wants); ok && err == nil {
			purses = append(purses, p)
		}
	}
	return purses
}
