package results_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object/objecttest"
	"github.com/batholith/batholith/internal/results"
	"github.com/batholith/batholith/internal/store"
)

// TestTheDatabaseAgrees takes a job through a real database, with a worker that loses a chunk and another that finishes.
func TestTheDatabaseAgrees(t *testing.T) {
	ctx := t.Context()
	db, err := store.Open(ctx, filepath.Join(t.TempDir(), "batholith.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	job := running(t, db)
	bucket := objecttest.NewMemory()
	open := func(context.Context, string) (blob.Place, error) {
		return blob.Place{Input: bucket, Output: bucket, Prefix: "out/" + job.ID + "/"}, nil
	}

	first := begin(t, results.Options{Dir: t.TempDir(), Worker: "first", Store: db, Open: open})
	held := claim(t, db, job.ID, "first")
	add(t, first, "first", held[0], 0, 10)
	add(t, first, "first", held[1], 2, 7)
	if err := first.Flush(ctx, job.ID); err != nil {
		t.Fatal(err)
	}
	if err := db.Release(ctx, "first", ""); err != nil {
		t.Fatal(err)
	}
	second := begin(t, results.Options{Dir: t.TempDir(), Worker: "second", Store: db, Open: open})
	taken := claim(t, db, job.ID, "second")
	add(t, first, "first", held[1], 0, 9) // too late
	if err := first.Flush(ctx, job.ID); err != nil {
		t.Fatal(err)
	}
	for _, c := range taken {
		for i := range c.Count {
			if !c.Done.Has(i) {
				add(t, second, "second", c, i, i+1)
			}
		}
	}
	if err := second.Flush(ctx, job.ID); err != nil {
		t.Fatal(err)
	}

	if _, err := db.SealToPublish(ctx, job.ID, "", "second"); err != nil {
		t.Fatal(err)
	}
	if job, err = db.Job(ctx, job.Account, job.ID); err != nil {
		t.Fatal(err)
	}
	epoch, err := db.ClaimPublication(ctx, job.ID, "second", true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	job.Status = batholith.StatusCompleted
	publisher := results.NewPublisher(results.PublisherOptions{SmallManifest: -1, Store: db, Open: open})
	m, err := publisher.Publish(ctx, job, epoch, true)
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	for r := range 30 {
		by := "first"
		if r > 16 || r == 10 || r == 11 {
			by = "second"
		}
		want += fmt.Sprintf("{%d %s}\n", r, by)
	}
	if got, _ := bucket.Object("out/" + job.ID + "/a.jsonl.out"); string(got) != want {
		t.Errorf("output\n%s\nwant\n%s", got, want)
	}
	if m.SuccessRecordCount != 30 || m.Batholith.Attempts != 30 || m.OutputTokenCount != 60 {
		t.Errorf("manifest %+v", m)
	}
	if err := publisher.Clean(ctx, job); err != nil {
		t.Fatal(err)
	}
	if keys := strings.Join(bucket.Keys(), " "); keys != "out/"+job.ID+"/a.jsonl.out out/"+job.ID+"/manifest.json.out" {
		t.Errorf("left: %s", keys)
	}
}

// running makes a job of 30 records in three chunks that is InProgress.
func running(t *testing.T, db *store.Store) batholith.Job {
	t.Helper()
	now := time.Now()
	j := batholith.Job{ID: "abcdefghijkl", Account: "123456789012", Region: "eu-central-1", Owner: "o", Submitted: now, Expires: now.Add(time.Hour),
		Request: batholith.Request{Name: "n", ModelID: "m", RoleARN: "r", Input: batholith.Location{URI: "s3://in/"}, Output: batholith.Location{URI: "s3://out/"}}}
	j, err := db.CreateJob(t.Context(), j, "hash", 0)
	if err != nil {
		t.Fatal(err)
	}
	var chunks []batholith.Chunk
	for n := range 3 {
		chunks = append(chunks, batholith.Chunk{Job: j.ID, N: n, First: int64(n) * 10, Count: 10})
	}
	files := []batholith.File{{Key: "a.jsonl", ETag: "e", Records: 30, Output: "a.jsonl.out", Index: "i"}}
	from := batholith.StatusSubmitted
	for _, to := range []batholith.Status{batholith.StatusValidating, batholith.StatusScheduled, batholith.StatusInProgress} {
		if to == batholith.StatusScheduled {
			if err := db.Plan(t.Context(), j.ID, files, chunks, 30); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Move(t.Context(), j.ID, from, to, "", now); err != nil {
			t.Fatal(err)
		}
		from = to
	}
	return j
}

// begin runs a Writer until the test ends.
func begin(t *testing.T, o results.Options) *results.Writer {
	t.Helper()
	w, err := results.NewWriter(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

func claim(t *testing.T, db *store.Store, job, worker string) []batholith.Chunk {
	t.Helper()
	if err := db.Heartbeat(t.Context(), worker, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	chunks, err := db.Claim(t.Context(), worker, job, 10, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return chunks
}

// add answers the records from … to of a chunk.
func add(t *testing.T, w *results.Writer, worker string, c batholith.Chunk, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		r := c.First + int64(i)
		o := batholith.Outcome{Job: c.Job, Key: batholith.RecordKey{Record: r}, Chunk: c.N, First: c.First, Epoch: c.Epoch,
			Line: []byte(fmt.Sprintf("{%d %s}\n", r, worker)), Tokens: batholith.Tokens{Output: 2}, Attempts: 1}
		if err := w.Add(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}
