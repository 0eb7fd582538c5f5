package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"

	"github.com/batholith/batholith/internal/failpoint"
)

// busyTimeout is how long a write waits for another process that writes the same file.
const busyTimeout = 10 * time.Second

// readers is the number of connections that read. Each has its own page cache of 4 MiB.
const readers = 4

// Store is a database of jobs. Its methods may be called from any goroutine.
type Store struct {
	dialect dialect
	writer  *sql.DB // one connection; its transactions take the write lock when they begin
	reader  *sql.DB // cannot write
	changes changes
	watch   watch
	clock   clock
	observe func(operation string, took time.Duration, err error) // nil: nobody wants to know
}

// Open opens the SQLite database in the file at path, creates it at the first start, and brings its schema up to date.
// A schema that is newer than this program is an error. Only the owner can read the file, since it holds what clients wrote.
//
// If the file is missing or empty, Open creates a database only if there was none before: there is no mark (the file PATH.made) and no
// other sign, or there is a file start-anew in the folder. Otherwise, and if the file is no database of this program, or is damaged at its
// begin or end, Open returns an error that names cause and remedy.
func Open(ctx context.Context, path string, signs ...Sign) (*Store, error) {
	s, err := open(ctx, path, signs)
	return s, wrap("open database", path, err)
}

// open opens the file under the lock of its folder, unless its jobs were moved to another database.
func open(ctx context.Context, path string, signs []Sign) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := notMoved(path); err != nil {
		return nil, err
	}
	return openLocked(ctx, path, signs)
}

// openLocked is open without a look at the mark of a move.
func openLocked(ctx context.Context, path string, signs []Sign) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	unlock, err := lockDir(ctx, filepath.Dir(path)) // so that only one process makes the file and the schema
	if err != nil {
		return nil, err
	}
	s, err := openFile(ctx, path, signs)
	if e := unlock(); e != nil && err == nil {
		return nil, errors.Join(e, s.Close())
	}
	return s, err
}

// openFile checks the file, makes it if needed, opens the connections, and migrates. The caller holds the lock of the folder.
func openFile(ctx context.Context, path string, signs []Sign) (*Store, error) {
	if err := check(ctx, path, signs); err != nil {
		return nil, err
	}
	if err := makeFile(path); err != nil {
		return nil, err
	}
	failpoint.Here("store.file-made")
	// fdatasync(2) makes the same bytes durable as fsync(2), without the file's times. A system without it uses fsync.
	_, _ = sqlite.Fdatasync(true)
	var err error
	s := &Store{dialect: sqliteDialect()}
	if s.writer, err = sqliteDB(path, 1, "immediate"); err != nil {
		return nil, err
	}
	if s.reader, err = sqliteDB(path, readers, "deferred", "query_only(1)"); err != nil {
		return nil, errors.Join(err, s.writer.Close())
	}
	if err := migrate(ctx, s.writer, s.dialect); err != nil {
		return nil, errors.Join(explain(err), s.Close())
	}
	failpoint.Here("store.migrated")
	if err := mark(path); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// makeFile makes an empty file if there is none. SQLite gives the files beside it the same mode.
func makeFile(path string) error {
	// Do not open an existing file: closing it would release SQLite's locks on it in this process.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// sqliteDB opens up to n connections to the file. With synchronous=FULL a transaction is on disk when its commit returns.
func sqliteDB(path string, n int, txlock string, pragmas ...string) (*sql.DB, error) {
	options := []string{"_txlock", txlock}
	if _, err := os.Stat(path); err == nil {
		options = append(options, "mode", "rw") // not rwc: if the file is deleted later, a new connection must not create an empty one
	}
	for _, p := range append([]string{
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"foreign_keys(1)",
		"journal_size_limit(67108864)",
		"cache_size(-4096)", // KiB
	}, pragmas...) {
		options = append(options, "_pragma", p)
	}
	return connect(path, n, options...)
}

// connect opens up to n connections to the file. options are pairs of names and values of the connection URL.
func connect(path string, n int, options ...string) (*sql.DB, error) {
	q := url.Values{}
	for i := 0; i < len(options); i += 2 {
		q.Add(options[i], options[i+1])
	}
	c, err := sqlite.NewConnector((&url.URL{Scheme: "file", Path: uriPath(path), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(preparing{c})
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// Close waits for the running calls and closes the database.
func (s *Store) Close() error {
	s.changes.close()
	return errors.Join(s.reader.Close(), s.writer.Close()) // the last connection writes SQLite's WAL into the file
}

// Check reports whether the database can be read and its write lock can be taken.
func (s *Store) Check(ctx context.Context) error {
	if _, err := s.holds(ctx, `SELECT 1 FROM accounts WHERE account = ''`); err != nil {
		return wrap("check", "reading", err)
	}
	return wrap("check", "writing", s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if s.dialect.writable == "" { // the transaction has the write lock
			return nil
		}
		_, err := tx.ExecContext(ctx, s.dialect.writable)
		return err
	}))
}

// write runs f in one transaction. If f returns an error, the transaction is rolled back, and write returns that error unchanged. On a
// database that can be lost and found again, f may run more than once: it must set all of its results each time.
func (s *Store) write(ctx context.Context, f func(context.Context, *sql.Tx) error) (err error) {
	defer s.observed("write", &err)()
	return s.dialect.repeat(ctx, func() error { return s.dialect.transact(ctx, s.writer, f) })
}

// transactSQLite runs f in one transaction.
//
// The context of f never ends: the end of ctx rolls the transaction back by itself, and with an ending context the driver would start
// a goroutine for each statement and each row.
func transactSQLite(ctx context.Context, db *sql.DB, f func(context.Context, *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	err = f(context.WithoutCancel(ctx), tx)
	if err == nil {
		err = tx.Commit()
	}
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		return ctx.Err() // the end of ctx has rolled it back
	}
	return err
}

// wrap adds to an error what was done to which thing. A nil error stays nil.
func wrap(verb, thing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", verb, thing, err)
}

// millis is how times are stored: milliseconds since 1970 UTC, and 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// fromMillis reverses millis.
func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// bit is how booleans are stored.
func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ceilMillis is the first whole millisecond that is not before t.
func ceilMillis(t time.Time) int64 {
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	return ms
}

// uriPath is the path of a file in a URI of SQLite: C:\a is /C:/a there.
func uriPath(path string) string {
	if filepath.VolumeName(path) != "" {
		return "/" + filepath.ToSlash(path)
	}
	return path
}
