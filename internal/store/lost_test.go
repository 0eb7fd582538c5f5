package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"
)

// kept makes a database with a job in a folder of its own and closes it.
func kept(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "jobs.db")
	s, err := Open(t.Context(), path)
	must(err)
	if _, err := s.CreateJob(t.Context(), job(1), "hash", 0); err != nil {
		t.Fatal(err)
	}
	must(s.Close())
	return path
}

// otherDatabase makes a SQLite database with these statements.
func otherDatabase(t *testing.T, path string, statements ...string) {
	t.Helper()
	must(os.RemoveAll(path))
	db, err := connect(path, 1)
	must(err)
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
}

func cut(path string, keep func(size int64) int64) {
	info, err := os.Stat(path)
	must(err)
	must(os.Truncate(path, keep(info.Size())))
}

// losses are ways in which a database is lost, and whether an empty one may take its place at its owner's wish.
var losses = map[string]struct {
	lose  func(t *testing.T, path string)
	cause string
	anew  bool
}{
	"deleted":        {func(t *testing.T, path string) { must(os.Remove(path)) }, "does not exist", true},
	"emptied":        {func(t *testing.T, path string) { must(os.Truncate(path, 0)) }, "is empty", true},
	"without tables": {func(t *testing.T, path string) { otherDatabase(t, path, `CREATE TABLE t (a)`, `DROP TABLE t`) }, "no tables", true},
	"one byte":       {func(t *testing.T, path string) { must(os.Truncate(path, 1)) }, "no tables", true},
	"its header":     {func(t *testing.T, path string) { must(os.Truncate(path, 100)) }, "cut short", false},
	"one page":       {func(t *testing.T, path string) { must(os.Truncate(path, 4096)) }, "cut short", false},
	"half of it":     {func(t *testing.T, path string) { cut(path, func(n int64) int64 { return n / 2 }) }, "cut short", false},
	"less a byte":    {func(t *testing.T, path string) { cut(path, func(n int64) int64 { return n - 1 }) }, "cut short", false},
	"text": {func(t *testing.T, path string) {
		must(os.WriteFile(path, []byte(strings.Repeat("text ", 2000)), 0o600))
	}, "not an SQLite database", false},
	"zeros": {func(t *testing.T, path string) { must(os.WriteFile(path, make([]byte, 8192), 0o600)) }, "not an SQLite database", false},
	"another program's": {func(t *testing.T, path string) {
		otherDatabase(t, path, `CREATE TABLE songs (a)`, `CREATE TABLE goose_db_version (a)`)
	},
		"another program, with the tables songs", false},
	"without a table": {func(t *testing.T, path string) {
		db, err := sql.Open("sqlite", path)
		must(err)
		_, err = db.Exec(`PRAGMA foreign_keys = 0; DROP TABLE tokens; DROP TABLE jobs; PRAGMA wal_checkpoint(TRUNCATE)`)
		must(err)
		must(db.Close())
	}, "its table jobs is missing", false},
	"a folder": {func(t *testing.T, path string) { must(os.Remove(path)); must(os.Mkdir(path, 0o700)) }, "not a regular file", false},
}

func TestALostDatabaseIsNotReplacedInSilence(t *testing.T) {
	for name, l := range losses {
		t.Run(name, func(t *testing.T) {
			path := kept(t)
			l.lose(t, path)
			before, _ := os.ReadFile(path)
			for range 2 { // a second try does not get further
				_, err := Open(t.Context(), path)
				if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), l.cause) || !strings.Contains(err.Error(), "backup") {
					t.Fatalf("the error is %v; want cause %q and a remedy", err, l.cause)
				}
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
			wish := filepath.Join(filepath.Dir(path), "start-anew")
			must(os.WriteFile(wish, nil, 0o600))
			s, err := Open(t.Context(), path)
			if (err == nil) != l.anew {
				t.Fatalf("with the wish to start anew the error is %v", err)
			}
			if err != nil {
				return
			}
			if jobs, err := s.Unfinished(t.Context()); err != nil || len(jobs) != 0 {
				t.Errorf("%d jobs, %v", len(jobs), err)
			}
			must(s.Close())
			must(os.Remove(path)) // the wish was for one time
			if _, err := Open(t.Context(), path); err == nil {
				t.Error("it started anew twice")
			}
		})
	}
}

// A database in use when its machine died has a log beside it, which may hold pages that the file does not have yet.
func TestADatabaseThatIsCutShortBesideItsLogIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	s := openStore(t, path)
	if _, err := s.writer.Exec(`PRAGMA wal_autocheckpoint(50)`); err != nil { // the log stays small
		t.Fatal(err)
	}
	must(s.PlanFrom(t.Context(), validating(t, s, 1), nil, chunksOfAJob(20_000), 1))
	whole, torn := copyFiles(t, path, 0), copyFiles(t, path, 0)
	openStore(t, whole)
	must(os.Truncate(torn, 8192))
	if _, err := Open(t.Context(), torn); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("the error is %v", err)
	}
}

func TestAFirstStartThatCrashedGoesOn(t *testing.T) {
	half := func(t *testing.T, path string, version int64) {
		db, err := sqliteDB(path, 1, "immediate")
		must(err)
		defer db.Close()
		p, err := goose.NewProvider(goose.DialectSQLite3, db, os.DirFS("migrations/sqlite"), goose.WithLogger(goose.NopLogger()))
		must(err)
		if _, err := p.GetDBVersion(t.Context()); err != nil { // makes its own table
			t.Fatal(err)
		}
		_, err = p.UpTo(t.Context(), version)
		if version > 0 {
			must(err)
		}
	}
	for name, crash := range map[string]func(t *testing.T, path string){
		"before anything":            func(t *testing.T, path string) {},
		"with an empty file":         func(t *testing.T, path string) { must(makeFile(path)) },
		"with a file without tables": func(t *testing.T, path string) { otherDatabase(t, path, `PRAGMA journal_mode = WAL`) },
		"with the table of versions": func(t *testing.T, path string) { half(t, path, 0) },
		"with the first tables":      func(t *testing.T, path string) { half(t, path, 1) },
		"before the mark":            func(t *testing.T, path string) { must(os.Rename(kept(t), path)) },
		"with the wish to start anew": func(t *testing.T, path string) {
			must(os.WriteFile(filepath.Join(filepath.Dir(path), "start-anew"), nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "jobs.db")
			crash(t, path)
			s, err := Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			must(s.Check(t.Context()))
			must(s.Close())
			for _, f := range []struct {
				path string
				want bool
			}{{path + ".made", true}, {filepath.Join(filepath.Dir(path), "start-anew"), false}} {
				if found, err := exists(f.path); err != nil || (found != "") != f.want {
					t.Errorf("%s is there: %q, %v", f.path, found, err)
				}
			}
			must(os.Truncate(path, 0))
			if _, err := Open(t.Context(), path); err == nil {
				t.Error("from then on a loss is not noticed")
			}
		})
	}
}

// A database of a version that made no mark is missed when something else says that there was one.
func TestADatabaseIsMissedByItsSigns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	asked := 0
	sign := func(found string, err error) Sign {
		return func() (string, error) { asked++; return found, err }
	}
	_, err := Open(t.Context(), path, sign("", nil), sign("/data/journal", nil))
	if err == nil || !strings.Contains(err.Error(), "/data/journal") || !strings.Contains(err.Error(), "start-anew") {
		t.Errorf("the error is %v", err)
	}
	broken := errors.New("cannot look")
	if _, err := Open(t.Context(), path, sign("", broken)); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
	if asked != 3 {
		t.Errorf("%d questions", asked)
	}
	s, err := Open(t.Context(), path, sign("", nil))
	must(err)
	must(s.Close())
	s, err = Open(t.Context(), path, sign("", broken)) // it is there: nobody asks
	must(err)
	must(s.Close())
}

// A database is as it was when a look at it was all that happened: also one that is another program's.
func TestALookChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "songs.db")
	otherDatabase(t, path, `CREATE TABLE songs (a)`)
	db, err := sql.Open("sqlite", path)
	must(err)
	defer db.Close()
	for range 2 {
		if _, err := Open(context.Background(), path); err == nil {
			t.Error("it is another program's")
		}
		if mode := text(t, db, `PRAGMA journal_mode`); mode != "delete\n" {
			t.Errorf("its journal mode became %s", mode)
		}
	}
	if found, _ := exists(path + ".made"); found != "" {
		t.Error("it has a mark")
	}
}
