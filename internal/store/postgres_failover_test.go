package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/pgtest"
)

// The primary crashes while several clients create and move jobs, and its synchronous standby is promoted. A store whose address names both finds
// the new primary by itself, and has every change that was acknowledged. A change of which nobody knows whether it happened is repeated, and
// is there once.
func TestAcknowledgedChangesSurviveAFailover(t *testing.T) {
	primary := pgtest.Start(t, pgtest.Options{})
	address := primary.Database(t)
	must(schema(address))
	standby := primary.Standby(t)
	s := openPG(t, pgtest.Either(t, address, primary, standby), PostgresOptions{Patience: time.Hour})
	changes, cancel := s.Subscribe()
	defer cancel()

	const clients, jobs = 4, 10
	half, crashed, done := make(chan struct{}, clients), make(chan struct{}), make(chan error, clients)
	for c := range clients {
		go func() {
			done <- func() error {
				for n := range jobs {
					if n == jobs/2 {
						half <- struct{}{}
						if c%2 == 0 { // the others are in the middle of a change
							<-crashed
						}
					}
					j := job(c*jobs + n)
					err := errUnknown
					for errors.Is(err, errUnknown) {
						_, err = s.CreateJob(context.Background(), j, "hash", 0)
					}
					if err != nil {
						return err
					}
					err = s.Move(context.Background(), j.ID, batholith.StatusSubmitted, batholith.StatusValidating, "", time.Now())
					if errors.Is(err, errUnknown) {
						err = s.Move(context.Background(), j.ID, batholith.StatusSubmitted, batholith.StatusValidating, "", time.Now())
						if errors.Is(err, batholith.ErrMoved) { // it had happened
							err = nil
						}
					}
					if err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for range clients {
		<-half
	}
	primary.Stop(t)
	standby.Promote(t)
	close(crashed)
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	all, err := s.Unfinished(t.Context())
	must(err)
	for _, j := range all {
		if j.Status != batholith.StatusValidating {
			t.Errorf("job %s is %s", j.ID, j.Status)
		}
	}
	events, err := s.Events(t.Context(), 0, 1000)
	must(err)
	if len(all) != clients*jobs || len(events) != 2*clients*jobs {
		t.Errorf("%d jobs and %d events", len(all), len(events))
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	// The listener has found the new primary too.
	for len(changes) > 0 {
		<-changes
	}
	other := openPG(t, standby.URL(strings.TrimPrefix(strings.Split(address, "?")[0], "postgres://postgres@/")), PostgresOptions{})
	if _, err := other.CreateJob(t.Context(), job(999), "hash", 0); err != nil {
		t.Fatal(err)
	}
	<-changes
}

// A commit whose synchronous standby does not answer is not acknowledged: the server commits it and warns when the wait is cancelled, and the
// store says that nobody knows.
func TestACommitWithoutItsStandbyIsNotAcknowledged(t *testing.T) {
	primary := pgtest.Start(t, pgtest.Options{})
	address := primary.Database(t)
	must(schema(address))
	standby := primary.Standby(t)
	s := openPG(t, address, PostgresOptions{})
	if _, err := s.CreateJob(t.Context(), job(1), "hash", 0); err != nil {
		t.Fatal(err)
	}
	standby.Stop(t)
	created := make(chan error, 1)
	go func() { _, err := s.CreateJob(t.Context(), job(2), "hash", 0); created <- err }()
	// Until the commit waits for the standby, there is nothing to cancel.
	for cancelled := false; !cancelled; {
		select {
		case err := <-created:
			t.Fatalf("the commit did not wait: %v", err)
		default:
		}
		cancelled = text(t, s.reader, `SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = 'COMMIT'`) != "0\n"
	}
	if err := <-created; !errors.Is(err, errUnknown) {
		t.Errorf("the error is %v", err)
	}
	standby.Launch(t)
	again, err := s.CreateJob(t.Context(), job(2), "hash", 0)
	if err != nil || again.ID != job(2).ID {
		t.Errorf("repeated: %s, %v", again.ID, err)
	}
	if _, err := OpenPostgres(t.Context(), standby.URL("postgres"), PostgresOptions{Patience: time.Millisecond}); err == nil || !strings.Contains(err.Error(), "is a standby") {
		t.Errorf("a standby alone: the error is %v", err)
	}
}
