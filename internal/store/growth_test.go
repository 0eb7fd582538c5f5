package store

import (
	"context"
	"database/sql"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/pgtest"
)

// firstGrowth is the version of the first schema of PostgreSQL that a released program has used.
const firstGrowth = 20

// next are the migrations of a program of a later version: each of its statements, and the oldest version that it works with.
func next(version, oldest int64, statements ...string) []*goose.Migration {
	run := func(ctx context.Context, tx *sql.Tx) error {
		for _, s := range append(statements, fmt.Sprint("UPDATE compatibility SET oldest = ", oldest)) {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		return nil
	}
	return []*goose.Migration{goose.NewGoMigration(version, &goose.GoFunc{RunTx: run}, nil)}
}

// added is what a migration may do while older programs go on.
var added = []string{
	`ALTER TABLE jobs ADD COLUMN more TEXT NOT NULL DEFAULT 'm'`,
	`ALTER TABLE chunks ADD COLUMN more BIGINT NOT NULL DEFAULT 7`,
	`ALTER TABLE segments ADD COLUMN more BIGINT`,
	`CREATE TABLE more (id BIGINT PRIMARY KEY)`,
}

// newest is the newest version that this program knows.
func newest(t *testing.T) (version int64) {
	t.Helper()
	names, err := fs.Glob(migrations, "migrations/postgres/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		version = max(version, versionOf(t, name))
	}
	return version
}

func versionOf(t *testing.T, name string) int64 {
	t.Helper()
	number, _, _ := strings.Cut(filepath.Base(name), "_")
	v, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// An old and a new program work on one job in turn. The old one is started again after the new one has changed the schema.
func TestAnOldProgramGoesOnBesideTheNextSchema(t *testing.T) {
	address := pgtest.Shared(t).Database(t)
	open := func(o PostgresOptions) *Store {
		s, err := OpenPostgres(t.Context(), address, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	old := open(PostgresOptions{})
	id := job(1).ID
	if _, err := old.CreateJob(t.Context(), job(1), "hash", 0); err != nil {
		t.Fatal(err)
	}
	later := open(PostgresOptions{later: next(newest(t)+1, newest(t), added...)})
	again := open(PostgresOptions{})
	steps := []struct {
		by       *Store
		from, to batholith.Status
	}{
		{old, batholith.StatusSubmitted, batholith.StatusValidating},
		{later, "", ""}, // the plan
		{again, batholith.StatusValidating, batholith.StatusScheduled},
		{later, batholith.StatusScheduled, batholith.StatusInProgress},
	}
	for _, step := range steps {
		if step.from == "" {
			if err := step.by.Plan(t.Context(), id, nil, []batholith.Chunk{{N: 0, Count: 1}, {N: 1, Count: 1}, {N: 2, Count: 1}}, 3); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := step.by.Move(t.Context(), id, step.from, step.to, "", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range []*Store{old, later, again} {
		chunks, err := s.Claim(t.Context(), fmt.Sprint("w", i), id, 1, time.Now())
		if err != nil || len(chunks) != 1 {
			t.Fatalf("chunks %v, %v", chunks, err)
		}
		done := batholith.NewBits(1)
		done.Set(0)
		counts, err := s.Commit(t.Context(), batholith.Commit{Segment: batholith.Segment{Job: id, Key: fmt.Sprint("s", i)}, Worker: fmt.Sprint("w", i),
			Parts: []batholith.CommitPart{{Chunk: chunks[0].N, Epoch: chunks[0].Epoch, Done: done}}, Counts: batholith.Counts{Processed: 1, Succeeded: 1}})
		if err != nil || counts.Processed != int64(i+1) {
			t.Fatalf("counts %+v, %v", counts, err)
		}
	}
	if _, err := again.CreateJob(t.Context(), job(2), "hash", 0); err != nil {
		t.Error(err)
	}
	if jobs, err := later.Unfinished(t.Context()); err != nil || len(jobs) != 2 {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
}

func TestAProgramThatIsTooOldIsRefused(t *testing.T) {
	address := pgtest.Shared(t).Database(t)
	version := newest(t) + 5
	s, err := OpenPostgres(t.Context(), address, PostgresOptions{later: next(version, version, `ALTER TABLE jobs DROP COLUMN note`)})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	_, err = OpenPostgres(t.Context(), address, PostgresOptions{})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint("version ", version)) || !strings.Contains(err.Error(), "run a newer batholith") {
		t.Errorf("the error is %v", err)
	}
	pgtest.Exec(t, address, `DELETE FROM compatibility`)
	if _, err := OpenPostgres(t.Context(), address, PostgresOptions{}); err == nil || !strings.Contains(err.Error(), "does not say") {
		t.Errorf("the error is %v", err)
	}
}

// breaking are statements that a running program of an earlier version may not survive.
var breaking = regexp.MustCompile(`(?i)\b(DROP|RENAME|TRUNCATE|SET NOT NULL|ADD (CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN)|CREATE UNIQUE INDEX|DELETE FROM|(ALTER COLUMN|ALTER) \w+ (SET DATA )?TYPE)\b`)

var (
	comment = regexp.MustCompile(`--[^\n]*`)
	addsCol = regexp.MustCompile(`(?i)\bADD (COLUMN )?(IF NOT EXISTS )?(\w+) [^,;]*`)
	setsOld = regexp.MustCompile(`(?i)\bUPDATE compatibility SET oldest = (\d+);`)
)

// compatible returns what is wrong with a migration, if older programs are to go on beside it; "": nothing. before is the oldest version that
// the schema before it works with.
func compatible(text string, version, before int64) (oldest int64, wrong string) {
	up, _, _ := strings.Cut(text, "-- +goose Down")
	up = comment.ReplaceAllString(up, "")
	set := setsOld.FindStringSubmatch(up)
	if set == nil {
		return 0, "it does not say which programs go on beside it: add UPDATE compatibility SET oldest = N;"
	}
	oldest, err := strconv.ParseInt(set[1], 10, 64)
	switch {
	case err != nil || oldest < before || oldest > version:
		return oldest, fmt.Sprintf("it sets oldest to %d, which must be from %d to %d", oldest, before, version)
	case oldest == version:
		return oldest, ""
	}
	if what := breaking.FindString(up); what != "" {
		return oldest, fmt.Sprintf("programs of version %d break by %s: set oldest to %d, or only add", oldest, what, version)
	}
	for _, column := range addsCol.FindAllString(up, -1) {
		if strings.Contains(strings.ToUpper(column), "NOT NULL") && !strings.Contains(strings.ToUpper(column), "DEFAULT") {
			return oldest, fmt.Sprintf("programs of version %d cannot insert a row, because of %s: give it a default", oldest, column)
		}
	}
	return oldest, ""
}

func TestMigrationsOfPostgreSQLSayWhichProgramsGoOn(t *testing.T) {
	names, err := fs.Glob(migrations, "migrations/postgres/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	before := int64(firstGrowth)
	for _, name := range names { // by version
		version := versionOf(t, name)
		if version <= firstGrowth {
			continue
		}
		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		oldest, wrong := compatible(string(text), version, before)
		if wrong != "" {
			t.Errorf("%s: %s", name, wrong)
		}
		before = oldest
	}
}

func TestAMigrationThatBreaksOlderProgramsIsFound(t *testing.T) {
	const keeps, raises = "UPDATE compatibility SET oldest = 20;", "UPDATE compatibility SET oldest = 25;"
	for text, fine := range map[string]bool{
		keeps: true,
		"ALTER TABLE jobs ADD COLUMN a TEXT NOT NULL DEFAULT '';" + keeps:                            true,
		"ALTER TABLE jobs ADD COLUMN a TEXT;" + keeps:                                                true,
		"ALTER TABLE jobs ADD COLUMN a TEXT NOT NULL;" + keeps:                                       false,
		"ALTER TABLE jobs ADD COLUMN a TEXT NOT NULL DEFAULT '', ADD COLUMN b INT NOT NULL;" + keeps: false,
		"CREATE TABLE a (b TEXT NOT NULL); CREATE INDEX c ON a (b);" + keeps:                         true,
		"CREATE UNIQUE INDEX c ON jobs (name);" + keeps:                                              false,
		"-- DROP is not done here\n" + keeps + "\n-- +goose Down\nDROP TABLE a;":                     true,
		"ALTER TABLE jobs DROP COLUMN note;" + keeps:                                                 false,
		"ALTER TABLE jobs DROP COLUMN note;" + raises:                                                true,
		"alter table jobs rename column note to a;" + keeps:                                          false,
		"ALTER TABLE jobs ALTER COLUMN seq TYPE INT;" + keeps:                                        false,
		"ALTER TABLE jobs ALTER note SET NOT NULL;" + keeps:                                          false,
		"ALTER TABLE jobs ADD CHECK (seq > 0);" + keeps:                                              false,
		"CREATE TABLE a (b TEXT);":                                                                   false,
		"UPDATE compatibility SET oldest = 19;":                                                      false,
		"UPDATE compatibility SET oldest = 26;":                                                      false,
	} {
		if _, wrong := compatible(text, 25, 20); (wrong == "") != fine {
			t.Errorf("%s: %q", text, wrong)
		}
	}
}

// nameless are statements whose meaning changes with a new column.
var nameless = regexp.MustCompile(`(?i)SELECT\s+(\w+\.)?\*|RETURNING\s+\*|INSERT INTO \w+\s+(VALUES|SELECT)`)

// A statement that does not name its columns reads or writes others after a migration has added one.
func TestStatementsNameTheirColumns(t *testing.T) {
	for text, want := range map[string]bool{`SELECT * FROM a`: true, `SELECT a.* FROM a`: true, `INSERT INTO a VALUES (1)`: true, `INSERT INTO a (b) VALUES (1)`: false, `SELECT count(*) FROM a`: false} {
		if nameless.MatchString(text) != want {
			t.Errorf("%s: found is %v", text, !want)
		}
	}
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) == 0 {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && nameless.MatchString(lit.Value) {
				t.Errorf("%s: %s", name, lit.Value)
			}
			return true
		})
	}
}
