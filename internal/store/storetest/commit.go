package storetest

import (
	"fmt"
	"math"
	"testing"

	"github.com/batholith/batholith"
)

func committing() []law {
	return []law{
		{"ACommitCountsAsAWhole", commitCounts},
		{"AChunkWithAllItsRecordsIsDone", chunkDone},
		{"AStaleCommitNamesItsChunksAndChangesNothing", staleCommit},
		{"ARecordIsCommittedOnce", recordOnce},
		{"ARepeatedCommitIsAppliedOnce", repeatedCommit},
		{"OfConcurrentCommitsOfASegmentOneIsApplied", concurrentCommits},
		{"ASealedJobTakesNoCommit", sealedCommit},
		{"OnlyAJobThatRunsOrStopsTakesCommits", commitStatus},
		{"CountersMustAgreeWithTheRecords", countersAgree},
		{"SumsStopAtTheGreatestNumber", sumsSaturate},
		{"ARunReplacesItsSegments", runReplaces},
		{"ARunOfASegmentThatIsGoneIsRefused", runRefused},
	}
}

func commit(t *testing.T, p Port, c batholith.Commit) batholith.Counts {
	t.Helper()
	counts, err := p.Commit(t.Context(), c)
	no(t, err)
	return counts
}

func commitCounts(t *testing.T, p Port) {
	id := running(t, p, 1, 2)
	chunks := claim(t, p, "w1", id, 2)
	a := commitOf("w1", "s1", chunks[0], 0, 9)
	a.Parts = append(a.Parts, commitOf("w1", "", chunks[1], 4).Parts...)
	a.Counts = batholith.Counts{Processed: 3, Succeeded: 2, Errored: 1}
	same(t, commit(t, p, a), batholith.Counts{Total: 20, Processed: 3, Succeeded: 2, Errored: 1})
	b := commitOf("w1", "s2", chunks[0], 1, 2)
	want := batholith.Counts{Total: 20, Processed: 5, Succeeded: 3, Errored: 2}
	same(t, commit(t, p, b), want)

	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, j.Counts, want)
	same(t, j.Tokens, a.Tokens.Add(b.Tokens))
	if !j.Modified.After(start()) {
		t.Error("a commit does not touch lastModifiedTime")
	}
	ledger, err := p.Ledger(t.Context(), id)
	no(t, err)
	same(t, ledger, a.Ledger.Add(b.Ledger))
	segments, err := p.Segments(t.Context(), id)
	no(t, err)
	same(t, segments, []batholith.Segment{a.Segment, b.Segment})
	stored, err := p.Chunks(t.Context(), id)
	no(t, err)
	same(t, []batholith.Bits{stored[0].Done, stored[1].Done}, []batholith.Bits{bits(0, 1, 2, 9), bits(4)})
}

func chunkDone(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	chunk := claim(t, p, "w1", id, 1)[0]
	commit(t, p, commitOf("w1", "s1", chunk, all()[:9]...))
	commit(t, p, commitOf("w1", "s2", chunk, 9))
	stored, err := p.Chunks(t.Context(), id)
	no(t, err)
	same(t, stored[0].State, batholith.ChunkDone)
	no(t, p.Release(t.Context(), "w1", ""))
	same(t, ns(claim(t, p, "w2", id, 1)), []int{})
}

func staleCommit(t *testing.T, p Port) {
	id := running(t, p, 1, 4)
	alive(t, p, "w1", "w2")
	mine := claim(t, p, "w1", id, 3)
	c := commitOf("w1", "s1", mine[0], 1)
	bad := []batholith.CommitPart{
		{Chunk: 1, Epoch: mine[1].Epoch + 1, Done: bits(1)}, // another epoch
		{Chunk: 3, Epoch: 0, Done: bits(1)},                 // never claimed
		{Chunk: 9, Epoch: 1, Done: bits(1)},                 // not there
	}
	c.Parts = append(c.Parts, bad...)
	c.Counts = batholith.Counts{Processed: 4, Succeeded: 4}
	_, err := p.Commit(t.Context(), c)
	stale(t, err, 1, 3, 9)
	c.Worker = "w2" // another owner
	_, err = p.Commit(t.Context(), c)
	stale(t, err, 0, 1, 3, 9)

	stored, err := p.Chunks(t.Context(), id)
	no(t, err)
	same(t, stored[:3], mine)
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, j.Counts, batholith.Counts{Total: 40})
	segments, err := p.Segments(t.Context(), id)
	no(t, err)
	same(t, len(segments), 0)
}

func recordOnce(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	chunk := claim(t, p, "w1", id, 1)[0]
	commit(t, p, commitOf("w1", "s1", chunk, 1, 2))
	_, err := p.Commit(t.Context(), commitOf("w1", "s2", chunk, 2, 3))
	stale(t, err, 0)
	twice := commitOf("w1", "s3", chunk, 5)
	twice.Parts = append(twice.Parts, twice.Parts...)
	twice.Counts = batholith.Counts{Processed: 2, Succeeded: 2}
	_, err = p.Commit(t.Context(), twice)
	stale(t, err, 0)
}

func repeatedCommit(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	chunk := claim(t, p, "w1", id, 1)[0]
	c := commitOf("w1", "s1", chunk, 1, 2)
	want := commit(t, p, c)
	same(t, commit(t, p, c), want)
	seal(t, p, id, "") // its answer may be asked for when all is over
	same(t, commit(t, p, c), want)
	ledger, err := p.Ledger(t.Context(), id)
	no(t, err)
	same(t, ledger, c.Ledger)
}

func concurrentCommits(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	chunk := claim(t, p, "w1", id, 1)[0]
	_, errs := race(8, func(int) (batholith.Job, error) {
		_, err := p.Commit(t.Context(), commitOf("w1", "s1", chunk, 1, 2))
		return batholith.Job{}, err
	})
	same(t, count(t, errs, nil), 8)
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, j.Counts.Processed, int64(2))
}

func sealedCommit(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	chunk := claim(t, p, "w1", id, 1)[0]
	seal(t, p, id, "")
	_, err := p.Commit(t.Context(), commitOf("w1", "s1", chunk, 1))
	refused(t, err, batholith.ErrSealed)
}

func commitStatus(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	chunk := claim(t, p, "w1", id, 1)[0]
	no(t, p.Move(t.Context(), id, batholith.StatusInProgress, batholith.StatusStopping, "", start()))
	commit(t, p, commitOf("w1", "s1", chunk, 1))
	no(t, p.Move(t.Context(), id, batholith.StatusStopping, batholith.StatusStopped, "", start()))
	_, err := p.Commit(t.Context(), commitOf("w1", "s2", chunk, 2))
	refused(t, err, batholith.ErrSealed)
	unknown := commitOf("w1", "s2", chunk, 2)
	unknown.Segment.Job = "nosuchjob000"
	_, err = p.Commit(t.Context(), unknown)
	refused(t, err, batholith.ErrNotFound)
}

func countersAgree(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	chunk := claim(t, p, "w1", id, 1)[0]
	for _, counts := range []batholith.Counts{{}, {Processed: 1, Succeeded: 1}, {Processed: 2, Succeeded: 1},
		{Processed: 2, Succeeded: 2, Total: 2}, {Processed: 2, Succeeded: 2, Total: 1}, {Processed: 3, Succeeded: 3}, {Processed: 2, Succeeded: 3, Errored: -1}, {Processed: 2, Succeeded: -1, Errored: 3}} {
		c := commitOf("w1", "s1", chunk, 1, 2)
		c.Counts = counts
		if _, err := p.Commit(t.Context(), c); err == nil {
			t.Errorf("two records are counted as %+v", counts)
		}
	}
	for i, counts := range []batholith.Counts{{Processed: 2, Succeeded: 2}, {Processed: 2, Errored: 2}} {
		c := commitOf("w1", fmt.Sprint("all", i), chunk, 2*i+2, 2*i+3)
		c.Counts = counts
		commit(t, p, c)
	}
	beyond := commitOf("w1", "s1", chunk, 1)
	beyond.Parts[0].Done = batholith.Bits{0, 0x80} // a chunk of 10 has no record 15
	if _, err := p.Commit(t.Context(), beyond); err == nil {
		t.Error("a record that does not exist is done")
	}
}

// sumsSaturate commits what absurd model servers report. Every commit counts, and no sum is ever negative.
func sumsSaturate(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	chunk := claim(t, p, "w1", id, 1)[0]
	const most = math.MaxInt64
	var tokens batholith.Tokens
	var ledger batholith.Ledger
	for i, n := range []int64{7, -3, most, most, 1, -most - 1} {
		c := commitOf("w1", fmt.Sprint("s", i), chunk, i)
		c.Tokens = batholith.Tokens{Input: n, Output: n / 2, CacheRead: most - n, CacheWrite: n}
		c.Ledger = batholith.Ledger{Attempts: n, Repeats: n, Reissued: n, Reused: n, Canaries: n, Outcomes: batholith.Outcomes{Invalid: n, Refused: n, Exhausted: n}, Wasted: c.Tokens}
		tokens, ledger = tokens.Add(c.Tokens), ledger.Add(c.Ledger)
		commit(t, p, c)
		j, err := p.Job(t.Context(), account, id)
		no(t, err)
		same(t, j.Tokens, tokens)
		got, err := p.Ledger(t.Context(), id)
		no(t, err)
		same(t, got, ledger)
	}
	same(t, []int64{tokens.Input, tokens.CacheWrite, ledger.Attempts, ledger.Wasted.Output}, []int64{most, most, most, most})
}

func runReplaces(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	chunk := claim(t, p, "w1", id, 1)[0]
	for i, key := range []string{"s1", "s2", "s3"} {
		commit(t, p, commitOf("w1", key, chunk, i))
	}
	run := batholith.Segment{Job: id, Key: "r1", Level: 1, Bytes: 200, Records: 2, Lines: 180, Sum: 7}
	for range 2 { // the second time it has happened already
		_, err := p.ReplaceSegments(t.Context(), id, []string{"s1", "s2"}, run)
		no(t, err)
		segments, err := p.Segments(t.Context(), id)
		no(t, err)
		same(t, segments, []batholith.Segment{run, commitOf("w1", "s3", chunk, 2).Segment})
	}
	_, err := p.Commit(t.Context(), commitOf("w1", "s1", chunk, 0)) // merged away: its records are done
	stale(t, err, 0)
}

func runRefused(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	chunk := claim(t, p, "w1", id, 1)[0]
	commit(t, p, commitOf("w1", "s1", chunk, 1))
	run := batholith.Segment{Job: id, Key: "r1", Level: 1}
	if _, err := p.ReplaceSegments(t.Context(), id, []string{"s1", "s2"}, run); err == nil {
		t.Error("one of the segments was never there")
	}
	segments, err := p.Segments(t.Context(), id)
	no(t, err)
	same(t, len(segments), 1)
	same(t, segments[0].Key, "s1")
}
