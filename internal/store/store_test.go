package store_test

import (
	"path/filepath"
	"testing"

	"github.com/batholith/batholith/internal/store"
	"github.com/batholith/batholith/internal/store/storetest"
)

// open opens the database at path until the test ends.
func open(t testing.TB, path string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStoreKeepsTheLaws(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Port { return open(t, filepath.Join(t.TempDir(), "jobs.db")) })
}
