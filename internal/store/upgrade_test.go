package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/batholith/batholith"
)

// openAt makes a database as the program did that knew the schema up to a version, and returns it with the newest version.
func openAt(t *testing.T, path string, version int64) (*Store, int64) {
	t.Helper()
	db, err := sqliteDB(path, 1, "immediate")
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithLogger(goose.NopLogger()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	sources := p.ListSources()
	return &Store{dialect: sqliteDialect(), writer: db, reader: db}, sources[len(sources)-1].Version
}

// half is a job of which one record in four was committed, with the columns of the first schema; later ones have defaults. The second
// argument is the column of workers that was lease_until at first.
const half = `
	UPDATE jobs SET status = 'InProgress', total = 4, processed = 1, succeeded = 1, input = 3, output = 2, attempts = 1 WHERE id = '%[1]s';
	INSERT INTO files (job, n, key, etag, bytes, records, output, index_key) VALUES ('%[1]s', 0, 'k', 'e', 7, 4, 'k.out', 'i');
	INSERT INTO chunks (job, n, file, first, count, pos, bytes, index_offset, index_bytes, state, owner, epoch, done)
		VALUES ('%[1]s', 0, 0, 0, 4, 0, 7, 0, 9, 'leased', 'w', 5, x'01');
	INSERT INTO segments (job, key, level, bytes, records, lines, sum) VALUES ('%[1]s', 'first', 0, 10, 1, 5, 77);
	INSERT INTO uploads (job, key, upload_id) VALUES ('%[1]s', 'k.out', 'up');
	INSERT INTO workers (id, %[2]s) VALUES ('w', 1);`

func TestAJobInProgressGoesOnUnderEveryLaterSchema(t *testing.T) {
	for version, newest := int64(1), int64(2); version < newest; version++ {
		t.Run(fmt.Sprint("from version ", version), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "jobs.db")
			var old *Store
			old, newest = openAt(t, path, version)
			id := job(1).ID
			if _, err := old.CreateJob(t.Context(), job(1), "hash", 0); err != nil {
				t.Fatal(err)
			}
			lease := "lease_until"
			if version >= 10 {
				lease = "beat"
			}
			if _, err := old.writer.Exec(fmt.Sprintf(half, id, lease)); err != nil {
				t.Fatal(err)
			}
			old.Close()
			goesOn(t, openStore(t, path), id)
		})
	}
}

// Up to version 8 a note and the reason of a failing job were the message, told apart by its first words.
func TestAnUpgradeSplitsMessagesIntoNotesAndReasons(t *testing.T) {
	cases := []struct {
		status                         batholith.Status
		before, message, note, failing string
	}{
		{batholith.StatusInProgress, "The job could not go on: the input is gone", "", "", "the input is gone"},
		{batholith.StatusScheduled, "The job could not go on: é", "", "", "é"},
		{batholith.StatusInProgress, "The job could not go on: ", "", "", "the reason was not recorded"},
		{batholith.StatusInProgress, "the job could not go on: so says a server", "", "the job could not go on: so says a server", ""},
		{batholith.StatusInProgress, "Records wait.", "", "Records wait.", ""},
		{batholith.StatusStopping, "The job could not go on: the input is gone", "", "The job could not go on: the input is gone", ""},
		{batholith.StatusInProgress, "", "", "", ""},
		{batholith.StatusFailed, "The job could not go on: the input is gone", "The job could not go on: the input is gone", "", ""},
		{batholith.StatusCompleted, "Every record was processed.", "Every record was processed.", "", ""},
	}
	for version := int64(1); version < 9; version++ {
		path := filepath.Join(t.TempDir(), "jobs.db")
		old, _ := openAt(t, path, version)
		for i, c := range cases {
			j := job(i)
			if _, err := old.CreateJob(t.Context(), j, "hash", 0); err != nil {
				t.Fatal(err)
			}
			_, err := old.writer.Exec(`UPDATE jobs SET status = $1, message = $2, active = $3 WHERE id = $4`, string(c.status), c.before, bit(!c.status.Terminal()), j.ID)
			if err != nil {
				t.Fatal(err)
			}
		}
		old.Close()
		s := openStore(t, path)
		for i, c := range cases {
			j, err := s.Job(t.Context(), "123456789012", job(i).ID)
			if err != nil || j.Message != c.message || j.Note != c.note || j.Failing != c.failing {
				t.Errorf("version %d, %s %q: message %q, note %q, failing %q, %v", version, c.status, c.before, j.Message, j.Note, j.Failing, err)
			}
		}
	}
}

// A job whose end was decided ends so, whatever its message was meanwhile.
func TestADecidedEndIsKeptByTheMigration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	old, _ := openAt(t, path, 8)
	id := job(1).ID
	if _, err := old.CreateJob(t.Context(), job(1), "hash", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := old.writer.Exec(`UPDATE jobs SET status = 'InProgress', message = 'The job could not go on: x', ending = 'Stopped', last_message = 'Stopped.'`); err != nil {
		t.Fatal(err)
	}
	old.Close()
	s := openStore(t, path)
	epoch, err := s.ClaimPublication(t.Context(), id, "w", true, time.Now())
	if err == nil {
		_, err = s.End(t.Context(), id, epoch, time.Now(), time.Time{})
	}
	if err != nil {
		t.Fatal(err)
	}
	if j, err := s.Job(t.Context(), "123456789012", id); err != nil || j.Status != batholith.StatusStopped || j.Message != "Stopped." || j.Failing+j.Note != "" {
		t.Errorf("%+v, %v", j, err)
	}
}

// goesOn takes the job to its end, as the program does that found it.
func goesOn(t *testing.T, s *Store, id string) {
	t.Helper()
	ctx := t.Context()
	list, err := s.Unfinished(ctx)
	if err != nil || len(list) != 1 || list[0].Counts != (batholith.Counts{Total: 4, Processed: 1, Succeeded: 1}) {
		t.Fatalf("unfinished: %+v, %v", list, err)
	}
	files, err := s.Files(ctx, id)
	if d := cmp.Diff([]batholith.File{{Key: "k", ETag: "e", Bytes: 7, Records: 4, Output: "k.out", Index: "i"}}, files); err != nil || d != "" {
		t.Error(err, d)
	}
	uploads, err := s.Uploads(ctx, id)
	if err != nil || len(uploads) != 1 || uploads[0].UploadID != "up" {
		t.Errorf("uploads %+v, %v", uploads, err)
	}
	commit := func(key string, epoch int64, record int) (batholith.Counts, error) {
		done := batholith.NewBits(4)
		done.Set(record)
		return s.Commit(ctx, batholith.Commit{Worker: "w", Segment: batholith.Segment{Job: id, Key: key, Bytes: 10, Records: 1, Lines: 5},
			Parts: []batholith.CommitPart{{Chunk: 0, Epoch: epoch, Done: done}}, Counts: batholith.Counts{Processed: 1, Succeeded: 1}})
	}
	var stale *batholith.StaleError
	if _, err := commit("again", 5, 0); !errors.As(err, &stale) {
		t.Errorf("a record that was committed is committed again: %v", err)
	}
	if c, err := commit("second", 5, 1); err != nil || c.Processed != 2 { // out of the journal, under the epoch of before
		t.Errorf("counts %+v, %v", c, err)
	}
	if err := s.Release(ctx, "w", id); err != nil {
		t.Error(err)
	}
	chunks, err := s.Claim(ctx, "w", id, 1, time.Now())
	if err != nil || len(chunks) != 1 || chunks[0].Epoch != 6 || !chunks[0].Done.Has(0) || !chunks[0].Done.Has(1) || chunks[0].Done.Has(2) {
		t.Fatalf("chunks %+v, %v", chunks, err)
	}
	for record := 2; record < 4; record++ {
		if _, err := commit(fmt.Sprint("record ", record), 6, record); err != nil {
			t.Error(err)
		}
	}
	segs, err := s.Segments(ctx, id)
	if err != nil || len(segs) != 4 {
		t.Errorf("segments %+v, %v", segs, err)
	}
	if _, err := s.SealToPublish(ctx, id, "", "w"); err != nil {
		t.Error(err)
	}
	if err := s.Move(ctx, id, batholith.StatusInProgress, batholith.StatusCompleted, "", time.Now()); err != nil {
		t.Error(err)
	}
	if err := s.Forget(ctx, id, time.Now()); err != nil {
		t.Error(err)
	}
	if j, err := s.Job(ctx, "123456789012", id); err != nil || j.Status != batholith.StatusCompleted || j.Counts.Processed != 4 {
		t.Errorf("job %+v, %v", j, err)
	}
}
