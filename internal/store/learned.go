package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/batholith/batholith"
)

// forgetLearned is the age at which a stored limit is deleted.
const forgetLearned = 7 * 24 * time.Hour

// Learned returns the stored limit of a backend and model, or [batholith.ErrNotFound].
func (s *Store) Learned(ctx context.Context, backend, model string) (batholith.Learned, error) {
	l := batholith.Learned{Backend: backend, Model: model}
	var at int64
	err := s.row(ctx, []any{&l.Limit, &l.Goodput, &at}, `SELECT inflight, goodput, at FROM limits WHERE backend = $1 AND model = $2`, backend, model)
	if err == nil {
		err = s.reads(ctx, func(ctx context.Context, db queryer) (err error) {
			l.At, err = s.ours(ctx, db, fromMillis(at))
			return err
		})
	}
	return l, wrap("read the limit of", backend, err)
}

// Learn stores the limit of a backend and model, and deletes all limits older than a week.
func (s *Store) Learn(ctx context.Context, l batholith.Learned) error {
	return wrap("keep the limit of", l.Backend, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		at, err := s.at(ctx, tx, l.At)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM limits WHERE at < $1`, millis(at.Add(-forgetLearned))); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `
			INSERT INTO limits (backend, model, inflight, goodput, at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (backend, model) DO UPDATE SET inflight = excluded.inflight, goodput = excluded.goodput, at = excluded.at`,
			l.Backend, l.Model, l.Limit, l.Goodput, millis(at))
		return err
	}))
}
