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

// busyTimeout is how long to wait for another process that writes the same file.
const busyTimeout = 10 * time.Second

// readers is how many reads run at once. Each holds a page cache of its own.
const readers = 4

// Store is a database of jobs. Its methods may be called from any goroutine.
type Store struct {
	dialect dialect
	writer  *sql.DB // one connection; its transactions take the write lock when they begin
	reader  *sql.DB // cannot write
	changes changes
	watch   watch
}

// Open opens the SQLite database in the file at path, creates it where there is none, and brings its schema up to date.
// A schema that is newer than this program is an error. The file can be read by its owner only: it holds what clients wrote.
//
// A file that is missing, or empty, is made anew only at the first start: not when its mark, the file PATH.made, or one of the signs says that
// there was a database, unless there is a file start-anew in its folder. Then, and when the file is something else than this program's
// database, or damaged at its beginning or its end, Open refuses, and the error names cause and remedy.
func Open(ctx context.Context, path string, signs ...Sign) (*Store, error) {
	s, err := open(ctx, path, signs)
	return s, wrap("open database", path, err)
}

func open(ctx context.Context, path string, signs []Sign) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	unlock, err := lockDir(ctx, filepath.Dir(path)) // of two processes, one makes the file and the schema
	if err != nil {
		return nil, err
	}
	s, err := openFile(ctx, path, signs)
	if e := unlock(); e != nil && err == nil {
		return nil, errors.Join(e, s.Close())
	}
	return s, err
}

func openFile(ctx context.Context, path string, signs []Sign) (*Store, error) {
	if err := check(ctx, path, signs); err != nil {
		return nil, err
	}
	if err := makeFile(path); err != nil {
		return nil, err
	}
	failpoint.Here("store.file-made")
	// fdatasync(2) makes the same bytes durable as fsync(2) and leaves the file's times out. A system without it keeps fsync.
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

// makeFile makes an empty file where there is none. SQLite gives the files beside it the same mode.
func makeFile(path string) error {
	// A file that exists must not even be opened: closing it again would drop the locks that SQLite has on it in this process.
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
		options = append(options, "mode", "rw") // not rwc: were the file deleted later, a new connection would make an empty one
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

// connect opens up to n connections to the file, with pairs of names and values as options.
func connect(path string, n int, options ...string) (*sql.DB, error) {
	q := url.Values{}
	for i := 0; i < len(options); i += 2 {
		q.Add(options[i], options[i+1])
	}
	c, err := sqlite.NewConnector((&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(preparing{c})
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// Close waits for the calls in progress and closes the database.
func (s *Store) Close() error {
	return errors.Join(s.reader.Close(), s.writer.Close()) // the last one to go folds the WAL into the file
}

// Check tells whether the database can be read and its write lock be taken.
func (s *Store) Check(ctx context.Context) error {
	var n int
	if err := s.reader.QueryRowContext(ctx, `SELECT count(*) FROM accounts WHERE account = ''`).Scan(&n); err != nil {
		return wrap("check", "reading", err)
	}
	return wrap("check", "writing", s.write(ctx, func(context.Context, *sql.Tx) error { return nil }))
}

// write runs f in one transaction. Whatever f refuses with is returned as it is, and nothing has happened then.
//
// The context that f is given is never done: the end of ctx rolls the transaction back by itself, and the driver would start
// a goroutine for each statement, and each row, to watch it.
func (s *Store) write(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	err = f(context.WithoutCancel(ctx), tx)
	if err == nil {
		err = tx.Commit()
	}
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		return ctx.Err() // it was rolled back under f
	}
	return err
}

// wrap says what was being done to which thing when err came.
func wrap(verb, thing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", verb, thing, err)
}

// Times are stored as milliseconds since 1970 UTC, and the zero time as 0.

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

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
