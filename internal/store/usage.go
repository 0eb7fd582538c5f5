package store

import (
	"context"
	"database/sql"
	"slices"

	"github.com/batholith/batholith"
)

// PutUsage stores totals of interactive calls, in place of the earlier ones of the same process, principal and day. The rows are totals, so
// that a repetition changes nothing. Rows of days before yesterday, seen from the latest day, are deleted: no quota reads them.
func (s *Store) PutUsage(ctx context.Context, all []batholith.Usage) error {
	for part := range slices.Chunk(all, batchRows) {
		if err := s.putUsage(ctx, part); err != nil {
			return wrap("store the usage of", part[0].Principal, err)
		}
	}
	return nil
}

func (s *Store) putUsage(ctx context.Context, all []batholith.Usage) error {
	return s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		last := all[0].Day
		for _, u := range all {
			last = max(last, u.Day)
			if _, err := tx.ExecContext(ctx, `
				INSERT INTO call_usage (account, principal, day, process, calls, input, output) VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (account, principal, day, process) DO UPDATE SET calls = excluded.calls, input = excluded.input, output = excluded.output`,
				u.Account, u.Principal, u.Day, u.Process, u.Calls, u.Tokens.Input, u.Tokens.Output); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM call_usage WHERE day < $1`, last-1)
		return err
	})
}

// UsedBeside sums the tokens of a principal's interactive calls on a day, without those that a process counted.
func (s *Store) UsedBeside(ctx context.Context, account, principal string, day int64, process string) (tokens int64, err error) {
	rows, err := read(ctx, s, func(rows *sql.Rows) (t batholith.Tokens, err error) { return t, rows.Scan(&t.Input, &t.Output) },
		`SELECT input, output FROM call_usage WHERE account = $1 AND principal = $2 AND day = $3 AND process <> $4`, account, principal, day, process)
	for _, t := range rows {
		tokens = batholith.Sum(tokens, batholith.Sum(t.Input, t.Output))
	}
	return tokens, wrap("sum the usage of", principal, err)
}
