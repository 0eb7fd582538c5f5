package storetest

import (
	"testing"

	"github.com/batholith/batholith"
)

func planning() []law {
	return []law{
		{"APlanIsReadBackAndSetsTheTotal", planReadBack},
		{"APlanReplacesTheOneBefore", planReplaced},
		{"OnlyAValidatingJobIsPlanned", planRefused},
		{"AGreatPlanIsOneTransaction", greatPlan},
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

func greatPlan(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	moveTo(t, p, id, batholith.StatusValidating)
	_, chunks := plan(id, 1234)
	no(t, p.Plan(t.Context(), id, nil, chunks, 12340))
	got, err := p.Chunks(t.Context(), id)
	no(t, err)
	same(t, got, chunks)

	chunks[1200].N = 7 // twice the same number: refused as a whole
	if err := p.Plan(t.Context(), id, nil, chunks, 1); err == nil {
		t.Error("two chunks have one number")
	}
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, j.Counts.Total, int64(12340))
}

func impossibleChunk(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	moveTo(t, p, id, batholith.StatusValidating)
	files, chunks := plan(id, 2)
	chunks[1].Count = 0 // it could never be finished
	if err := p.Plan(t.Context(), id, files, chunks, 10); err == nil {
		t.Error("a chunk has no records")
	}
}
