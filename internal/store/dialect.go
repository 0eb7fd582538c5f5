package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/batholith/batholith"
)

// A dialect holds the differences between databases.
type dialect struct {
	goose      goose.Dialect
	migrations string // folder below migrations/
	// oldest is the query of the oldest schema version that a program must know to work with the database. Empty: only a program that knows
	// the database's own version does.
	oldest   string
	later    []*goose.Migration // migrations beyond those of the folder
	contains string             // format of the condition that a column (%[1]s) contains a text (%[2]s), case-sensitive
	// lock is the suffix of a SELECT whose row must not change before the transaction ends, and which no other transaction may lock until then.
	// lockShared lets other transactions lock it so too. skipLocked skips rows which another transaction has locked. All are empty for SQLite,
	// where a writing transaction locks the whole database.
	lock, lockShared, skipLocked string
	// now reads the database's clock, the same for all of its clients; nil: it has none (see clock).
	now func(context.Context, queryer) (time.Time, error)
	// writable is a statement that fails if the database takes no changes, and otherwise changes nothing. Empty: a transaction that has
	// begun can write.
	writable string
	// insertFiles and insertChunks insert rows of a plan, as pending chunks.
	insertFiles  func(ctx context.Context, tx *sql.Tx, job string, files []batholith.File) error
	insertChunks func(ctx context.Context, tx *sql.Tx, job string, chunks []batholith.Chunk) error
	// lockChunks reads chunks of a job and locks them in the order of their numbers. storeDone stores their state and done records.
	lockChunks func(ctx context.Context, tx *sql.Tx, job string, numbers []int) ([]batholith.Chunk, error)
	storeDone  func(ctx context.Context, tx *sql.Tx, job string, chunks []*batholith.Chunk) error
	// transact runs f in one transaction, once.
	transact func(ctx context.Context, db *sql.DB, f func(context.Context, *sql.Tx) error) error
	// repeat calls do again after an error that says that nothing has happened and that another attempt may succeed.
	repeat func(ctx context.Context, do func() error) error
	// within is the context of the statements of one read.
	within func(context.Context) (context.Context, context.CancelFunc)
}

// serial reports whether one transaction writes at a time, so that nothing changes while it runs.
func (d dialect) serial() bool { return d.lock == "" }

// sqliteDialect is the dialect of SQLite.
func sqliteDialect() dialect {
	return dialect{
		goose: goose.DialectSQLite3, migrations: "sqlite", later: later(), contains: "instr(%[1]s, %[2]s) > 0",
		insertFiles: insertFiles, insertChunks: insertChunks, lockChunks: readChunks, storeDone: storeDone,
		transact: transactSQLite,
		repeat:   func(_ context.Context, do func() error) error { return do() }, // the file does not go away
		within: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithoutCancel(ctx), func() {}
		},
	}
}
