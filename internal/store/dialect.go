package store

import (
	"context"
	"time"

	"github.com/pressly/goose/v3"
)

// A dialect is what differs between the databases that the statements run on.
type dialect struct {
	goose      goose.Dialect
	migrations string // folder below migrations/
	contains   string // format of the condition that a name (%[1]s) has a part (%[2]s), letter for letter
	// lock ends a SELECT whose row must not change before the transaction ends; skipLocked ends one that passes over rows
	// which another transaction holds. SQLite needs neither: a writing transaction has the database to itself.
	lock, skipLocked string
	// now is the time of the database, the same for all of its clients. Every stored time that one worker writes and another compares is
	// of this clock. SQLite has no clock of its own: all of its processes are on one machine and share that of the machine.
	now func(context.Context, queryer) (time.Time, error)
}

func sqliteDialect() dialect {
	return dialect{goose: goose.DialectSQLite3, migrations: "sqlite", contains: "instr(%[1]s, %[2]s) > 0",
		now: func(context.Context, queryer) (time.Time, error) { return time.Now(), nil }}
}

// at is the time of the database at which the clock of this process will show t.
func (d dialect) at(ctx context.Context, db queryer, t time.Time) (time.Time, error) {
	ahead := time.Until(t)
	now, err := d.now(ctx, db)
	return now.Add(ahead), err
}
