package storetest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/batholith/batholith"
)

func planning() []law {
	return []law{
		{"APlanIsReadBackAndSetsTheTotal", planReadBack},
		{"APlanReplacesTheOneBefore", planReplaced},
		{"AnAcceptedPlanIsScheduledWithItsPlan", accepted},
		{"OnlyAValidatingJobIsPlanned", planRefused},
		{"AGreatPlanIsReadBack", greatPlan},
		{"AnUnfinishedPlanIsSeenByNobody", unfinishedPlan},
		{"OfTwoPlansTheLaterCounts", laterPlan},
		{"APlanIsCalledOffWhenItsJobMoves", movedPlan},
		{"OthersWriteWhileAPlanIsWritten", planLetsWrite},
		{"ChunksAreFoundByTheirNumbers", chunksOf},
		{"AnImpossibleChunkIsRefused", impossibleChunk},
	}
}

func planReadBack(t *testing.T, p Port) {
	id := planned(t, p, 1, 3)
	files, chunks := plan(id, 3)
	gotFiles, err := p.Files(t.Context(), id)
	no(t, err)
	same(t, gotFiles, files)
	gotChunks, err := p.Chunks(t.Context(), id)
	no(t, err)
	same(t, gotChunks, chunks)
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, j.Counts, batholith.Counts{Total: 30})
}

func planReplaced(t *testing.T, p Port) {
	id := planned(t, p, 1, 3)
	files, chunks := plan(id, 1)
	files[0].ETag = "e2"
	chunks[0].State, chunks[0].Owner, chunks[0].Epoch = batholith.ChunkDone, "w", 7 // a plan says nothing of these
	no(t, p.Plan(t.Context(), id, files, chunks, 10))
	gotFiles, err := p.Files(t.Context(), id)
	no(t, err)
	same(t, gotFiles, files)
	gotChunks, err := p.Chunks(t.Context(), id)
	no(t, err)
	_, want := plan(id, 1)
	same(t, gotChunks, want)
}

func planRefused(t *testing.T, p Port) {
	id := planned(t, p, 1, 3)
	no(t, p.Move(t.Context(), id, batholith.StatusValidating, batholith.StatusScheduled, "", start()))
	files, chunks := plan(id, 1)
	refused(t, p.Plan(t.Context(), id, files, chunks, 10), batholith.ErrMoved)
	got, err := p.Chunks(t.Context(), id)
	no(t, err)
	same(t, len(got), 3)
	refused(t, p.Plan(t.Context(), "nosuchjob000", files, chunks, 10), batholith.ErrNotFound)
}

// great is more chunks than any implementation writes in one transaction.
const great = 9001

func validating(t *testing.T, p Port, n int) string {
	t.Helper()
	id := create(t, p, newJob(n)).ID
	moveTo(t, p, id, batholith.StatusValidating)
	return id
}

// nothing demands that the job has no plan, and cannot be scheduled without.
func nothing(t *testing.T, p Port, id string) {
	t.Helper()
	files, err := p.Files(t.Context(), id)
	no(t, err)
	chunks, err := p.Chunks(t.Context(), id)
	no(t, err)
	some, err := p.ChunksOf(t.Context(), id, []int{0, 1, 2000})
	no(t, err)
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, []int{len(files), len(chunks), len(some), int(j.Counts.Total)}, []int{0, 0, 0, 0})
	refused(t, p.Move(t.Context(), id, batholith.StatusValidating, batholith.StatusScheduled, "", start()), batholith.ErrMoved)
}

func greatPlan(t *testing.T, p Port) {
	id := validating(t, p, 1)
	files, chunks := plan(id, great)
	for n := range great {
		files = append(files, batholith.File{N: 1 + n, Key: fmt.Sprint("data/", n)})
	}
	for range 2 {
		no(t, p.Plan(t.Context(), id, files, chunks, great*10))
		gotFiles, err := p.Files(t.Context(), id)
		no(t, err)
		same(t, gotFiles, files)
		got, err := p.Chunks(t.Context(), id)
		no(t, err)
		same(t, got, chunks)
	}
	for _, n := range []int{5, 1199, 1200} { // a number that was there already is refused, and the plan stays
		wrong := slices.Clone(chunks)
		wrong[1201].N = n
		if err := p.Plan(t.Context(), id, nil, wrong, 1); err == nil {
			t.Errorf("chunk %d comes after chunk 1200", n)
		}
	}
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, j.Counts.Total, int64(great*10))
	_, less := plan(id, 3)
	no(t, p.Plan(t.Context(), id, files[:1], less, 30))
	got, err := p.Chunks(t.Context(), id)
	no(t, err)
	same(t, got, less)
}

// unfinishedPlan breaks plans off at every batch. The next one replaces what they left, and the end of the job deletes it.
func unfinishedPlan(t *testing.T, p Port) {
	id := planned(t, p, 1, 3)
	files, chunks := plan(id, great)
	for _, n := range []int{0, 1, 2500, great} {
		ctx, cancel := context.WithCancel(t.Context())
		err := p.PlanFrom(ctx, id, files, func(yield func(batholith.Chunk) bool) {
			for _, c := range chunks[:n] {
				if nothing := c.N%1000 == 0; nothing && !yieldSeen(t, p, id, c, yield) || !nothing && !yield(c) {
					return
				}
			}
			cancel()
		}, 5)
		refused(t, err, context.Canceled)
		nothing(t, p, id)
	}
	wrong := slices.Clone(chunks)
	wrong[2500].Count = 0
	if err := p.PlanFrom(t.Context(), id, files, slices.Values(wrong), 5); err == nil {
		t.Error("a chunk has no records")
	}
	nothing(t, p, id)
	wrong[2500] = wrong[2499]
	if err := p.PlanFrom(t.Context(), id, files, slices.Values(wrong), 5); err == nil {
		t.Error("two chunks have one number")
	}
	nothing(t, p, id)

	no(t, p.Plan(t.Context(), id, files, chunks[:2], 20))
	got, err := p.Chunks(t.Context(), id)
	no(t, err)
	same(t, got, chunks[:2])

	wrong[2500].Count = 0
	if err := p.PlanFrom(t.Context(), id, files, slices.Values(wrong), 5); err == nil {
		t.Error("a chunk has no records")
	}
	no(t, p.Move(t.Context(), id, batholith.StatusValidating, batholith.StatusFailed, "", start()))
	no(t, p.Forget(t.Context(), id, start()))
	got, err = p.Chunks(t.Context(), id)
	no(t, err)
	same(t, len(got), 0)
}

// yieldSeen looks that there is no plan yet before it goes on.
func yieldSeen(t *testing.T, p Port, id string, c batholith.Chunk, yield func(batholith.Chunk) bool) bool {
	t.Helper()
	nothing(t, p, id)
	return yield(c)
}

func laterPlan(t *testing.T, p Port) {
	id := validating(t, p, 1)
	files, chunks := plan(id, great)
	_, later := plan(id, 3)
	for _, when := range []int{0, 2500, great - 1} {
		err := p.PlanFrom(t.Context(), id, files, func(yield func(batholith.Chunk) bool) {
			for _, c := range chunks {
				if c.N == when {
					no(t, p.Plan(t.Context(), id, files, later, 30))
				}
				if !yield(c) {
					return
				}
			}
		}, great*10)
		refused(t, err, batholith.ErrMoved)
		got, err := p.Chunks(t.Context(), id)
		no(t, err)
		same(t, got, later)
		j, err := p.Job(t.Context(), account, id)
		no(t, err)
		same(t, j.Counts.Total, int64(30))
	}
}

func movedPlan(t *testing.T, p Port) {
	for n, to := range []batholith.Status{batholith.StatusStopping, batholith.StatusFailed, batholith.StatusExpired} {
		id := validating(t, p, n)
		files, chunks := plan(id, great)
		err := p.PlanFrom(t.Context(), id, files, func(yield func(batholith.Chunk) bool) {
			for _, c := range chunks {
				if c.N == 2500 {
					no(t, p.Move(t.Context(), id, batholith.StatusValidating, to, "", start()))
				}
				if !yield(c) {
					return
				}
			}
		}, great*10)
		refused(t, err, batholith.ErrMoved)
		got, err := p.Chunks(t.Context(), id)
		no(t, err)
		same(t, len(got), 0)
	}
}

// planLetsWrite does of everything that a running service writes while a plan is written, with little patience.
func planLetsWrite(t *testing.T, p Port) {
	other := running(t, p, 1, 3)
	id := validating(t, p, 2)
	files, chunks := plan(id, great)
	chunk := claim(t, p, "w1", other, 1)[0]
	writes := 0
	no(t, p.PlanFrom(t.Context(), id, files, func(yield func(batholith.Chunk) bool) {
		for _, c := range chunks {
			if c.N%1000 == 999 {
				alive(t, p, "w1")
				commit(t, p, commitOf("w1", fmt.Sprint("s", writes), chunk, writes))
				create(t, p, newJob(10+writes))
				writes++
			}
			if !yield(c) {
				return
			}
		}
	}, great*10))
	same(t, writes, 9)
	no(t, p.Move(t.Context(), id, batholith.StatusValidating, batholith.StatusScheduled, "", start()))
}

func chunksOf(t *testing.T, p Port) {
	id, other := running(t, p, 1, 1500), running(t, p, 2, 2)
	_, chunks := plan(id, 1500)
	claimed := claim(t, p, "w1", id, 3)
	commit(t, p, commitOf("w1", "s1", claimed[2], 4))
	of := func(id string, numbers ...int) []batholith.Chunk {
		t.Helper()
		got, err := p.ChunksOf(t.Context(), id, numbers)
		no(t, err)
		return got
	}
	same(t, ns(of(id, 1499, 2, -1, 2, 1500, 700)), []int{2, 700, 1499})
	same(t, of(id, 2)[0].Done, bits(4))
	same(t, of(id, 2)[0].Owner, "w1")
	var odd []int
	for n := 1501; n > 0; n -= 2 {
		odd = append(odd, n)
	}
	got := of(id, odd...)
	same(t, len(got), 750)
	same(t, got[749], chunks[1499])
	same(t, ns(of(other, 1, 2)), []int{1})
	same(t, ns(of(id)), []int{})
	same(t, ns(of("nosuchjob000", 1)), []int{})
}

func impossibleChunk(t *testing.T, p Port) {
	id := validating(t, p, 1)
	files, chunks := plan(id, 2)
	no(t, p.Plan(t.Context(), id, files, chunks, 20))
	for name, spoil := range map[string]func(c []batholith.Chunk){
		"no records":           func(c []batholith.Chunk) { c[1].Count = 0 }, // it could never be finished
		"a number below 0":     func(c []batholith.Chunk) { c[0].N = -1 },
		"the number of before": func(c []batholith.Chunk) { c[1].N = 0 },
	} {
		wrong := slices.Clone(chunks)
		spoil(wrong)
		if err := p.Plan(t.Context(), id, files, wrong, 20); err == nil {
			t.Errorf("a chunk has %s", name)
		}
		got, err := p.Chunks(t.Context(), id) // the plan of before stays
		no(t, err)
		same(t, got, chunks)
	}
}

func accepted(t *testing.T, p Port) {
	for i, n := range []int{0, 1, 3000} { // in the transaction of the move, and in many before it
		id := create(t, p, newJob(i)).ID
		plan := func() error {
			return p.Accept(t.Context(), id, []batholith.File{{Key: "k"}}, numberedChunks(id, n), int64(n), start())
		}
		refused(t, plan(), batholith.ErrMoved)
		no(t, p.Move(t.Context(), id, batholith.StatusSubmitted, batholith.StatusValidating, "", start()))
		no(t, p.PlanFrom(t.Context(), id, []batholith.File{{Key: "old"}, {N: 1, Key: "older"}}, numberedChunks(id, 2), 2))
		no(t, plan())
		refused(t, plan(), batholith.ErrMoved)
		j, err := p.Job(t.Context(), account, id)
		no(t, err)
		same(t, j.Status, batholith.StatusScheduled)
		same(t, j.Counts.Total, int64(n))
		files, err := p.Files(t.Context(), id)
		no(t, err)
		same(t, len(files), 1)
		chunks, err := p.Chunks(t.Context(), id)
		no(t, err)
		same(t, len(chunks), n)
	}
}

// numberedChunks are so many chunks of one record.
func numberedChunks(id string, n int) iter.Seq[batholith.Chunk] {
	return func(yield func(batholith.Chunk) bool) {
		for i := 0; i < n && yield(batholith.Chunk{Job: id, N: i, First: int64(i), Count: 1}); i++ {
		}
	}
}
