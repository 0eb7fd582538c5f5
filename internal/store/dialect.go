package store

import (
	"context"
	"time"

	"github.com/pressly/goose/v3"
)

// A dialect holds the differences between databases.
type dialect struct {
	goose      goose.Dialect
	migrations string // folder below migrations/
	contains   string // format of the condition that a column (%[1]s) contains a text (%[2]s), case-sensitive
	// lock is the suffix of a SELECT whose row must not change before the transaction ends. skipLocked is the suffix of one that skips rows
	// which another transaction has locked. Both are empty for SQLite, where a writing transaction locks the whole database.
	lock, skipLocked string
	// now is the database's clock, the same for all of its clients. Times that one worker stores and another compares come from this clock.
	// SQLite has no clock: all of its processes are on one machine and use the machine's.
	now func(context.Context, queryer) (time.Time, error)
}

// sqliteDialect is the dialect of SQLite.
func sqliteDialect() dialect {
	return dialect{goose: goose.DialectSQLite3, migrations: "sqlite", contains: "instr(%[1]s, %[2]s) > 0",
		now: func(context.Context, queryer) (time.Time, error) { return time.Now(), nil }}
}

// at converts a time of this process's clock to the database's clock.
func (d dialect) at(ctx context.Context, db queryer, t time.Time) (time.Time, error) {
	ahead := time.Until(t)
	now, err := d.now(ctx, db)
	return now.Add(ahead), err
}
