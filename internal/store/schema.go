package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// migrate brings the schema of db to this program's version. Each migration is one transaction, so a crash leaves the schema of one version
// or of the next. Only one process may migrate a database at a time (see lockDir and migratePostgres).
//
// A newer schema is an error, since an older program could damage it, unless the database says that programs of this version may go on
// (see dialect.oldest).
func migrate(ctx context.Context, db *sql.DB, d dialect) error {
	files, err := fs.Sub(migrations, "migrations/"+d.migrations)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(d.goose, db, files,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()), goose.WithGoMigrations(d.later...))
	if err != nil {
		return err
	}
	has, knows, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	switch {
	case has == knows:
		return nil
	case has > knows:
		return d.newer(ctx, db, has, knows)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate from version %d to %d: %w", has, knows, err)
	}
	return nil
}

// newer decides about a schema of version has that is newer than the version that this program knows. nil: the program works with it.
func (d dialect) newer(ctx context.Context, db *sql.DB, has, knows int64) error {
	if d.oldest == "" {
		return fmt.Errorf("its schema is version %d and this program knows versions up to %d: run a newer batholith. To go back to this version, restore a backup that was made before the other one was started", has, knows)
	}
	oldest, err := collect(ctx, db, func(rows *sql.Rows) (n int64, err error) { return n, rows.Scan(&n) }, d.oldest)
	switch {
	case err != nil:
		return fmt.Errorf("read which programs its schema works with: %w", err)
	case len(oldest) == 1 && oldest[0] <= knows:
		return nil
	case len(oldest) == 1:
		return fmt.Errorf("its schema is version %d, which works with programs that know version %d or later, and this program knows versions up to %d: run a newer batholith",
			has, oldest[0], knows)
	}
	return fmt.Errorf("its schema is version %d and does not say which older programs it works with; this program knows versions up to %d: run a newer batholith", has, knows)
}

// migrationLock is the key of PostgreSQL's advisory lock under which one process at a time migrates. The server releases the lock of a
// process that dies.
const migrationLock = 0x626174686f6c6974 // "batholit"

// migratePostgres is migrate on connections of its own, whose statements may take long, under the lock.
func migratePostgres(ctx context.Context, config *pgx.ConnConfig, d dialect) error {
	db := stdlib.OpenDB(*config)
	defer db.Close()
	locked, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer locked.Close()
	if _, err := locked.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
		return fmt.Errorf("wait for another process that migrates: %w", err)
	}
	if err := fit(ctx, locked, config.User, config.Database); err != nil {
		return err
	}
	if err := migrate(ctx, db, d); err != nil {
		return err
	}
	_, err = locked.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, int64(migrationLock))
	return err
}

// fit returns an [*unfitError] if the session cannot make tables, or has those of another program.
func fit(ctx context.Context, db queryer, user, database string) error {
	type session struct{ readOnly, schema, versions, chunks bool }
	s, err := collect(ctx, db, func(rows *sql.Rows) (s session, err error) {
		return s, rows.Scan(&s.readOnly, &s.schema, &s.versions, &s.chunks)
	}, `SELECT current_setting('transaction_read_only')::bool, current_schema() IS NOT NULL, to_regclass('goose_db_version') IS NOT NULL, to_regclass('chunks') IS NOT NULL`)
	switch {
	case err != nil:
		return err
	case s[0].readOnly:
		return &unfitError{fmt.Sprintf("transactions of user %s in database %s are read-only: ALTER ROLE %[1]s RESET default_transaction_read_only, and the same with ALTER DATABASE %[2]s", user, database)}
	case !s[0].schema:
		return &unfitError{fmt.Sprintf("the search_path of user %s names no schema of database %s: create the schema, or ALTER ROLE %[1]s SET search_path = public", user, database)}
	case !s[0].versions || s[0].chunks:
		return nil
	}
	version, err := collect(ctx, db, func(rows *sql.Rows) (n int64, err error) { return n, rows.Scan(&n) }, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`)
	if err != nil || version[0] == 0 { // the process that made it ended before the first migration
		return err
	}
	return &unfitError{fmt.Sprintf("database %s has the table goose_db_version of another program: use a database of its own. If it is the database of this program, its tables were deleted: restore it from a backup", database)}
}
