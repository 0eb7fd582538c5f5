package store

import "github.com/pressly/goose/v3"

// A dialect is what differs between the databases that the statements run on.
type dialect struct {
	goose      goose.Dialect
	migrations string // folder below migrations/
	contains   string // format of the condition that a name (%[1]s) has a part (%[2]s), letter for letter
	// lock ends a SELECT whose row must not change before the transaction ends; skipLocked ends one that passes over rows
	// which another transaction holds. SQLite needs neither: a writing transaction has the database to itself.
	lock, skipLocked string
}

func sqliteDialect() dialect {
	return dialect{goose: goose.DialectSQLite3, migrations: "sqlite", contains: "instr(%[1]s, %[2]s) > 0"}
}
