package store

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// whileWriting runs f while a transaction has changed every job and not ended.
func whileWriting(t *testing.T, s *Store, f func()) {
	t.Helper()
	err := s.write(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE jobs SET message = 'changing'`)
		f()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadsDoNotWaitForTheWriter(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
	if _, err := s.CreateJob(t.Context(), job(1), "hash", 0); err != nil {
		t.Fatal(err)
	}
	whileWriting(t, s, func() {
		j, err := s.Job(t.Context(), job(1).Account, job(1).ID)
		if err != nil || j.Message != "" {
			t.Errorf("message %q, %v", j.Message, err)
		}
		jobs, err := s.Unfinished(t.Context())
		if err != nil || len(jobs) != 1 || jobs[0].Message != "" {
			t.Errorf("jobs %v, %v", jobs, err)
		}
	})
	j, err := s.Job(t.Context(), job(1).Account, job(1).ID)
	if err != nil || j.Message != "changing" {
		t.Errorf("after the commit: message %q, %v", j.Message, err)
	}
}

func TestAWriteThatWaitsEndsWithItsContext(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
	whileWriting(t, s, func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancelled := make(chan error, 2)
		go func() { cancelled <- s.Heartbeat(ctx, "w", fromMillis(1)) }()
		go func() { cancelled <- s.Check(ctx) }()
		cancel()
		for range cap(cancelled) {
			if err := <-cancelled; !errors.Is(err, context.Canceled) {
				t.Errorf("the error is %v", err)
			}
		}
	})
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestATransactionThatIsCancelledHalfWayDidNotHappen(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
	if _, err := s.CreateJob(t.Context(), job(1), "hash", 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE jobs SET message = 'changing'`)
		for cancel(); err == nil; { // until the transaction is rolled back under it
			_, err = tx.ExecContext(ctx, `UPDATE jobs SET message = 'more'`)
		}
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	j, err := s.Job(t.Context(), job(1).Account, job(1).ID)
	if err != nil || j.Message != "" || j.Status != batholith.StatusSubmitted {
		t.Errorf("message %q, %v", j.Message, err)
	}
}

// Two stores on one file are two processes: each waits for the other's write lock, and neither loses a change.
func TestTwoProcessesOnOneFileTakeTurns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	a, b := openStore(t, path), openStore(t, path)
	errs := make(chan error, 2)
	for i, s := range []*Store{a, b} {
		go func() {
			for n := range 20 {
				if _, err := s.CreateJob(t.Context(), job(2*n+i), "hash", 0); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	jobs, next, err := a.Jobs(t.Context(), batholith.ListQuery{Account: job(0).Account, Limit: 100})
	if err != nil || len(jobs) != 40 || next != 0 {
		t.Errorf("%d jobs, next %d, %v", len(jobs), next, err)
	}
}

// The laws of whole jobs are tested under a virtual clock: nothing in a store may wait for the real one.
func TestAStoreLivesInABubble(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, path)
		changes, cancel := s.Subscribe()
		defer cancel()
		created := make(chan error, 1)
		go func() {
			time.Sleep(24 * time.Hour)
			_, err := s.CreateJob(t.Context(), job(1), "hash", 0)
			created <- err
		}()
		<-changes
		if err := <-created; err != nil {
			t.Fatal(err)
		}
		j, err := s.Job(t.Context(), job(1).Account, job(1).ID)
		if err != nil || !j.Submitted.Equal(time.Now()) {
			t.Errorf("submitted at %v, %v", j.Submitted, err)
		}
	})
}
