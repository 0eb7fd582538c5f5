package storetest

import (
	"testing"

	"github.com/batholith/batholith"
)

func cleaning() []law {
	return []law{
		{"UploadsAreRememberedUntilDeleted", uploads},
		{"AForgottenJobKeepsItsRowTagsTokenAndHistory", forgotten},
		{"OnlyATerminalJobIsForgotten", forgetRefused},
		{"ATerminalJobIsUncleanUntilItIsForgotten", unclean},
	}
}

func uploads(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	a := batholith.Upload{Job: id, Key: "out/a", UploadID: "u1"}
	b := batholith.Upload{Job: id, Key: "out/a", UploadID: "u2"}
	for _, u := range []batholith.Upload{b, a, a} { // remembering twice does no harm
		no(t, p.PutUpload(t.Context(), u))
	}
	got, err := p.Uploads(t.Context(), id)
	no(t, err)
	same(t, got, []batholith.Upload{a, b})
	for range 2 {
		no(t, p.DeleteUpload(t.Context(), a))
	}
	got, err = p.Uploads(t.Context(), id)
	no(t, err)
	same(t, got, []batholith.Upload{b})
	refused(t, p.PutUpload(t.Context(), batholith.Upload{Job: "nosuchjob000"}), batholith.ErrNotFound)
}

func forgotten(t *testing.T, p Port) {
	id := running(t, p, 1, 2)
	no(t, p.PutTags(t.Context(), account, id, []batholith.Tag{{Key: "a", Value: "1"}}, 0))
	chunk := claim(t, p, "w1", id, 1)[0]
	counts := commit(t, p, commitOf("w1", "s1", chunk, 1, 2))
	no(t, p.PutUpload(t.Context(), batholith.Upload{Job: id, Key: "k", UploadID: "u"}))
	no(t, p.Move(t.Context(), id, batholith.StatusInProgress, batholith.StatusCompleted, "", start()))
	for range 2 {
		no(t, p.Forget(t.Context(), id))
	}
	files, err := p.Files(t.Context(), id)
	no(t, err)
	chunks, err := p.Chunks(t.Context(), id)
	no(t, err)
	segments, err := p.Segments(t.Context(), id)
	no(t, err)
	ups, err := p.Uploads(t.Context(), id)
	no(t, err)
	same(t, []int{len(files), len(chunks), len(segments), len(ups)}, []int{0, 0, 0, 0})
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, j.Counts, counts)
	tags(t, p, id, batholith.Tag{Key: "a", Value: "1"})
	history, err := p.History(t.Context(), id)
	no(t, err)
	same(t, len(history), 5)
}

func forgetRefused(t *testing.T, p Port) {
	id := running(t, p, 1, 2)
	refused(t, p.Forget(t.Context(), id), batholith.ErrMoved)
	chunks, err := p.Chunks(t.Context(), id)
	no(t, err)
	same(t, len(chunks), 2)
	refused(t, p.Forget(t.Context(), "nosuchjob000"), batholith.ErrNotFound)
}

func unclean(t *testing.T, p Port) {
	list := func() []string {
		t.Helper()
		jobs, err := p.Unclean(t.Context())
		no(t, err)
		return idsOf(jobs)
	}
	a, b := running(t, p, 1, 1), create(t, p, newJob(2)).ID
	same(t, list(), []string(nil))
	no(t, p.Move(t.Context(), a, batholith.StatusInProgress, batholith.StatusFailed, "", start()))
	moveTo(t, p, b, batholith.StatusFailed)
	same(t, list(), []string{a, b})
	no(t, p.Forget(t.Context(), a))
	no(t, p.Forget(t.Context(), b))
	same(t, list(), []string(nil))
	no(t, p.PutUpload(t.Context(), batholith.Upload{Job: a, Key: "k", UploadID: "late"})) // by a publisher that was left behind
	same(t, list(), []string{a})
}
