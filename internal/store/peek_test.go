package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/pgtest"
)

// peeked is a job as peeks must show it.
var peeked = batholith.Job{ID: "job000000000", Account: "000000000000", Owner: "alice", Model: "m",
	Request: batholith.Request{Name: "n", Tags: []batholith.Tag{{Key: "a", Value: "b"}, {Key: "team", Value: "red"}}}}

// peeks checks that a function that peeks finds the job, and no other.
func peeks(t *testing.T, peek func(ctx context.Context, id string) (batholith.Job, error)) {
	t.Helper()
	j, err := peek(t.Context(), peeked.ID)
	if d := cmp.Diff(peeked, j); d != "" || err != nil {
		t.Error(d, err)
	}
	if _, err := peek(t.Context(), "nothing"); !errors.Is(err, batholith.ErrNotFound) {
		t.Error(err)
	}
}

func TestAJobIsReadBesideTheServerAndWithoutOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "batholith.db")
	look := func(ctx context.Context, id string) (batholith.Job, error) { return Peek(ctx, path, id) }
	if _, err := look(t.Context(), peeked.ID); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateJob(t.Context(), peeked, "h", 0); err != nil {
		t.Fatal(err)
	}
	peeks(t, look)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	peeks(t, look)
	must(Moved{ID: "move", To: "postgres://db/b", Done: true}.write(path))
	if _, err := look(t.Context(), peeked.ID); !errors.As(err, new(*MovedError)) {
		t.Errorf("a job that was moved to another database: %v", err)
	}
}

// A data directory that no newer server has used has an older schema.
func TestAJobOfAnOlderSchemaIsReadAsItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "batholith.db")
	old, newest := openAt(t, path, 1)
	_, err := old.CreateJob(t.Context(), peeked, "h", 0)
	must(err)
	must(old.writer.Close())
	for version := int64(1); version < newest; version++ {
		old, _ = openAt(t, path, version)
		must(old.writer.Close())
		peeks(t, func(ctx context.Context, id string) (batholith.Job, error) { return Peek(ctx, path, id) })
	}
}

func TestAJobInPostgreSQLIsReadBesideItsServers(t *testing.T) {
	cluster := pgtest.Shared(t)
	empty, address := cluster.Database(t), cluster.Pool(schema).Database(t)
	look := func(ctx context.Context, id string) (batholith.Job, error) {
		return PeekPostgres(ctx, address, PostgresOptions{}, id)
	}
	if _, err := PeekPostgres(t.Context(), empty, PostgresOptions{}, peeked.ID); !errors.Is(err, batholith.ErrNotFound) {
		t.Errorf("a job in a database without tables: %v", err)
	}
	s := openPG(t, address, PostgresOptions{})
	if _, err := s.CreateJob(t.Context(), peeked, "h", 0); err != nil {
		t.Fatal(err)
	}
	peeks(t, look)
}
