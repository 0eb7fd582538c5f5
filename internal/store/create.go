package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/batholith/batholith"
)

// CreateJob stores a new job as Submitted, with its token, tags and first event, and returns it as stored: without its tags,
// and with times of whole milliseconds. Submitted, and Expires with it, is moved up when the account's latest job has a later one.
//
// A token that came before decides first: with the same requestHash the answer is the job that it made, as that job is now,
// and with another it is [batholith.ErrTokenReused]. Then a job that is not terminal holds its name (ErrNameInUse), and at
// most maxActive such jobs of the account may ask for one model (ErrTooManyActive); 0 is no limit.
func (s *Store) CreateJob(ctx context.Context, j batholith.Job, requestHash string, maxActive int) (batholith.Job, error) {
	var first bool
	j.Model = cmp.Or(j.Model, j.ModelID)
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		seq, submitted, err := nextSeq(ctx, tx, j.Account, millis(j.Submitted))
		if err != nil {
			return err
		}
		if j.Token != "" {
			earlier, err := jobOfToken(ctx, tx, j.Account, j.Token, requestHash)
			if err != nil {
				return err
			}
			if earlier != nil {
				j, first = *earlier, false
				return errUnchanged // gives the seq back
			}
		}
		if err := mayCreate(ctx, tx, j, maxActive); err != nil {
			return err
		}
		j.Expires = fromMillis(millis(j.Expires) + shift(j, submitted))
		j.Submitted, j.Modified, j.Ended = fromMillis(submitted), fromMillis(submitted), fromMillis(0)
		j.Status, j.Message, j.Note, j.Failing = batholith.StatusSubmitted, "", "", ""
		j.Counts, j.Tokens = batholith.Counts{}, batholith.Tokens{}
		first = true
		return insertJob(ctx, tx, j, seq, requestHash)
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		return batholith.Job{}, wrap("create job", j.ID, err)
	}
	// A crash from here on loses the answer and the hint, not the job: the client asks again with its token, and whoever
	// waits for the hint looks at the jobs when it starts.
	if first {
		s.changes.signal()
	}
	j.Tags = nil
	return j, nil
}

// JobOfToken returns the job that an equal request of the account made under the token; batholith.ErrNotFound when none did, and
// batholith.ErrTokenReused when another request had it.
func (s *Store) JobOfToken(ctx context.Context, account, token, requestHash string) (batholith.Job, error) {
	type entry struct{ job, hash string }
	found, err := read(ctx, s, func(rows *sql.Rows) (e entry, err error) { return e, rows.Scan(&e.job, &e.hash) },
		`SELECT job, hash FROM tokens WHERE account = $1 AND token = $2`, account, token)
	switch {
	case err != nil:
		return batholith.Job{}, fmt.Errorf("read a token: %w", err)
	case len(found) == 0:
		return batholith.Job{}, batholith.ErrNotFound
	case found[0].hash != requestHash:
		return batholith.Job{}, batholith.ErrTokenReused
	}
	return s.Job(ctx, account, found[0].job)
}

// errUnchanged ends a transaction that found nothing to do.
var errUnchanged = errors.New("nothing to change")

// shift is by how much the expiry of j moves when j counts as submitted at the given time.
func shift(j batholith.Job, submitted int64) int64 {
	if j.Expires.IsZero() {
		return 0
	}
	return submitted - millis(j.Submitted)
}

// nextSeq takes the account's next number and time. It comes first in the transaction, because its row lock is what makes
// the account's creations one after another: the checks below see every job that came before, and a page of a list never
// sees a number before all smaller ones.
func nextSeq(ctx context.Context, tx *sql.Tx, account string, at int64) (seq, submitted int64, err error) {
	err = tx.QueryRowContext(ctx, `
		INSERT INTO accounts (account, seq, submitted) VALUES ($1, 1, $2)
		ON CONFLICT (account) DO UPDATE SET seq = accounts.seq + 1,
			submitted = CASE WHEN accounts.submitted > $2 THEN accounts.submitted ELSE $2 END
		RETURNING seq, submitted`, account, at).Scan(&seq, &submitted)
	return seq, submitted, err
}

// jobOfToken returns the job that an equal request made under the token, or nil.
func jobOfToken(ctx context.Context, tx *sql.Tx, account, token, hash string) (*batholith.Job, error) {
	var id, h string
	err := tx.QueryRowContext(ctx, `SELECT job, hash FROM tokens WHERE account = $1 AND token = $2`, account, token).Scan(&id, &h)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	case h != hash:
		return nil, batholith.ErrTokenReused
	}
	j, err := scanJob(tx.QueryRowContext(ctx, `SELECT `+jobColumns+` FROM jobs WHERE id = $1`, id))
	return &j, err
}

func mayCreate(ctx context.Context, tx *sql.Tx, j batholith.Job, maxActive int) error {
	var n int
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM jobs WHERE account = $1 AND name = $2 AND active = 1`,
		j.Account, j.Name).Scan(&n)
	if err != nil {
		return err
	}
	if n > 0 {
		return batholith.ErrNameInUse
	}
	if maxActive <= 0 {
		return nil
	}
	err = tx.QueryRowContext(ctx, `SELECT count(*) FROM jobs WHERE account = $1 AND model = $2 AND active = 1`,
		j.Account, j.Model).Scan(&n)
	if err == nil && n >= maxActive {
		return batholith.ErrTooManyActive
	}
	return err
}

func insertJob(ctx context.Context, tx *sql.Tx, j batholith.Job, seq int64, hash string) error {
	request, err := encodeRequest(j.Request)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO jobs (id, account, seq, region, owner, name, model, request, status, message, submitted, modified, ended, expires,
			total, processed, succeeded, errored, input, output, cache_read, cache_write, attempts, active, sealed, unclean)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', $10, $10, 0, $11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1)`,
		j.ID, j.Account, seq, j.Region, j.Owner, j.Name, j.Model, request, string(j.Status), millis(j.Submitted), millis(j.Expires))
	if err != nil {
		return err
	}
	if j.Token != "" {
		_, err = tx.ExecContext(ctx, `INSERT INTO tokens (account, token, job, hash) VALUES ($1, $2, $3, $4)`,
			j.Account, j.Token, j.ID, hash)
		if err != nil {
			return err
		}
	}
	if err := putTags(ctx, tx, j.ID, j.Tags); err != nil {
		return err
	}
	return insertEvent(ctx, tx, j.ID, j.Status, "", millis(j.Submitted))
}

// encodeRequest leaves the tags out, which change and live in a table of their own.
func encodeRequest(r batholith.Request) (string, error) {
	r.Tags = nil
	b, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encode request: %w", err)
	}
	return string(b), nil
}
