package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// oldServerError says that a server is too old.
type oldServerError struct{ version string }

// Error implements error.
func (e *oldServerError) Error() string {
	return fmt.Sprintf("the server is PostgreSQL %s, and version %d or later is needed: upgrade it, or use another server", e.version, oldestPostgres)
}

// explainAddress explains why an address could not be read. The text of the library hides the password of a URL, but not of every text
// that is none, so it is left out.
func explainAddress(err error) error {
	if err == nil {
		return nil
	}
	var p *pgconn.ParseConfigError
	if errors.As(err, &p) {
		return errors.New("the address is not valid: write postgres://USER@HOST:PORT/DATABASE")
	}
	return err
}

// explainPostgres adds the remedy to an error of opening the database.
func explainPostgres(err error) error {
	var old *oldServerError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &old):
		return old
	case errors.Is(err, context.Canceled):
		return err
	}
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		if remedy := remedies[pe.Code]; remedy != "" {
			return fmt.Errorf("%s: %w", remedy, err)
		}
	}
	return err
}

// remedies are texts for the codes of PostgreSQL's errors.
var remedies = map[string]string{}
