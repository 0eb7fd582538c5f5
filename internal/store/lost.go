package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/batholith/batholith/internal/system"
)

// A missing database is either the first start or a loss. After a loss the start must fail, since all jobs would be gone silently. The
// first start makes a database in these steps:
//
//  1. check finds no mark and no other sign of an earlier database. makeFile makes an empty file;
//  2. migrate makes the schema in it;
//  3. mark makes the mark, the file PATH.made beside it, and removes the file start-anew, if there is one.
//
// Jobs can be created only after step 3. A crash before step 3 leaves no mark, so the next start continues with the empty or unfinished
// database, which has no jobs. Databases of earlier versions get their mark when they are opened.

// A Sign looks for something that exists only if there was a database before. It returns what it found, or "".
type Sign func() (string, error)

// anew is a file beside the database. With it an operator allows that a lost database is replaced by an empty one.
const anew = "start-anew"

// markOf is the path of the mark of the database at path.
func markOf(path string) string { return path + ".made" }

// lostError says that the database at path is lost.
func lostError(what, found, path string) error {
	return fmt.Errorf("%s, but there were jobs: %s is there. Restore the database from a backup. To go on without these jobs, create the file %s and start again",
		what, found, filepath.Join(filepath.Dir(path), anew))
}

// check returns an error if the file at path is no database of this program, or if the database is lost.
func check(ctx context.Context, path string, signs []Sign) error {
	info, err := os.Stat(path)
	what := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		what = "it does not exist"
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file. Move it away and restore the database from a backup")
	case info.Size() == 0:
		what = "it is empty"
	default:
		empty, err := inspect(ctx, path, info.Size())
		if err != nil {
			return err
		}
		if empty {
			what = "it has no tables"
		}
	}
	if what == "" {
		return nil
	}
	switch found, err := lost(path, signs); {
	case err != nil:
		return err
	case found != "":
		return lostError(what, found, path)
	}
	return nil
}

// lost returns a sign that there was a database, or "". If the file start-anew exists, it returns "".
func lost(path string, signs []Sign) (string, error) {
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), anew)); err == nil {
		return "", nil
	}
	for _, sign := range append([]Sign{func() (string, error) { return exists(markOf(path)) }}, signs...) {
		if found, err := sign(); err != nil || found != "" {
			return found, err
		}
	}
	return "", nil
}

// exists returns the path, or "" if it does not exist.
func exists(path string) (string, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return path, err
}

// inspect reports whether the database has no tables, as after a crash before its first migration. It returns an error if the file is no
// database of this program. It changes nothing.
func inspect(ctx context.Context, path string, size int64) (empty bool, err error) {
	db, err := connect(path, 1, "mode", "rw", "_pragma", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "_pragma", "query_only(1)")
	if err != nil {
		return false, err
	}
	defer db.Close()
	tables, err := collect(ctx, db, func(rows *sql.Rows) (name string, err error) { return name, rows.Scan(&name) },
		`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
	switch {
	case err != nil:
		return false, explain(err)
	case len(tables) == 0, slices.Equal(tables, []string{"goose_db_version"}): // the first migration makes all tables in one transaction
		return true, nil
	case !slices.Contains(tables, "goose_db_version") || !slices.Contains(tables, "chunks"):
		return false, fmt.Errorf("it is the database of another program, with the tables %s. Move it away and restore the database from a backup", strings.Join(tables, ", "))
	}
	for _, name := range firstTables {
		if !slices.Contains(tables, name) {
			return false, fmt.Errorf("its table %s is missing. Move it away and restore the database from a backup", name)
		}
	}
	return false, whole(ctx, db, path, size)
}

// firstTables are the tables of the first migration. A database of any version has all of them.
var firstTables = []string{"accounts", "jobs", "tokens", "tags", "events", "files", "chunks", "segments", "uploads", "workers"}

// whole returns an error if the file is shorter than the database, by more than the write-ahead log beside it can hold. Without a log
// SQLite finds this itself; with one it would only fail when it needs a missing page.
func whole(ctx context.Context, db *sql.DB, path string, size int64) error {
	var pages, page int64
	if err := errors.Join(db.QueryRowContext(ctx, `PRAGMA page_count`).Scan(&pages), db.QueryRowContext(ctx, `PRAGMA page_size`).Scan(&page)); err != nil {
		return explain(err)
	}
	for {
		log := sizeOf(path + "-wal")
		if size+log >= pages*page {
			return nil
		}
		now := sizeOf(path)
		if now == size && sizeOf(path+"-wal") == log {
			return fmt.Errorf("it is cut short: %d bytes of %d are there. Move it away and restore the database from a backup", size, pages*page)
		}
		size = now // another process has moved the log into the file
	}
}

// sizeOf is the size of a file in bytes, 0 if it does not exist.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// explain adds cause and remedy to SQLite's error about a file.
func explain(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("it is not an SQLite database, or its beginning was overwritten (%w). Move it away and restore the database from a backup", err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("it is damaged or cut short (%w). Move it away and restore the database from a backup", err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("its disk is full (%w). Make room on it", err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY:
		return fmt.Errorf("this process has no permission to read and write it (%w). Check its owner and mode, and those of its folder", err)
	}
	return err
}

// mark makes the mark of a finished database.
func mark(path string) error {
	f, err := os.OpenFile(markOf(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
	case err != nil:
		return fmt.Errorf("mark the database as made: %w", err)
	default:
		_, err = fmt.Fprintf(f, "%s was made beside this file. If it is missing or empty now, it was lost: restore it from a backup.\n", filepath.Base(path))
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("mark the database as made: %w", err)
		}
	}
	if err := syncDir(filepath.Dir(path)); err != nil { // the name of the mark, which an earlier process may have made without a sync
		return fmt.Errorf("mark the database as made: %w", err)
	}
	switch err := os.Remove(filepath.Join(filepath.Dir(path), anew)); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("the new database is made, and the wish for it stays: %w", err)
	}
	return syncDir(filepath.Dir(path)) // without a sync the file could reappear, and hide the next loss
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	if !system.FoldersSync {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
