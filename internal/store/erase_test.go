package store

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

// Every table with rows of jobs is emptied when a job is erased. A new table must be added to ofJobs, or here with a reason.
func TestErasingReachesEveryTableWithRowsOfJobs(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
	var erased []string
	for _, t := range ofJobs {
		erased = append(erased, t.name)
	}
	erased = append(erased, fewOfJobs...)
	erased = append(erased, "job_usage") // what was used stays for the bill: ids, the principal and numbers
	for name := range strings.Lines(text(t, s.reader, `SELECT m.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c ON c.name = 'job' WHERE m.type = 'table' ORDER BY 1`)) {
		if name = strings.TrimSpace(name); !slices.Contains(erased, name) {
			t.Errorf("the rows of a job in %s are not erased", name)
		}
	}
}

// After Compact no file of the database has a byte of the erased job, wherever SQLite had moved its rows.
func TestNoFileOfTheDatabaseShowsAnErasedJob(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, filepath.Join(dir, "jobs.db"))
	const needle = "n33dle-in-a-haystack"
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	for i := range 200 { // enough rows that pages are split
		id := string([]byte{'a' + byte(i/26/26), 'a' + byte(i/26%26), 'a' + byte(i%26)}) + "aaaaaaaaa"
		name := "plain-" + id
		if i%2 == 0 {
			name = needle + id
		}
		j := batholith.Job{ID: id, Account: "123456789012", Region: "us-east-1", Owner: "o", Model: "m", Submitted: now, Expires: now.Add(time.Hour),
			Request: batholith.Request{Name: name, ModelID: "m", Token: "t-" + name, Tags: []batholith.Tag{{Key: "k", Value: name}}, Input: batholith.Location{URI: "s3://in/" + name}, Output: batholith.Location{URI: "s3://out/"}}}
		if _, err := s.CreateJob(t.Context(), j, "h", 0); err != nil {
			t.Fatal(err)
		}
		if err := s.Move(t.Context(), id, batholith.StatusSubmitted, batholith.StatusValidating, "", now); err != nil {
			t.Fatal(err)
		}
		if err := s.Note(t.Context(), id, "a note about "+name); err != nil {
			t.Fatal(err)
		}
		if err := s.Move(t.Context(), id, batholith.StatusValidating, batholith.StatusFailed, "the reason is "+name, now); err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			continue
		}
		if err := s.ForgetJob(t.Context(), j.Account, id, false); err != nil {
			t.Fatal(err)
		}
		if err := s.EraseJob(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if !shows(t, dir, needle) {
		t.Log("nothing was left to compact")
	}
	if whole, err := s.Compact(t.Context()); err != nil || !whole {
		t.Fatal(whole, err)
	}
	if shows(t, dir, needle) {
		t.Error("a file shows an erased job")
	}
	if n := text(t, s.reader, `SELECT count(*) FROM jobs`); strings.TrimSpace(n) != "100" {
		t.Errorf("%s jobs are left", n)
	}
}

// shows reports whether a file in dir has the text.
func shows(t *testing.T, dir, needle string) bool {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(needle)) {
			return true
		}
	}
	return false
}
