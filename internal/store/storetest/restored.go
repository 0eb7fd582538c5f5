package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

// Restoring is the part of the store that knows of jobs which may be older than their buckets.
type Restoring interface {
	MarkRestored(ctx context.Context) (n int64, err error)
	Rebook(ctx context.Context, id string, b batholith.Books) error
	EndRestored(ctx context.Context, id string, from batholith.Status, m batholith.Manifest, message string, at time.Time) error
}

func restoring() []law {
	return []law{
		{"ARestoredJobIsClaimedOnlyAfterItsBooksWereEntered", restoredBooks},
		{"ARestoredJobEndsAsItsManifestSays", restoredEnd},
	}
}

// Until the books are entered nothing is claimed; then the rows are what the bucket shows, under epochs that were never given out.
func restoredBooks(t *testing.T, p Port) {
	id := running(t, p, 1, 3)
	alive(t, p, "w1")
	old := claim(t, p, "w1", id, 2)
	_, err := p.Commit(t.Context(), commitOf("w1", "before", old[0], 0, 1))
	no(t, err)
	n, err := p.MarkRestored(t.Context())
	no(t, err)
	if n != 1 {
		t.Errorf("%d jobs are marked", n)
	}
	if got := claim(t, p, "w2", id, 3); len(got) > 0 {
		t.Errorf("%d chunks of a restored job were claimed", len(got))
	}
	job, err := p.Job(t.Context(), account, id)
	no(t, err)
	if !job.Restored {
		t.Error("the job does not say that it is restored")
	}
	books := batholith.Books{Segments: []batholith.Segment{{Job: id, Key: "run", Level: 1, Bytes: 1200, Records: 12, Lines: 1000, Sum: 7}},
		Done:   map[int]batholith.DoneChunk{0: {Records: bits(all()...), All: true}, 2: {Records: bits(4, 5)}},
		Counts: batholith.Counts{Processed: 12, Succeeded: 11, Errored: 1}, Tokens: batholith.Tokens{Input: 70, Output: 30}, Ledger: batholith.Ledger{Attempts: 13}}
	if err := p.Rebook(t.Context(), id, books); !errors.Is(err, batholith.ErrMoved) {
		t.Errorf("books that do not know of a segment: %v", err)
	}
	books.Before = []string{"before"}
	no(t, p.Rebook(t.Context(), id, books))
	books.Counts.Processed = 99
	no(t, p.Rebook(t.Context(), id, books)) // by another worker, later: it changes nothing

	job, err = p.Job(t.Context(), account, id)
	no(t, err)
	if job.Restored || job.Counts != (batholith.Counts{Total: 30, Processed: 12, Succeeded: 11, Errored: 1}) || job.Tokens.Input != 70 {
		t.Errorf("the job: restored %v, %+v, %+v", job.Restored, job.Counts, job.Tokens)
	}
	segs, err := p.Segments(t.Context(), id)
	no(t, err)
	same(t, segs, books.Segments)
	stale := commitOf("w1", "late", old[1], 0)
	if _, err := p.Commit(t.Context(), stale); err == nil {
		t.Error("a commit under an epoch of before is accepted")
	}
	got := claim(t, p, "w1", id, 3)
	if len(got) != 2 || got[0].N != 1 || got[1].N != 2 || !got[1].Done.Has(4) || got[1].Done.Len() != 2 {
		t.Fatalf("claimed: %+v", got)
	}
	for _, c := range got {
		if c.Epoch < 1000 {
			t.Errorf("chunk %d has the epoch %d, which may have been given out before", c.N, c.Epoch)
		}
	}
}

func restoredEnd(t *testing.T, p Port) {
	id := running(t, p, 1, 3)
	m := batholith.Manifest{TotalRecordCount: 30, ProcessedRecordCount: 29, SuccessRecordCount: 28, ErrorRecordCount: 1, InputTokenCount: 5,
		Batholith: batholith.ManifestDetail{Status: batholith.StatusStopped, Attempts: 31}}
	no(t, p.EndRestored(t.Context(), id, batholith.StatusInProgress, m, "it had ended", time.Now())) // it is not marked
	if job, err := p.Job(t.Context(), account, id); err != nil || job.Status != batholith.StatusInProgress {
		t.Fatalf("a job that is not restored is %s, %v", job.Status, err)
	}
	_, err := p.MarkRestored(t.Context())
	no(t, err)
	no(t, p.EndRestored(t.Context(), id, batholith.StatusInProgress, m, "it had ended", time.Now()))
	job, err := p.Job(t.Context(), account, id)
	no(t, err)
	if job.Status != batholith.StatusStopped || job.Message != "it had ended" || job.Counts != (batholith.Counts{Total: 30, Processed: 29, Succeeded: 28, Errored: 1}) || job.Tokens.Input != 5 {
		t.Errorf("the job: %s, %q, %+v, %+v", job.Status, job.Message, job.Counts, job.Tokens)
	}
}
