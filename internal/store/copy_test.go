package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/pgtest"
)

// targets lends databases with the schema to the tests.
var targets struct {
	once sync.Once
	pool *pgtest.Pool
}

// target is the address of a database with empty tables.
func target(t *testing.T) string {
	t.Helper()
	cluster := pgtest.Shared(t)
	targets.once.Do(func() {
		targets.pool = cluster.Pool(func(address string) error {
			s, err := OpenPostgres(context.Background(), address, PostgresOptions{})
			if err != nil {
				return err
			}
			return s.Close()
		})
	})
	return targets.pool.Database(t)
}

// moving is a copy from path to an empty database.
func moving(t *testing.T, path string) *Copy {
	t.Helper()
	to := target(t)
	return &Copy{Path: path, To: to, Name: "postgres://there/" + filepath.Base(to), Source: path}
}

// openMoved opens the target of a copy.
func openMoved(t *testing.T, c *Copy) *Store {
	t.Helper()
	s, err := OpenPostgres(t.Context(), c.To, c.Target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// halfDone makes a SQLite database of a schema version with a job of which one record in four is committed.
func halfDone(t *testing.T, version int64) (path, id string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "jobs.db")
	old, newest := openAt(t, path, min(version, 13))
	defer old.Close()
	j := job(1)
	j.Tags = []batholith.Tag{{Key: "team", Value: "é\u2028\x01"}}
	if _, err := old.CreateJob(t.Context(), j, "hash", 0); err != nil {
		t.Fatal(err)
	}
	lease := "lease_until"
	if version >= 10 {
		lease = "beat"
	}
	if _, err := old.writer.Exec(fmt.Sprintf(half, j.ID, lease)); err != nil {
		t.Fatal(err)
	}
	if version >= newest {
		openStore(t, path).Close()
	}
	return path, j.ID
}

// rowsOf returns the rows of every table that both databases have, as sorted text.
func rowsOf(t *testing.T, db queryer, tables []copied) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, table := range tables {
		rows, err := collect(t.Context(), db, func(rows *sql.Rows) (string, error) {
			values, to := make([]any, len(table.columns)), make([]any, len(table.columns))
			for i := range to {
				to[i] = &values[i]
			}
			err := rows.Scan(to...)
			return fmt.Sprintf("%v", values), err
		}, `SELECT `+strings.Join(table.columns, ", ")+` FROM `+table.name)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(rows)
		all[table.name] = strings.Join(rows, "\n")
	}
	return all
}

// tablesOf returns the tables of two databases.
func tablesOf(t *testing.T, source *Store, address string) []copied {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	tables, err := layout(t.Context(), source.reader, conn)
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// A table or a column that only SQLite has would be lost by a move.
func TestBothDatabasesHaveTheSameTablesAndColumns(t *testing.T) {
	source := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
	c := moving(t, "")
	got := map[string][]string{}
	conn, err := pgx.Connect(t.Context(), c.To)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	names, err := targetTables(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if slices.Contains(schemaTables, name) {
			continue
		}
		if got[name], err = targetColumns(t.Context(), conn, name); err != nil {
			t.Fatal(err)
		}
		slices.Sort(got[name])
	}
	// Only PostgreSQL gives events their numbers after their commit.
	delete(got, "outbox")
	got["events"] = slices.DeleteFunc(got["events"], func(c string) bool { return c == "number" })
	want, err := sourceColumns(t.Context(), source.reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, columns := range want {
		slices.Sort(columns)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if slices.Index(names, "jobs") > slices.Index(names, "tokens") {
		t.Errorf("a table comes before the one that it refers to: %v", names)
	}
}

func TestAMoveKeepsEveryRow(t *testing.T) {
	path, id := halfDone(t, 13)
	source := openStore(t, path)
	for n := 2; n < 5; n++ {
		if _, err := source.CreateJob(t.Context(), job(n), "hash", 0); err != nil {
			t.Fatal(err)
		}
		if err := source.Move(t.Context(), job(n).ID, batholith.StatusSubmitted, batholith.StatusFailed, "é\xff\x00!", job(n).Submitted); err != nil {
			t.Fatal(err)
		}
	}
	// A chunk without a finished record has an empty blob.
	if _, err := source.writer.Exec(`INSERT INTO chunks (job, n, file, first, count, pos, bytes, index_offset, index_bytes, state, owner, epoch, done)
		VALUES ($1, 1, 0, 4, 4, 7, 7, 9, 9, 'pending', '', 0, x'')`, id); err != nil {
		t.Fatal(err)
	}
	if err := source.Learn(t.Context(), batholith.Learned{Backend: "b", Model: "m", Limit: 3, Goodput: 1.5, At: job(1).Submitted}); err != nil {
		t.Fatal(err)
	}
	c := moving(t, path)
	var done, all int64
	c.Progress = func(d, a int64) { done, all = d, a }
	r, err := c.Run(t.Context())
	if err != nil || r.Before || done == 0 || done != all {
		t.Fatalf("%+v, %d of %d rows, %v", r, done, all, err)
	}
	target := openMoved(t, c)
	tables := tablesOf(t, source, c.To)
	want, got := rowsOf(t, source.reader, tables), rowsOf(t, target.reader, tables)
	for name, rows := range want {
		want[name] = strings.ReplaceAll(rows, "é\xff\x00!", "é\uFFFD\uFFFD!") // text for people keeps what PostgreSQL can store
	}
	if want["jobs"] == "" || want["events"] == "" || want["limits"] == "" || want["tags"] == "" || want["tokens"] == "" || want["chunks"] == "" {
		t.Fatal("the source lacks rows, so that the comparison shows nothing")
	}
	want["workers"], got["workers"] = "", "" // compared below
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if lease := text(t, target.reader, `SELECT lease::text FROM workers WHERE id = 'w'`); lease != fmt.Sprintf("%d\n", leaseOfMoved.Milliseconds()) {
		t.Errorf("the lease of the worker is %s", lease)
	}
	// New rows follow the moved ones.
	if _, err := target.CreateJob(t.Context(), job(9), "hash", 0); err != nil {
		t.Error(err)
	}
	before, err := source.Events(t.Context(), 0, 100)
	if err != nil || len(before) == 0 {
		t.Fatal(before, err)
	}
	after, err := target.Events(t.Context(), before[len(before)-2].Seq, 100) // a reader goes on with the number that it knows
	if err != nil || len(after) != 2 || after[0].Seq != before[len(before)-1].Seq || after[0].Job != before[len(before)-1].Job || after[1].Job != job(9).ID {
		t.Errorf("the events after the last but one are %+v, %v", after, err)
	}
	if h, err := target.History(t.Context(), id); err != nil || len(h) == 0 {
		t.Errorf("history %v, %v", h, err)
	}
}

func TestAMovedJobGoesOnFromEverySchemaOfItsSource(t *testing.T) {
	for _, version := range []int64{1, 9, 13} {
		t.Run(fmt.Sprint("from version ", version), func(t *testing.T) {
			path, id := halfDone(t, version)
			c := moving(t, path)
			if _, err := c.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			goesOn(t, openMoved(t, c), id)
		})
	}
}

// Of the two databases one can be used, at every moment.
func TestOnlyOneSideOfAMoveCanBeUsed(t *testing.T) {
	path, _ := halfDone(t, 13)
	c := moving(t, path)
	c.Begun = func(string) error {
		var moved *MovedError
		if _, err := Open(t.Context(), path); !errors.As(err, &moved) || moved.Done || !strings.Contains(err.Error(), "batholith migrate --to "+c.Name) {
			t.Errorf("the source is opened while it is moved: %v", err)
		}
		if _, err := OpenPostgres(t.Context(), c.To, c.Target); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "batholith migrate") {
			t.Errorf("the target is opened while it is filled: %v", err)
		}
		return nil
	}
	if _, err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	openMoved(t, c)
	_, err := Open(t.Context(), path)
	var moved *MovedError
	if !errors.As(err, &moved) || !moved.Done || !strings.Contains(err.Error(), "--store "+c.Name) || !strings.Contains(err.Error(), moved.Mark) {
		t.Fatalf("the source is opened after it was moved: %v", err)
	}
	// A repetition finds that all is done.
	if r, err := c.Run(t.Context()); err != nil || !r.Before {
		t.Errorf("%+v, %v", r, err)
	}
	// The way back that the message names.
	if err := os.Remove(moved.Mark); err != nil {
		t.Fatal(err)
	}
	openStore(t, path)
}

func TestAMoveThatFailsChangesNothing(t *testing.T) {
	path, id := halfDone(t, 13)
	c := moving(t, path)
	refused := errors.New("refused")
	c.Begun = func(string) error { return refused }
	if _, err := c.Run(t.Context()); !errors.Is(err, refused) {
		t.Fatalf("the error is %v", err)
	}
	if jobs, err := openStore(t, path).Unfinished(t.Context()); err != nil || len(jobs) != 1 {
		t.Errorf("%v, %v", jobs, err)
	}
	if jobs, err := openMoved(t, c).Unfinished(t.Context()); err != nil || len(jobs) != 0 {
		t.Errorf("%v, %v", jobs, err)
	}
	// A canceled context interrupts the copy, and the move can be made later.
	ctx, cancel := context.WithCancel(t.Context())
	c.Begun = func(string) error { cancel(); return nil }
	if _, err := c.Run(ctx); err == nil {
		t.Error("a move goes on after its context has ended")
	}
	c.Begun = nil
	if _, err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := openMoved(t, c).Find(t.Context(), id); err != nil {
		t.Error(err)
	}
}

func TestATargetThatIsNotEmptyIsRefused(t *testing.T) {
	path, _ := halfDone(t, 13)
	for name, use := range map[string]func(t *testing.T, c *Copy){
		"jobs of its own (1)": func(t *testing.T, c *Copy) {
			if _, err := openMoved(t, c).CreateJob(t.Context(), job(7), "hash", 0); err != nil {
				t.Fatal(err)
			}
		},
		"the table workers": func(t *testing.T, c *Copy) {
			if err := openMoved(t, c).Heartbeat(t.Context(), "w", job(1).Expires); err != nil {
				t.Fatal(err)
			}
		},
		"the jobs of another database": func(t *testing.T, c *Copy) {
			other, _ := halfDone(t, 13)
			if _, err := (&Copy{Path: other, To: c.To, Name: c.Name, Source: other}).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"has begun": func(t *testing.T, c *Copy) {
			openMoved(t, c)
			pgtest.Exec(t, c.To, `INSERT INTO origin (id, source, complete) VALUES ('x', 'elsewhere', 0)`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := moving(t, path)
			use(t, c)
			for what, do := range map[string]func() error{
				"run":     func() error { _, err := c.Run(t.Context()); return err },
				"preview": func() error { _, err := c.Preview(t.Context()); return err },
				// Nothing of an earlier run is in the target, so the source can be used again.
				"run after an interrupted one": func() error {
					must(Moved{ID: "earlier", To: c.Name}.write(path))
					_, err := c.Run(t.Context())
					return err
				},
			} {
				var used *UsedError
				if err := do(); !errors.As(err, &used) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "empty database") {
					t.Errorf("%s: the error is %v", what, err)
				}
			}
			if m, err := ReadMoved(path); err != nil || m.ID != "" {
				t.Errorf("the source has the mark %+v, %v", m, err)
			}
		})
	}
}

// A move into the database of another program is refused before anything is made there.
func TestAMoveLeavesTheDatabaseOfAnotherProgramAsItIs(t *testing.T) {
	path, _ := halfDone(t, 9)
	to := pgtest.Shared(t).Database(t)
	pgtest.Exec(t, to, `CREATE TABLE customers (id INT)`, `INSERT INTO customers VALUES (1)`)
	c := &Copy{Path: path, To: to, Name: "there", Source: path}
	_, err := c.Run(t.Context())
	if used, ok := errors.AsType[*UsedError](err); !ok || !strings.Contains(used.What, "another program (customers)") {
		t.Errorf("the error is %v", err)
	}
	conn, err := pgx.Connect(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if tables, err := targetTables(t.Context(), conn); err != nil || len(tables) != 1 {
		t.Errorf("it has the tables %v, %v", tables, err)
	}
	if m, err := ReadMoved(path); err != nil || m.ID != "" {
		t.Errorf("the source has the mark %+v, %v", m, err)
	}
}

func TestAPreviewOfAMoveChangesNothing(t *testing.T) {
	path, _ := halfDone(t, 9)
	c := moving(t, path)
	c.To = pgtest.Shared(t).Database(t) // without a schema
	p, err := c.Preview(t.Context())
	if err != nil || !slices.Contains(p.Tables, Count{"jobs", 1}) || !slices.Contains(p.Tables, Count{"chunks", 1}) {
		t.Errorf("%+v, %v", p, err)
	}
	if m, err := ReadMoved(path); err != nil || m.ID != "" {
		t.Errorf("the source has the mark %+v, %v", m, err)
	}
	conn, err := pgx.Connect(t.Context(), c.To)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if tables, err := targetTables(t.Context(), conn); err != nil || len(tables) > 0 {
		t.Errorf("the target has the tables %v, %v", tables, err)
	}
}

// childMove makes a test process move a database: its path and the address of its target.
const childMove = "STORE_TEST_MOVE"

// moveInChild is the process that dies in the next test.
func moveInChild(args string) error {
	path, to, _ := strings.Cut(args, "|")
	_, err := (&Copy{Path: path, To: to, Name: "postgres://there", Source: path}).Run(context.Background())
	return err
}

// Wherever a move dies, the source cannot be used, and the target only if it has all jobs or does not know of the move. A second run ends
// the move, and then every job is there.
func TestAMoveThatDiesIsEndedByItsRepetition(t *testing.T) {
	for _, point := range failpoint.MovePoints() {
		t.Run(point.Name, func(t *testing.T) {
			path, id := halfDone(t, 13)
			c := moving(t, path)
			c.Name = "postgres://there"
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), childMove+"="+path+"|"+c.To, failpoint.Variable+"="+point.Name)
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(cmd.ProcessState.String(), "killed") {
				t.Fatalf("the process did not die: %s\n%s", cmd.ProcessState, out)
			}
			var moved *MovedError
			if _, err := Open(t.Context(), path); !errors.As(err, &moved) {
				t.Errorf("the source is opened: %v", err)
			}
			s, err := OpenPostgres(t.Context(), c.To, c.Target)
			if err == nil {
				s.Close()
			}
			if whole := point.Name == "store.copy-whole" || point.Name == "store.copy-begun"; whole != (err == nil) {
				t.Errorf("the target is opened: %v", err)
			}
			if _, err := c.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			goesOn(t, openMoved(t, c), id)
		})
	}
}
