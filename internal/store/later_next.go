//go:build nextschema

package store

import (
	"context"
	"database/sql"

	"github.com/pressly/goose/v3"
)

// later returns a migration like one of the next version of the program: it only adds. On PostgreSQL older programs go
// on; SQLite's file belongs to one program at a time, and an older one refuses it.
func later() []*goose.Migration {
	return []*goose.Migration{goose.NewGoMigration(nextVersion, &goose.GoFunc{RunTx: addNext}, nil)}
}

// nextVersion is higher than every version of this program.
const nextVersion = 1_000_000

// addNext adds a column that a statement without names of columns would meet, a table, and an index.
func addNext(ctx context.Context, tx *sql.Tx) error {
	for _, statement := range []string{
		`ALTER TABLE jobs ADD COLUMN next_text TEXT NOT NULL DEFAULT 'next'`,
		`ALTER TABLE chunks ADD COLUMN next_number INTEGER NOT NULL DEFAULT 7`,
		`CREATE TABLE next_table (id INTEGER PRIMARY KEY)`,
		`CREATE INDEX next_index ON segments (level)`,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
