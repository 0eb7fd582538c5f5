package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// oldServerError says that a server is too old.
type oldServerError struct{ version string }

// Error implements error.
func (e *oldServerError) Error() string {
	return fmt.Sprintf("the server is PostgreSQL %s, and version %d or later is needed: upgrade it, or use another server", e.version, oldestPostgres)
}

// unfitError says why the tables of this program cannot be in a database, and what to do.
type unfitError struct{ why string }

// Error implements error.
func (e *unfitError) Error() string { return e.why }

// explainAddress explains why an address could not be read. The library's own text has parts of the address, and of an address that is
// mistyped the password may be in any part.
func explainAddress(err error) error {
	var p *pgconn.ParseConfigError
	if !errors.As(err, &p) {
		return err
	}
	why := ""
	if inner := p.Unwrap(); inner != nil && strings.Contains(p.Error(), "TLS") {
		why = " (" + inner.Error() + ")" // a certificate or key that cannot be read
	}
	return errors.New("the address is not valid" + why + ": write postgres://USER@HOST:PORT/DATABASE, and the password into PGPASSWORD or a password file")
}

// remedies are what to do about an error of PostgreSQL, by its code. %[1]s is the user and %[2]s the database.
var remedies = map[string]string{
	"28P01": "the password of user %[1]s is wrong or missing, or it has expired (VALID UNTIL of the role): set PGPASSWORD, or write it into the password file (PGPASSFILE)",
	"28000": "the server does not let user %[1]s in from this machine: check the user, pg_hba.conf, and whether the server requires TLS (sslmode)",
	"3D000": "there is no database %[2]s: create it with CREATE DATABASE %[2]s OWNER %[1]s",
	"42501": "user %[1]s may not create or use tables in database %[2]s: make it the owner with ALTER DATABASE %[2]s OWNER TO %[1]s",
	"42P07": "database %[2]s has tables of another program: use a database of its own",
	"42704": "the server does not know a setting of the session, which the end of this message names: if the address sets it, correct the address; otherwise use PostgreSQL 14 or later, and connect to it without a pooler",
	"08P01": "a pooler or proxy, such as PgBouncer, refuses settings of the session: connect to PostgreSQL directly",
	"53300": "the server has no free connection: raise max_connections, or the CONNECTION LIMIT of role %[1]s or database %[2]s if they have one, or use fewer processes",
	"55000": "database %[2]s takes no connections: allow them with ALTER DATABASE %[2]s ALLOW_CONNECTIONS true",
}

// explainPostgres says what to do about an error of opening the database.
func explainPostgres(config *pgx.ConnConfig, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if old, ok := errors.AsType[*oldServerError](err); ok {
		return old
	}
	if unfit, ok := errors.AsType[*unfitError](err); ok {
		return unfit
	}
	if errors.Is(err, errStandby) {
		return errStandby
	}
	err = &oneLine{err}
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		if remedy := remedies[pe.Code]; remedy != "" {
			return fmt.Errorf(remedy+": %[3]w", config.User, config.Database, err)
		}
		return err
	}
	var connect *pgconn.ConnectError
	switch {
	case !errors.As(err, &connect):
		return err
	case strings.Contains(err.Error(), "refused TLS"):
		return fmt.Errorf("the server has no TLS: set it up there, or write sslmode=prefer into the address if the network is safe: %w", err)
	case strings.Contains(err.Error(), "tls:"), strings.Contains(err.Error(), "x509:"):
		return fmt.Errorf("the server's certificate is not accepted: check sslmode and sslrootcert: %w", err)
	}
	return fmt.Errorf("the server cannot be reached: check host and port, that PostgreSQL runs there, and the network: %w", err)
}

// oneLine is an error whose text is on one line.
type oneLine struct{ error }

// Error implements error.
func (e *oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }

// Unwrap returns the error itself.
func (e *oneLine) Unwrap() error { return e.error }
