package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/batholith/batholith"
)

// call is one call of a store.
type call struct {
	name string
	do   func(ctx context.Context, s *Store) error
}

// life are the changes of a job in an order in which each is possible and none is empty.
func life() []call {
	id, account := job(1).ID, job(1).Account
	var chunks []batholith.Chunk
	var epoch int64
	move := func(from, to batholith.Status) call {
		return call{"Move to " + string(to), func(ctx context.Context, s *Store) error { return s.Move(ctx, id, from, to, "m", time.Now()) }}
	}
	create := func(n int) call {
		return call{"CreateJob", func(ctx context.Context, s *Store) error {
			j := job(n)
			j.Tags = []batholith.Tag{{Key: "a", Value: "1"}}
			_, err := s.CreateJob(ctx, j, "hash", 9)
			return err
		}}
	}
	publish := call{"ClaimPublication", func(ctx context.Context, s *Store) (err error) {
		epoch, err = s.ClaimPublication(ctx, id, "w", true, time.Now())
		return err
	}}
	return []call{
		create(1), create(2), move(batholith.StatusSubmitted, batholith.StatusValidating),
		{"Plan", func(ctx context.Context, s *Store) error {
			return s.Plan(ctx, id, []batholith.File{{Key: "k"}}, []batholith.Chunk{{N: 0, Count: 3}, {N: 1, Count: 3}}, 6)
		}},
		{"Plan again", func(ctx context.Context, s *Store) error {
			return s.Plan(ctx, id, []batholith.File{{Key: "k"}}, []batholith.Chunk{{N: 0, Count: 3}, {N: 1, Count: 3}}, 6)
		}},
		move(batholith.StatusValidating, batholith.StatusScheduled), move(batholith.StatusScheduled, batholith.StatusInProgress),
		{"Heartbeat", func(ctx context.Context, s *Store) error { return s.Heartbeat(ctx, "w", time.Now().Add(time.Minute)) }},
		{"Note", func(ctx context.Context, s *Store) error { return s.Note(ctx, id, "note") }},
		{"Unnote", func(ctx context.Context, s *Store) error { return s.Unnote(ctx, id, "note") }},
		{"Learn", func(ctx context.Context, s *Store) error {
			return s.Learn(ctx, batholith.Learned{Backend: "b", Model: "m", Limit: 1, At: time.Now()})
		}},
		{"Learn later", func(ctx context.Context, s *Store) error {
			return s.Learn(ctx, batholith.Learned{Backend: "c", Model: "m", Limit: 1, At: time.Now().Add(30 * 24 * time.Hour)})
		}},
		{"Claim", func(ctx context.Context, s *Store) error {
			got, err := s.Claim(ctx, "w", id, 2, time.Now())
			if err == nil {
				chunks = got
			}
			return err
		}},
		{"Commit", func(ctx context.Context, s *Store) error {
			_, err := s.Commit(ctx, oneRecord(chunks[0], 0))
			return err
		}},
		{"Commit another", func(ctx context.Context, s *Store) error {
			_, err := s.Commit(ctx, oneRecord(chunks[0], 1))
			return err
		}},
		{"ReplaceSegments", func(ctx context.Context, s *Store) error {
			_, err := s.ReplaceSegments(ctx, id, []string{"s0", "s1"}, batholith.Segment{Job: id, Key: "r", Level: 1})
			return err
		}},
		{"Release", func(ctx context.Context, s *Store) error { return s.Release(ctx, "w", id) }},
		{"PutTags", func(ctx context.Context, s *Store) error {
			return s.PutTags(ctx, account, id, []batholith.Tag{{Key: "b"}}, 9)
		}},
		{"DeleteTags", func(ctx context.Context, s *Store) error { return s.DeleteTags(ctx, account, id, []string{"a"}) }},
		publish,
		{"RestPublication", func(ctx context.Context, s *Store) error { return s.RestPublication(ctx, id, epoch) }},
		{"YieldPublication", func(ctx context.Context, s *Store) error { return s.YieldPublication(ctx, id, epoch) }},
		publish,
		{"PutUpload", func(ctx context.Context, s *Store) error {
			return s.PutUpload(ctx, batholith.Upload{Job: id, Key: "k", UploadID: "u", Epoch: epoch})
		}},
		{"PutUpload of another", func(ctx context.Context, s *Store) error {
			return s.PutUpload(ctx, batholith.Upload{Job: id, Key: "k", UploadID: "v", Epoch: epoch})
		}},
		{"DeleteUpload", func(ctx context.Context, s *Store) error {
			return s.DeleteUpload(ctx, batholith.Upload{Job: id, Key: "k", UploadID: "u"})
		}},
		{"SealToPublish", func(ctx context.Context, s *Store) (err error) {
			epoch, err = s.SealToPublish(ctx, id, "", "w")
			return err
		}},
		{"SealToPublish of a failing job", func(ctx context.Context, s *Store) (err error) {
			epoch, err = s.SealToPublish(ctx, id, "why", "w")
			return err
		}},
		{"Decide", func(ctx context.Context, s *Store) error {
			return s.Decide(ctx, id, epoch, batholith.StatusInProgress, batholith.StatusCompleted, "over", []byte("{}"))
		}},
		{"DecideKept", func(ctx context.Context, s *Store) error {
			return s.DecideKept(ctx, id, epoch, batholith.StatusInProgress, "over")
		}},
		{"End", func(ctx context.Context, s *Store) error {
			_, err := s.End(ctx, id, epoch, time.Now(), time.Time{})
			return err
		}},
		{"PublishKept", func(ctx context.Context, s *Store) error { return s.PublishKept(ctx, account, id) }},
		{"Unpublished", func(ctx context.Context, s *Store) error { return s.Unpublished(ctx, id, "why") }},
		{"DiscardKept", func(ctx context.Context, s *Store) error { return s.DiscardKept(ctx, account, id) }},
		{"Discarded", func(ctx context.Context, s *Store) error { return s.Discarded(ctx, id, "why", time.Now()) }},
		{"Forget", func(ctx context.Context, s *Store) error { return s.Forget(ctx, id, time.Now()) }},
		{"Swept", func(ctx context.Context, s *Store) error { return s.Swept(ctx, id, time.Now()) }},
	}
}

// touched is a table, and what is done to one of its rows.
type touched struct{ table, op string }

// touches runs a call and returns what it wrote to.
func touches(t *testing.T, s *Store, c call) (all []touched) {
	t.Helper()
	ops := map[int32]string{sqlite3.SQLITE_INSERT: "INSERT", sqlite3.SQLITE_UPDATE: "UPDATE", sqlite3.SQLITE_DELETE: "DELETE"}
	hook := func(f sqlite.PreUpdateHookFn) {
		conn, err := s.writer.Conn(t.Context())
		must(err)
		defer conn.Close()
		must(conn.Raw(func(c any) error { driversOwn(c).(sqlite.HookRegisterer).RegisterPreUpdateHook(f); return nil }))
	}
	hook(func(d sqlite.SQLitePreUpdateData) {
		if w := (touched{d.TableName, ops[d.Op]}); !strings.HasPrefix(w.table, "sqlite_") && !slices.Contains(all, w) {
			all = append(all, w)
		}
	})
	if err := c.do(t.Context(), s); err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	hook(nil)
	return all
}

// dump is what all tables hold.
func dump(t *testing.T, s *Store) string {
	t.Helper()
	var all strings.Builder
	for _, table := range strings.Fields(text(t, s.reader, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name`)) {
		columns := strings.Fields(text(t, s.reader, `SELECT name FROM pragma_table_info('`+table+`')`))
		all.WriteString(table + "\n" + text(t, s.reader, `SELECT concat_ws('|', `+strings.Join(columns, ", ")+`) FROM `+table+` ORDER BY 1`))
	}
	return all.String()
}

// Every row that a change writes fails to be written once. The change says so, and none of it has happened, so that it can be repeated. A
// plan, and the rows of a job that is over, may be half there, but never half seen.
func TestAWriteThatFailsFailsTheWholeChange(t *testing.T) {
	learned := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
	broken := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
	exec := func(query string) {
		t.Helper()
		if _, err := broken.writer.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	first, second := life(), life()
	for i, c := range first {
		all := touches(t, learned, c)
		if len(all) == 0 {
			t.Errorf("%s writes nothing", c.name)
		}
		for _, w := range all {
			exec(fmt.Sprintf(`CREATE TRIGGER broken BEFORE %s ON %s BEGIN SELECT RAISE(ABORT, 'the disk is broken'); END`, w.op, w.table))
			before := dump(t, broken)
			if err := second[i].do(t.Context(), broken); err == nil || !strings.Contains(err.Error(), "the disk is broken") {
				t.Errorf("%s: %s of %s fails, and the error is %v", c.name, w.op, w.table, err)
			}
			if after := dump(t, broken); after != before && !strings.HasPrefix(c.name, "Plan") {
				t.Errorf("%s: %s of %s fails, and this happened all the same:\n%s\nbecame\n%s", c.name, w.op, w.table, before, after)
			}
			exec(`DROP TRIGGER broken`)
		}
		if err := second[i].do(t.Context(), broken); err != nil {
			t.Fatalf("%s: repeated after a failure: %v", c.name, err)
		}
	}
}

// Nothing is answered by a store that cannot read.
func TestAClosedStoreAnswersNothing(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
	calls := life()
	for _, c := range calls[:20] {
		if err := c.do(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
	must(s.Close())
	id, account := job(1).ID, job(1).Account
	list := func(name string, f func(ctx context.Context, s *Store) error) { calls = append(calls, call{name, f}) }
	list("Job", func(ctx context.Context, s *Store) error { _, err := s.Job(ctx, account, id); return err })
	list("Find", func(ctx context.Context, s *Store) error { _, err := s.Find(ctx, id); return err })
	list("Jobs", func(ctx context.Context, s *Store) error {
		_, _, err := s.Jobs(ctx, batholith.ListQuery{Account: account})
		return err
	})
	list("Unfinished", func(ctx context.Context, s *Store) error { _, err := s.Unfinished(ctx); return err })
	list("Unclean", func(ctx context.Context, s *Store) error { _, err := s.Unclean(ctx); return err })
	list("Unswept", func(ctx context.Context, s *Store) error { _, err := s.Unswept(ctx, time.Now()); return err })
	list("Asked", func(ctx context.Context, s *Store) error { _, err := s.Asked(ctx); return err })
	list("Tags", func(ctx context.Context, s *Store) error { _, err := s.Tags(ctx, account, id); return err })
	list("Events", func(ctx context.Context, s *Store) error { _, err := s.Events(ctx, 0, 9); return err })
	list("History", func(ctx context.Context, s *Store) error { _, err := s.History(ctx, id); return err })
	list("Files", func(ctx context.Context, s *Store) error { _, err := s.Files(ctx, id); return err })
	list("Chunks", func(ctx context.Context, s *Store) error { _, err := s.Chunks(ctx, id); return err })
	list("ChunksOf", func(ctx context.Context, s *Store) error { _, err := s.ChunksOf(ctx, id, []int{0}); return err })
	list("Segments", func(ctx context.Context, s *Store) error { _, err := s.Segments(ctx, id); return err })
	list("Uploads", func(ctx context.Context, s *Store) error { _, err := s.Uploads(ctx, id); return err })
	list("Ledger", func(ctx context.Context, s *Store) error { _, err := s.Ledger(ctx, id); return err })
	list("Learned", func(ctx context.Context, s *Store) error { _, err := s.Learned(ctx, "b", "m"); return err })
	list("Check", func(ctx context.Context, s *Store) error { return s.Check(ctx) })
	for _, c := range calls {
		if err := c.do(t.Context(), s); err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("%s: the error is %v", c.name, err)
		}
	}
}

var errRow = errors.New("the row cannot be read")

// unreadable is a row that the database found and cannot give.
type unreadable struct{}

func (unreadable) Scan(...any) error { return errRow }

// A row that cannot be read is no empty chunk or job: the outcomes of an empty chunk would be dropped as stale.
func TestARowThatCannotBeReadIsNotTakenForAnEmptyOne(t *testing.T) {
	if c, err := scanChunk(unreadable{}); !errors.Is(err, errRow) {
		t.Errorf("chunk %+v, %v", c, err)
	}
	if j, err := scanJob(unreadable{}); !errors.Is(err, errRow) {
		t.Errorf("job %+v, %v", j, err)
	}
}
