package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/batholith/batholith"
)

// Drain stores that a model server gets no new requests. A server that is drained already stays as it is.
func (s *Store) Drain(ctx context.Context, address, by string) error {
	return wrap("drain", address, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		now, err := s.at(ctx, tx, time.Now())
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO drains (address, since, by_whom) VALUES ($1, $2, $3) ON CONFLICT (address) DO NOTHING`, address, millis(now), by)
		return err
	}))
}

// Undrain ends that. A server that is not drained stays as it is.
func (s *Store) Undrain(ctx context.Context, address string) error {
	return wrap("resume", address, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM drains WHERE address = $1`, address)
		return err
	}))
}

// Drains returns the drained servers, by address.
func (s *Store) Drains(ctx context.Context) (all []batholith.Drain, err error) {
	err = s.reads(ctx, func(ctx context.Context, db queryer) (err error) {
		all, err = collect(ctx, db, func(rows *sql.Rows) (d batholith.Drain, err error) {
			var since int64
			err = rows.Scan(&d.Address, &since, &d.By)
			d.Since = fromMillis(since)
			return d, err
		}, `SELECT address, since, by_whom FROM drains ORDER BY address`)
		return err
	})
	return all, wrap("list", "drained servers", err)
}
