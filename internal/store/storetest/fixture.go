package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
)

// The jobs of the laws belong to this account, when nothing else is said, and begin at this time.
const account = "123456789012"

func start() time.Time { return time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC) }

// newJob returns a job to create. Its id and name end in n.
func newJob(n int) batholith.Job {
	return batholith.Job{
		ID: fmt.Sprintf("job%09d", n), Account: account, Region: "eu-central-1", Owner: "arn:aws:iam::123456789012:user/ann", Model: "a.model",
		Request: batholith.Request{
			Name: fmt.Sprintf("job-%d", n), ModelID: "a.model", RoleARN: "arn:aws:iam::123456789012:role/r", Type: batholith.Converse,
			Input:  batholith.Location{URI: "s3://in/data/", Owner: account},
			Output: batholith.Location{URI: "s3://out/"}, KMSKeyID: "key", InputFormat: "JSONL", TimeoutHours: 24,
			VPC: &batholith.VPC{SubnetIDs: []string{"subnet-1"}, SecurityGroupIDs: []string{"sg-1", "sg-2"}},
		},
		Submitted: start(), Expires: start().Add(24 * time.Hour),
	}
}

func create(t *testing.T, p Port, j batholith.Job) batholith.Job {
	t.Helper()
	got, err := p.CreateJob(t.Context(), j, "hash", 0)
	no(t, err)
	return got
}

// moveTo walks a job that was just created along these statuses.
func moveTo(t *testing.T, p Port, id string, path ...batholith.Status) {
	t.Helper()
	from := batholith.StatusSubmitted
	for _, to := range path {
		no(t, p.Move(t.Context(), id, from, to, "", start().Add(time.Minute)))
		from = to
	}
}

// planned creates job n and plans it: chunks of 10 records of one file.
func planned(t *testing.T, p Port, n, chunks int) string {
	t.Helper()
	id := create(t, p, newJob(n)).ID
	moveTo(t, p, id, batholith.StatusValidating)
	files, cs := plan(id, chunks)
	no(t, p.Plan(t.Context(), id, files, cs, int64(chunks*10)))
	return id
}

// running is planned, and the job is InProgress.
func running(t *testing.T, p Port, n, chunks int) string {
	t.Helper()
	id := planned(t, p, n, chunks)
	no(t, p.Move(t.Context(), id, batholith.StatusValidating, batholith.StatusScheduled, "", start()))
	no(t, p.Move(t.Context(), id, batholith.StatusScheduled, batholith.StatusInProgress, "", start()))
	return id
}

func plan(id string, chunks int) ([]batholith.File, []batholith.Chunk) {
	files := []batholith.File{{N: 0, Key: "data/a.jsonl", ETag: "e1", Bytes: int64(chunks) * 1000, Records: int64(chunks) * 10,
		CRC32C: "e3069283", Output: "a.jsonl.out", Index: "out/x/a.index"}}
	var cs []batholith.Chunk
	for i := range chunks {
		cs = append(cs, batholith.Chunk{Job: id, N: i, First: int64(i) * 10, Count: 10, Offset: int64(i) * 1000, Bytes: 1000,
			IndexOffset: int64(i) * 400, IndexBytes: 400, State: batholith.ChunkPending, Done: batholith.NewBits(10)})
	}
	return files, cs
}

// commitOf is a commit of these records of one chunk, one of them in error when there are several.
func commitOf(worker, key string, c batholith.Chunk, records ...int) batholith.Commit {
	n := int64(len(records))
	errored := min(n-1, 1)
	return batholith.Commit{
		Segment: batholith.Segment{Job: c.Job, Key: key, Bytes: 100 * n, Records: n, Lines: 90 * n, Sum: 0xfedcba98},
		Worker:  worker,
		Parts:   []batholith.CommitPart{{Chunk: c.N, Epoch: c.Epoch, Done: bits(records...)}},
		Counts:  batholith.Counts{Processed: n, Succeeded: n - errored, Errored: errored},
		Tokens:  batholith.Tokens{Input: 7 * n, Output: 3 * n, CacheRead: 2 * n, CacheWrite: n},
		Ledger: batholith.Ledger{Attempts: n + 1, Repeats: 1, Reissued: n, Reused: 9 * n, Canaries: 5 * n, Outcomes: batholith.Outcomes{Invalid: 2 * n, Refused: 3 * n, Exhausted: 4 * n},
			Wasted: batholith.Tokens{Input: 5 * n, Output: 6 * n, CacheRead: 7 * n, CacheWrite: 8 * n}},
	}
}

// bits is a set of records of a chunk of 10.
func bits(records ...int) batholith.Bits {
	b := batholith.NewBits(10)
	for _, i := range records {
		b.Set(i)
	}
	return b
}

// all are the records of a chunk of 10.
func all() []int { return []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9} }

// A tester is a test, or one history of a model.
type tester interface {
	Helper()
	Context() context.Context
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// seal seals a job, as failing when why is not empty, and leaves its publication to whoever claims it.
func seal(t tester, p Port, id, why string) {
	t.Helper()
	epoch, err := p.SealToPublish(t.Context(), id, why, "sealer")
	no(t, err)
	if epoch != 0 {
		no(t, p.YieldPublication(t.Context(), id, epoch))
	}
}

func no(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused demands this refusal.
func refused(t tester, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("the error is %v, not %q", err, want)
	}
}

// stale demands a refusal that names these chunks.
func stale(t tester, err error, chunks ...int) {
	t.Helper()
	var e *batholith.StaleError
	if !errors.As(err, &e) {
		t.Fatalf("the error is %v, not a StaleError", err)
	}
	same(t, e.Chunks, chunks)
}

func same(t tester, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("not as wanted (-want +got):\n%s", d)
	}
}
