package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// migrate brings the schema of db to this program's version. Each migration is one transaction, so a crash leaves the schema of one version
// or of the next. A newer schema is an error, since an older program would damage it. Only one process may migrate a file at a time (see
// lockDir).
func migrate(ctx context.Context, db *sql.DB, d dialect) error {
	files, err := fs.Sub(migrations, "migrations/"+d.migrations)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(d.goose, db, files,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
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
		return fmt.Errorf("its schema is version %d and this program knows versions up to %d: run a newer batholith", has, knows)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate from version %d to %d: %w", has, knows, err)
	}
	return nil
}
