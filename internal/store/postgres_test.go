package store_test

import (
	"context"
	"testing"

	"github.com/batholith/batholith/internal/pgtest"
	"github.com/batholith/batholith/internal/store"
	"github.com/batholith/batholith/internal/store/storetest"
)

// made makes the schema in the database.
func made(address string) error {
	s, err := store.OpenPostgres(context.Background(), address, store.PostgresOptions{})
	if err != nil {
		return err
	}
	return s.Close()
}

func TestPostgreSQLKeepsTheLaws(t *testing.T) {
	databases := pgtest.Shared(t).Pool(made)
	// The connections of a store belong to the bubble of a law, and the server does not.
	storetest.Run(t, func(t *testing.T) storetest.Port {
		s, err := store.OpenPostgresByOurClock(t.Context(), databases.Database(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}
