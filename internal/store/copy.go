package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/batholith/batholith/internal/failpoint"
)

// A Copy moves the jobs of a SQLite database to an empty PostgreSQL database. The steps, and what a crash after each leaves:
//
//  1. The mark PATH.moved is written, with a random id: a server with this SQLite database refuses to start, and says how to go on.
//  2. The schema of the target is made, and a row with the id in its table origin: a server with the target refuses to start.
//  3. One transaction copies all tables, from one snapshot of the source, compares the numbers of rows, and marks the target as complete.
//  4. The mark is written again, as done.
//
// A repetition continues: it finds its id in the target, and copies again unless the target is complete. After an error before the end of
// step 3, the row and the mark are removed again, so that the source can be used as before. Nothing of the source is deleted.
type Copy struct {
	Path   string // of the SQLite database
	Signs  []Sign // as for [Open]
	To     string // address of the PostgreSQL database, as for [OpenPostgres]
	Target PostgresOptions
	Name   string // of the target, for people; without a password
	Source string // of the source, for people
	// Values are stored in the target's table of shared values, under their names.
	Values map[string][]byte
	// Begun, if not nil, is called before the first row is copied, with the id of the move.
	Begun func(id string) error
	// Progress, if not nil, is called from time to time with the number of copied rows and of all rows.
	Progress func(done, all int64)
}

// Result is what a [Copy] has done.
type Result struct {
	ID     string  // of the move
	Tables []Count // of the rows in the target; nil if Before
	Jobs   int64
	// Unfinished is the number of these jobs that have not ended.
	Unfinished int64
	Before     bool // an earlier run had copied everything
}

// A Count is the number of rows of a table.
type Count struct {
	Table string
	Rows  int64
}

// UsedError says that the target of a move is not empty.
type UsedError struct{ What string }

// Error says what is there.
func (e *UsedError) Error() string {
	return e.What + ": a move needs an empty database. Create one (CREATE DATABASE …) and name it with --to"
}

// leaseOfMoved is the lease of the workers in a database that was just moved. It is long, so that the process of the data directory gets its
// chunks back, whose answers are in its journal, although other workers may have started before it. Its first heartbeat replaces the lease.
const leaseOfMoved = 10 * time.Minute

// Run moves the jobs. The caller must have the lock of the data directory.
func (c *Copy) Run(ctx context.Context) (Result, error) {
	r, err := c.run(ctx)
	return r, wrap("move the jobs to", c.Name, err)
}

func (c *Copy) run(ctx context.Context) (r Result, err error) {
	m, fresh, err := c.begin()
	if err != nil {
		return r, err
	}
	r.ID = m.ID
	if m.Done {
		r.Before = true
		return r, nil
	}
	source, err := openLocked(ctx, c.Path, c.Signs)
	if err != nil {
		err = wrap("open database", c.Path, err)
		if fresh {
			err = errors.Join(err, m.remove(c.Path))
		}
		return r, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	// After an error the mark is removed only if the target is certainly not complete.
	unfilled, err := c.fill(ctx, source, m, fresh, &r)
	if err != nil {
		if unfilled {
			err = errors.Join(err, m.remove(c.Path))
		}
		return r, err
	}
	failpoint.Here("store.copy-whole")
	m.Done = true
	if err := m.write(c.Path); err != nil {
		return r, fmt.Errorf("all jobs were moved, but the file that says so beside %s could not be written: run the same command again: %w", filepath.Base(c.Path), err)
	}
	return r, nil
}

// begin reads the mark of an earlier run, or makes a fresh one.
func (c *Copy) begin() (m Moved, fresh bool, err error) {
	m, err = ReadMoved(c.Path)
	switch {
	case err != nil:
		return m, false, err
	case m.ID != "" && m.To != c.Name:
		return m, false, &MovedError{Moved: m, Mark: movedMark(c.Path)}
	case m.ID != "":
		return m, false, nil
	}
	m = Moved{ID: uuid.NewString(), To: c.Name}
	if err := m.write(c.Path); err != nil {
		return m, false, fmt.Errorf("write the file that says that the move has begun: %w", err)
	}
	failpoint.Here("store.copy-begun")
	return m, true, nil
}

// fill makes the schema of the target and copies everything. After an error, unfilled says that the target has no rows and no row of this
// move. fresh says so beforehand.
func (c *Copy) fill(ctx context.Context, source *Store, m Moved, fresh bool, r *Result) (unfilled bool, err error) {
	config, err := parse(c.To, c.Target)
	if err != nil {
		return fresh, err
	}
	if err := c.previewTarget(ctx, m); err != nil { // before the schema is made: another program's database stays as it is
		return fresh || isUsed(err), err
	}
	process := uuid.NewString()
	if err := migratePostgres(ctx, session(config, process, "migrates"), postgresDialect(connectTime)); err != nil {
		return fresh, explainPostgres(config, err)
	}
	config = session(config, process, "copies")
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fresh, explainPostgres(config, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	r.Before, err = c.claim(ctx, conn, m)
	if err != nil {
		return isUsed(err), err // after another error the row may be there
	}
	failpoint.Here("store.copy-claimed")
	if c.Begun != nil {
		err = c.Begun(m.ID)
	}
	unsure := r.Before
	if err == nil && !r.Before {
		unsure, err = c.copy(ctx, source, conn, m)
	}
	switch {
	case err == nil:
		return false, r.count(ctx, conn)
	case unsure:
		return false, fmt.Errorf("the new database may be complete: run the same command again: %w", err)
	}
	if e := disclaim(ctx, config, m); e != nil {
		return false, fmt.Errorf("%w. Nothing was moved; run the same command again", err)
	}
	return true, err
}

// isUsed reports whether an error says that the target has no row of this move, but others. Then nothing of it is there, also if an earlier
// run was interrupted.
func isUsed(err error) bool {
	_, used := errors.AsType[*UsedError](err)
	return used
}

// claim puts the id of the move into an empty target, so that no server starts with it. It reports whether an earlier run had copied
// everything.
func (c *Copy) claim(ctx context.Context, conn *pgx.Conn, m Moved) (complete bool, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		o, err := usable(ctx, tx, m)
		complete = o.complete
		if err != nil || o.id != "" {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO origin (id, source, complete) VALUES ($1, $2, 0)`, m.ID, c.Source)
		return err
	})
	return complete, err
}

// usable returns the row of this move in the target, if there is one. It returns a [*UsedError] if the target has other rows.
func usable(ctx context.Context, db pgxQueryer, m Moved) (o origin, err error) {
	o, err = readOrigin(ctx, db)
	switch {
	case err != nil:
		return origin{}, err
	case o.id == "":
		return o, vacant(ctx, db)
	case o.id == m.ID:
		return o, nil
	case o.complete:
		return origin{}, &UsedError{"it has the jobs of another database, " + o.source}
	}
	return origin{}, &UsedError{"a move of the jobs of " + o.source + " into it has begun and not ended"}
}

// disclaim removes the id of the move from a target without rows, so that another database can be moved into it. It uses a connection of its
// own, since the other one ends with its context.
func disclaim(ctx context.Context, config *pgx.ConnConfig, m Moved) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTime)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `DELETE FROM origin WHERE id = $1 AND complete = 0`, m.ID)
	return err
}

// origin is the row of the table origin; its zero value: there is none.
type origin struct {
	id, source string
	complete   bool
}

// A pgxQueryer is a connection or a transaction of pgx.
type pgxQueryer interface {
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}

// readOrigin reads the row of the table origin.
func readOrigin(ctx context.Context, db pgxQueryer) (o origin, err error) {
	var complete int64
	err = db.QueryRow(ctx, `SELECT id, source, complete FROM origin`).Scan(&o.id, &o.source, &complete)
	if errors.Is(err, pgx.ErrNoRows) {
		return origin{}, nil
	}
	o.complete = complete != 0
	return o, err
}

// complete returns an error if jobs are being moved into the database, or the move was interrupted.
func (s *Store) complete(ctx context.Context) error {
	sources, err := read(ctx, s, func(rows *sql.Rows) (source string, err error) { return source, rows.Scan(&source) },
		`SELECT source FROM origin WHERE complete = 0`)
	if err != nil || len(sources) == 0 {
		return err
	}
	return fmt.Errorf("the jobs of %s are being moved into it, or their move was interrupted: wait for the end of batholith migrate, or run it again on that machine", sources[0])
}
