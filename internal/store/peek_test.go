package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
)

func TestAJobIsReadBesideTheServerAndWithoutOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "batholith.db")
	if _, err := Peek(t.Context(), path, "job000000000"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	want := []batholith.Tag{{Key: "a", Value: "b"}, {Key: "team", Value: "red"}}
	if _, err := s.CreateJob(t.Context(), batholith.Job{ID: "job000000000", Account: "000000000000", Owner: "alice", Model: "m", Request: batholith.Request{Name: "n", Tags: want}}, "h", 0); err != nil {
		t.Fatal(err)
	}
	look := func() {
		t.Helper()
		j, err := Peek(t.Context(), path, "job000000000")
		if err != nil || j.Owner != "alice" || j.Model != "m" || j.Name != "n" || cmp.Diff(want, j.Tags) != "" {
			t.Error(j, err)
		}
		if _, err := Peek(t.Context(), path, "nothing"); !errors.Is(err, batholith.ErrNotFound) {
			t.Error(err)
		}
	}
	look()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	look()
}
