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

// CreateJob stores a new job as Submitted, with its token, tags and first event, in one transaction. It returns the job as stored: without
// tags, and with times in whole milliseconds. If the account's latest job has a later Submitted, the new job gets that time, and Expires is
// moved by the same difference.
//
// Checks, in this order:
//
//   - If the token was used before with the same requestHash, the result is the job that it made, in its present state. With another
//     requestHash it is [batholith.ErrTokenReused].
//   - If a job of the account with this name is not terminal, it is [batholith.ErrNameInUse].
//   - If maxActive jobs of the account with this model are not terminal, it is [batholith.ErrTooManyActive]. 0: no limit.
func (s *Store) CreateJob(ctx context.Context, j batholith.Job, requestHash string, maxActive int) (batholith.Job, error) {
	var made batholith.Job
	var first bool
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		made, first, err = s.create(ctx, tx, j, requestHash, maxActive)
		if err == nil && !first {
			return errUnchanged // the rollback returns the seq
		}
		return err
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		return batholith.Job{}, wrap("create job", j.ID, err)
	}
	// A crash from here on loses the answer and the notification, not the job: the client retries with its token, and the next
	// process reads all jobs at its start.
	if first {
		s.changes.signal()
	}
	made.Tags = nil
	return made, nil
}

// create is CreateJob within a transaction. first is false if the token was used before.
func (s *Store) create(ctx context.Context, tx *sql.Tx, j batholith.Job, requestHash string, maxActive int) (made batholith.Job, first bool, err error) {
	at, err := s.at(ctx, tx, j.Submitted)
	if err != nil {
		return j, false, err
	}
	seq, submitted, err := nextSeq(ctx, tx, j.Account, millis(at))
	if err != nil {
		return j, false, err
	}
	if j.Token != "" {
		if earlier, err := jobOfToken(ctx, tx, j.Account, j.Token, requestHash); err != nil {
			return j, false, err
		} else if earlier != nil {
			return *earlier, false, nil
		}
	}
	j.Model = cmp.Or(j.Model, j.ModelID)
	if err := mayCreate(ctx, tx, j, maxActive); err != nil {
		return j, false, err
	}
	j.Expires = fromMillis(millis(j.Expires) + shift(j, submitted))
	j.Submitted, j.Modified, j.Ended = fromMillis(submitted), fromMillis(submitted), fromMillis(0)
	j.Status, j.Message, j.Note, j.Failing = batholith.StatusSubmitted, "", "", ""
	j.Counts, j.Tokens = batholith.Counts{}, batholith.Tokens{}
	j.Needs = batholith.JoinFeatures(j.Needs, j.Request.Needs())
	return j, true, insertJob(ctx, tx, j, seq, requestHash)
}

// JobOfToken returns the job that an equal request of the account created with the token. It returns batholith.ErrNotFound if the token was
// not used, and batholith.ErrTokenReused if another request used it.
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

// errUnchanged ends a transaction that has nothing to do.
var errUnchanged = errors.New("nothing to change")

// shift is the number of milliseconds by which j.Expires moves if j gets the given time of submission.
func shift(j batholith.Job, submitted int64) int64 {
	if j.Expires.IsZero() {
		return 0
	}
	return submitted - millis(j.Submitted)
}

// nextSeq returns the account's next job number and time. It must come first in the transaction: its row lock makes the account's creations
// sequential. So the checks after it see every earlier job, and a page of a list never shows a number before all smaller ones.
func nextSeq(ctx context.Context, tx *sql.Tx, account string, at int64) (seq, submitted int64, err error) {
	err = tx.QueryRowContext(ctx, `
		INSERT INTO accounts (account, seq, submitted) VALUES ($1, 1, $2)
		ON CONFLICT (account) DO UPDATE SET seq = accounts.seq + 1,
			submitted = CASE WHEN accounts.submitted > $2 THEN accounts.submitted ELSE $2 END
		RETURNING seq, submitted`, account, at).Scan(&seq, &submitted)
	return seq, submitted, err
}

// jobOfToken returns the job that an equal request created with the token, or nil.
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
	j, err := scanJob(tx.QueryRowContext(ctx, findQuery, id))
	return &j, err
}

// mayCreate checks the job's name and the number of jobs with its model.
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

// insertJob inserts the rows of a new job: job, token, tags, first event.
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
	if err := needMore(ctx, tx, j.ID, j.Needs); err != nil {
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

// encodeRequest encodes a request without its tags, which may change and have a table of their own.
func encodeRequest(r batholith.Request) (string, error) {
	r.Tags = nil
	b, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encode request: %w", err)
	}
	return string(b), nil
}
