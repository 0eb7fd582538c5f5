package store

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// childFile names the database in the environment of the process that the crash test kills.
const childFile = "BATHOLITH_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		fmt.Println(work(path))
		return
	}
	if args := os.Getenv(childMove); args != "" {
		fmt.Println(moveInChild(args))
		return
	}
	os.Exit(m.Run())
}

// work creates, plans and commits without end. It says so of each step after it was told that the step has happened.
func work(path string) error {
	ctx := context.Background()
	s, err := Open(ctx, path)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		j, err := s.CreateJob(ctx, job(n), "hash", 0)
		if err != nil {
			return err
		}
		fmt.Println("created", j.ID)
		chunks := begin(ctx, s, j.ID)
		for i := range 3 {
			if _, err := s.Commit(ctx, oneRecord(chunks[0], i)); err != nil {
				return err
			}
			fmt.Println("committed", j.ID, i)
		}
	}
}

// begin takes the job to InProgress and claims its two chunks of three records.
func begin(ctx context.Context, s *Store, id string) []batholith.Chunk {
	path := []batholith.Status{batholith.StatusSubmitted, batholith.StatusValidating, batholith.StatusScheduled, batholith.StatusInProgress}
	for i, to := range path[1:] {
		if to == batholith.StatusScheduled {
			must(s.Plan(ctx, id, nil, []batholith.Chunk{{N: 0, Count: 3}, {N: 1, Count: 3}}, 6))
		}
		must(s.Move(ctx, id, path[i], to, "", fromMillis(1)))
	}
	chunks, err := s.Claim(ctx, "w", id, 2, fromMillis(1))
	must(err)
	return chunks
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func oneRecord(c batholith.Chunk, i int) batholith.Commit {
	done := batholith.NewBits(c.Count)
	done.Set(i)
	return batholith.Commit{Segment: batholith.Segment{Job: c.Job, Key: fmt.Sprint("s", i)}, Worker: c.Owner,
		Parts:  []batholith.CommitPart{{Chunk: c.N, Epoch: c.Epoch, Done: done}},
		Counts: batholith.Counts{Processed: 1, Succeeded: 1}}
}

// What was answered is there after kill -9, and what was not answered is there as a whole or not at all.
func TestAKilledProcessLosesNothingThatItAnswered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	answered := map[string]int{} // records committed, by job
	for round := range 3 {
		at := killed(t, path, 10+7*round, answered)
		s := openStore(t, path)
		if got := text(t, s.reader, `PRAGMA integrity_check`) + text(t, s.reader, `PRAGMA foreign_key_check`); got != "ok\n\n" {
			t.Fatal(got)
		}
		for id, n := range answered {
			j, err := s.Job(t.Context(), "123456789012", id)
			if err != nil {
				t.Fatal(err)
			}
			if got := int(j.Counts.Processed); got < n || got > n+1 {
				t.Errorf("round %d: %d records were committed, and %d are there", round, n, got)
			}
			checkJob(t, s, j)
		}
		// The next process begins with the jobs that are there: their names and tokens are taken.
		if got, err := s.CreateJob(t.Context(), job(0), "hash", 0); err != nil || got.ID != job(0).ID {
			t.Errorf("the token of the first job: %v, %v", got.ID, err)
		}
		s.Close()
		path, answered = filepath.Join(t.TempDir(), fmt.Sprint("jobs", at, ".db")), map[string]int{}
	}
}

// killed starts work on the file, notes what it answers, and kills it after so many lines.
func killed(t *testing.T, path string, lines int, answered map[string]int) int {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childFile+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for in := bufio.NewScanner(out); in.Scan(); n++ { // it may have said more than was read before it died
		if n == lines {
			cmd.Process.Kill()
		}
		switch f := strings.Fields(in.Text()); f[0] {
		case "created":
			answered[f[1]] = 0
		case "committed":
			answered[f[1]]++
		default:
			t.Fatal(in.Text())
		}
	}
	cmd.Wait() // killed
	if n < lines {
		t.Fatalf("it ended after %d lines", n)
	}
	return n
}

// checkJob demands that the job is there as a whole: its token, its events, and as many finished records as it counts.
func checkJob(t *testing.T, s *Store, j batholith.Job) {
	t.Helper()
	got := text(t, s.reader, `SELECT job FROM tokens WHERE job = '`+j.ID+`'`)
	if got != j.ID+"\n" {
		t.Errorf("its token is of %q", got)
	}
	history, err := s.History(t.Context(), j.ID)
	if err != nil || len(history) == 0 || history[len(history)-1].Status != j.Status {
		t.Errorf("the history of a job that is %s ends otherwise: %v, %v", j.Status, history, err)
	}
	chunks, err := s.Chunks(t.Context(), j.ID)
	if err != nil {
		t.Fatal(err)
	}
	var done int64
	for _, c := range chunks {
		done += int64(c.Done.Len())
	}
	segments, err := s.Segments(t.Context(), j.ID)
	if err != nil || done != j.Counts.Processed || int64(len(segments)) != done {
		t.Errorf("%d processed, %d done, %d segments, %v", j.Counts.Processed, done, len(segments), err)
	}
}

// A copy of the files is what a crash at that moment leaves: the WAL not folded in, a transaction half written.
func TestACopyOfTheFilesInUseOpensWithWhatWasCommitted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	s := openStore(t, path)
	for n := range 3 {
		if _, err := s.CreateJob(t.Context(), job(n), "hash", 0); err != nil {
			t.Fatal(err)
		}
	}
	var copied string
	err := s.write(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(t.Context(), `UPDATE jobs SET status = 'Failed', active = 0`); err != nil {
			return err
		}
		copied = copyFiles(t, path, 0)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c := openStore(t, copied)
	jobs, err := c.Unfinished(t.Context())
	if err != nil || len(jobs) != 3 || jobs[0].Status != batholith.StatusSubmitted {
		t.Errorf("the copy has %d jobs that go on, %v", len(jobs), err)
	}
}

func TestATornWALLosesTheTornTransactionOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	s := openStore(t, path)
	for n := range 3 {
		if _, err := s.CreateJob(t.Context(), job(n), "hash", 0); err != nil {
			t.Fatal(err)
		}
	}
	c := openStore(t, copyFiles(t, path, 100))
	jobs, err := c.Unfinished(t.Context())
	if err != nil || len(jobs) != 2 {
		t.Fatalf("%d jobs are left, %v", len(jobs), err)
	}
	for _, j := range jobs {
		checkJob(t, c, j)
	}
	if _, err := c.CreateJob(t.Context(), job(2), "hash", 0); err != nil {
		t.Error(err)
	}
}

// copyFiles copies the database and its WAL, the latter without its last bytes, and returns the path of the copy.
func copyFiles(t *testing.T, path string, torn int) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy.db")
	for _, suffix := range []string{"", "-wal"} {
		in, err := os.Open(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		b, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if suffix == "-wal" {
			b = b[:len(b)-torn]
		}
		if err := os.WriteFile(to+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}
