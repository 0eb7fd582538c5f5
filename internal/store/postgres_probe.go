package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ProbePostgres connects to a PostgreSQL database and returns the server's version and whether the database has the tables of this program. It
// changes nothing. Its errors are those of [OpenPostgres].
func ProbePostgres(ctx context.Context, address string, o PostgresOptions) (version string, tables bool, err error) {
	config, err := parse(address, o)
	if err != nil {
		return "", false, err
	}
	fail := func(err error) (string, bool, error) {
		return "", false, wrap("open database", describe(config), explainPostgres(config, err))
	}
	conn, err := pgx.ConnectConfig(ctx, session(config, "probe", "reads"))
	if err != nil {
		return fail(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var n int
	switch err := conn.QueryRow(ctx, `SELECT count(*) FROM jobs WHERE id = ''`).Scan(&n); {
	case err == nil:
		tables = true
	case !isUndefinedTable(err):
		return fail(err)
	}
	return conn.PgConn().ParameterStatus("server_version"), tables, nil
}

// isUndefinedTable reports whether PostgreSQL says that a table does not exist.
func isUndefinedTable(err error) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pe.Code == "42P01"
}
