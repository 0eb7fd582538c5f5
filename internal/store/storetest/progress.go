package storetest

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

func progressing() []law {
	return []law{
		{"CommitsOfSeveralWorkersCountTogether", countTogether},
		{"TheSealAndTheEndKeepEveryCounter", countersKept},
		{"CountersNeverFall", countersNeverFall},
		{"SumsOfSeveralWorkersStopAtTheGreatestNumber", workersSaturate},
		{"OneOfTheLastCommitsSeesAllRecords", lastSeesAll},
		{"ASealedJobTakesNoCommitOfAnyWorker", sealedForAll},
		{"ACommitThatWasAppliedIsKnownAfterTheEnd", knownAfterTheEnd},
	}
}

// totals are all the counters of a job, and when it was modified.
type totals struct {
	Counts   batholith.Counts
	Tokens   batholith.Tokens
	Ledger   batholith.Ledger
	Modified time.Time
}

// total reads the counters of a job, which must be the same in every answer.
func total(t tester, p Port, id string) totals {
	t.Helper()
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	list, _, err := p.Jobs(t.Context(), batholith.ListQuery{Account: account, Limit: 100})
	no(t, err)
	if !j.Status.Terminal() {
		unfinished, err := p.Unfinished(t.Context())
		no(t, err)
		list = append(list, unfinished...)
	}
	for _, other := range list {
		if other.ID == id {
			same(t, other, j)
		}
	}
	ledger, err := p.Ledger(t.Context(), id)
	no(t, err)
	return totals{j.Counts, j.Tokens, ledger, j.Modified}
}

// shared is a job of which each of the workers holds one chunk, and their chunks.
func shared(t *testing.T, p Port, workers ...string) (id string, chunks []batholith.Chunk) {
	t.Helper()
	id = running(t, p, 1, len(workers))
	alive(t, p, workers...)
	for _, w := range workers {
		chunks = append(chunks, claim(t, p, w, id, 1)...)
	}
	return id, chunks
}

func countTogether(t *testing.T, p Port) {
	id, chunks := shared(t, p, "w1", "w2")
	other := running(t, p, 2, 1)
	commit(t, p, commitOf("w1", "s", claim(t, p, "w1", other, 1)[0], 0, 1, 2)) // counts elsewhere
	want := totals{Counts: batholith.Counts{Total: 20}}
	for _, c := range []batholith.Commit{
		commitOf("w1", "s1", chunks[0], 0, 1), commitOf("w2", "s2", chunks[1], 5), commitOf("w1", "s3", chunks[0], 2), commitOf("w2", "s4", chunks[1], 6, 7, 8),
	} {
		want.Counts, want.Tokens, want.Ledger = want.Counts.Add(c.Counts), want.Tokens.Add(c.Tokens), want.Ledger.Add(c.Ledger)
		same(t, commit(t, p, c), want.Counts)
		got := total(t, p, id)
		want.Modified = got.Modified
		same(t, got, want)
	}
}

func countersKept(t *testing.T, p Port) {
	for n, end := range []func(id string){
		func(id string) { seal(t, p, id, "") },
		func(id string) {
			no(t, p.Move(t.Context(), id, batholith.StatusInProgress, batholith.StatusFailed, "", start()))
		},
	} {
		id := running(t, p, n, 2)
		alive(t, p, "w1", "w2")
		a, b := claim(t, p, "w1", id, 1)[0], claim(t, p, "w2", id, 1)[0]
		commit(t, p, commitOf("w1", "s1", a, 0, 1))
		commit(t, p, commitOf("w2", "s2", b, 0, 1, 2))
		want := total(t, p, id)
		end(id)
		same(t, total(t, p, id), want)
		seal(t, p, id, "") // again
		same(t, total(t, p, id), want)
		j, err := p.Job(t.Context(), account, id)
		no(t, err)
		if !j.Status.Terminal() {
			no(t, p.Move(t.Context(), id, batholith.StatusInProgress, batholith.StatusFailed, "", start()))
		}
		same(t, total(t, p, id), want)
		if j, err = p.Job(t.Context(), account, id); err != nil || j.Ended.Before(want.Modified) {
			t.Errorf("the job ended at %v, before its last commit at %v; %v", j.Ended, want.Modified, err)
		}
		no(t, p.Forget(t.Context(), id, start()))
		same(t, total(t, p, id), want)
	}
}

// countersNeverFall reads the counters again and again while two workers commit and a third seals the job.
func countersNeverFall(t *testing.T, p Port) {
	id, chunks := shared(t, p, "w1", "w2")
	var wg sync.WaitGroup
	defer wg.Wait()
	for i, c := range chunks {
		wg.Go(func() {
			for r := range 9 {
				_, err := p.Commit(t.Context(), commitOf(c.Owner, fmt.Sprint("s", i, r), c, r))
				if errors.Is(err, batholith.ErrSealed) {
					return
				}
				no(failing{t}, err)
			}
		})
	}
	ended := make(chan struct{})
	wg.Go(func() {
		defer close(ended)
		_, err := p.SealToPublish(t.Context(), id, "", "w3")
		if err == nil {
			err = p.Move(t.Context(), id, batholith.StatusInProgress, batholith.StatusFailed, "", start())
		}
		no(failing{t}, err)
	})
	var before batholith.Job
	for over := false; !over; {
		select {
		case <-ended:
			over = true // one more time
		default:
		}
		j, err := p.Job(t.Context(), account, id)
		no(t, err)
		if j.Counts.Processed < before.Counts.Processed || j.Tokens.Input < before.Tokens.Input || j.Modified.Before(before.Modified) ||
			j.Counts.Processed != j.Counts.Succeeded+j.Counts.Errored || j.Tokens.Input != 7*j.Counts.Processed {
			t.Fatalf("first %+v, %+v, then %+v, %+v", before.Counts, before.Tokens, j.Counts, j.Tokens)
		}
		before = j
	}
	segments, err := p.Segments(t.Context(), id)
	no(t, err)
	same(t, before.Counts.Processed, int64(len(segments)))
}

// failing is a test that another goroutine may fail.
type failing struct{ *testing.T }

// Fatal fails the test.
func (t failing) Fatal(args ...any) { t.Error(args...) }

// Fatalf fails the test.
func (t failing) Fatalf(format string, args ...any) { t.Errorf(format, args...) }

func workersSaturate(t *testing.T, p Port) {
	id, chunks := shared(t, p, "w1", "w2", "w3")
	const most = math.MaxInt64
	for i, n := range []int64{most - 5, 3, most} {
		c := commitOf(chunks[i].Owner, fmt.Sprint("s", i), chunks[i], 1)
		c.Tokens = batholith.Tokens{Input: n, Output: n / 4, CacheRead: 1 << 40, CacheWrite: 1<<32 - 1}
		c.Ledger = batholith.Ledger{Attempts: n, Wasted: c.Tokens}
		commit(t, p, c)
		want := int64(most)
		if i < 2 {
			want = []int64{most - 5, most - 2}[i]
		}
		got := total(t, p, id)
		same(t, []int64{got.Tokens.Input, got.Ledger.Attempts, got.Ledger.Wasted.Input}, []int64{want, want, want})
		k := int64(i + 1)
		same(t, []int64{got.Tokens.CacheRead, got.Tokens.CacheWrite}, []int64{k << 40, k * (1<<32 - 1)})
	}
	want := total(t, p, id)
	seal(t, p, id, "")
	same(t, total(t, p, id), want)
}

// lastSeesAll commits the last records of a job by two workers at the same time: a worker that sees that all are done ends the job.
func lastSeesAll(t *testing.T, p Port) {
	_, chunks := shared(t, p, "w1", "w2")
	counts := make([]batholith.Counts, len(chunks))
	var wg sync.WaitGroup
	for i, c := range chunks {
		wg.Go(func() {
			var err error
			counts[i], err = p.Commit(t.Context(), commitOf(c.Owner, fmt.Sprint("s", i), c, all()...))
			no(failing{t}, err)
		})
	}
	wg.Wait()
	same(t, max(counts[0].Processed, counts[1].Processed), int64(20))
}

func sealedForAll(t *testing.T, p Port) {
	id, chunks := shared(t, p, "w1", "w2")
	commit(t, p, commitOf("w1", "s1", chunks[0], 1))
	seal(t, p, id, "")
	for i, c := range chunks { // one has committed before, the other not
		_, err := p.Commit(t.Context(), commitOf(c.Owner, fmt.Sprint("late", i), c, 2))
		refused(t, err, batholith.ErrSealed)
	}
	same(t, total(t, p, id).Counts, batholith.Counts{Total: 20, Processed: 1, Succeeded: 1})
}

func knownAfterTheEnd(t *testing.T, p Port) {
	id, chunks := shared(t, p, "w1")
	c := commitOf("w1", "s1", chunks[0], 1, 2)
	want := commit(t, p, c)
	no(t, p.Move(t.Context(), id, batholith.StatusInProgress, batholith.StatusFailed, "", start()))
	same(t, commit(t, p, c), want)
	same(t, total(t, p, id).Counts, want)
}
