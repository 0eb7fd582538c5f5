package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
)

func cleaning() []law {
	return []law{
		{"UploadsAreRememberedUntilDeleted", uploads},
		{"AForgottenJobKeepsItsRowTagsTokenAndHistory", forgotten},
		{"OnlyATerminalJobIsForgotten", forgetRefused},
		{"OthersWriteWhileALargeJobIsForgotten", forgetLetsWrite},
		{"ATerminalJobIsUncleanUntilItIsForgotten", unclean},
		{"AForgottenJobIsSweptOnceMoreWhenItIsDue", swept},
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
		no(t, p.Forget(t.Context(), id, start()))
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

// forgetLetsWrite forgets a job of many rows while a worker renews its lease: the rows of other jobs stay.
func forgetLetsWrite(t *testing.T, p Port) {
	other := running(t, p, 1, 3)
	id := running(t, p, 2, great)
	for i, c := range claim(t, p, "w1", id, 3) {
		commit(t, p, commitOf("w1", fmt.Sprint("s", i), c, 1))
	}
	no(t, p.Move(t.Context(), id, batholith.StatusInProgress, batholith.StatusCompleted, "", start()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	refused(t, p.Forget(ctx, id, start()), context.Canceled)
	unclean, err := p.Unclean(t.Context())
	no(t, err)
	same(t, unclean, []string{id}) // until it is forgotten as a whole

	var beats errgroup.Group
	for range 4 {
		beats.Go(func() error { return p.Heartbeat(t.Context(), "w1", time.Now().Add(time.Minute)) })
	}
	no(t, p.Forget(t.Context(), id, start()))
	no(t, beats.Wait())
	chunks, err := p.Chunks(t.Context(), id)
	no(t, err)
	same(t, len(chunks), 0)
	chunks, err = p.Chunks(t.Context(), other)
	no(t, err)
	same(t, len(chunks), 3)
}

func forgetRefused(t *testing.T, p Port) {
	id := running(t, p, 1, 2)
	refused(t, p.Forget(t.Context(), id, start()), batholith.ErrMoved)
	chunks, err := p.Chunks(t.Context(), id)
	no(t, err)
	same(t, len(chunks), 2)
	refused(t, p.Forget(t.Context(), "nosuchjob000", start()), batholith.ErrNotFound)
}

func unclean(t *testing.T, p Port) {
	list := func() []string {
		t.Helper()
		ids, err := p.Unclean(t.Context())
		no(t, err)
		return ids
	}
	a, b := running(t, p, 1, 1), create(t, p, newJob(2)).ID
	same(t, list(), []string(nil))
	no(t, p.Move(t.Context(), a, batholith.StatusInProgress, batholith.StatusFailed, "", start()))
	moveTo(t, p, b, batholith.StatusFailed)
	same(t, list(), []string{a, b})
	no(t, p.Forget(t.Context(), a, start()))
	no(t, p.Forget(t.Context(), b, start()))
	same(t, list(), []string(nil))
	no(t, p.PutUpload(t.Context(), batholith.Upload{Job: a, Key: "k", UploadID: "late"})) // by a publisher that was left behind
	same(t, list(), []string{a})
}

func swept(t *testing.T, p Port) {
	began := time.Now()
	list := func(until time.Duration) []string {
		t.Helper()
		ids, err := p.Unswept(t.Context(), began.Add(until))
		no(t, err)
		return ids
	}
	forget := func(id string, sweep time.Duration) {
		t.Helper()
		no(t, p.Forget(t.Context(), id, began.Add(sweep)))
	}
	sweep := func(id string) { // by a worker whose clock is wrong
		t.Helper()
		no(t, p.Swept(t.Context(), id, start()))
	}
	a, b, c := running(t, p, 1, 1), create(t, p, newJob(2)).ID, running(t, p, 3, 1)
	no(t, p.Move(t.Context(), a, batholith.StatusInProgress, batholith.StatusCompleted, "", start()))
	moveTo(t, p, b, batholith.StatusFailed)
	same(t, list(time.Hour), []string(nil)) // they are not forgotten yet
	refused(t, p.Forget(t.Context(), c, start()), batholith.ErrMoved)
	forget(a, 10*time.Minute)
	forget(b, 5*time.Minute)
	same(t, list(5*time.Minute-time.Millisecond), []string(nil))
	same(t, list(5*time.Minute), []string{b})
	same(t, list(time.Hour), []string{b, a})
	time.Sleep(4 * time.Minute)
	sweep(a)               // before it is due
	forget(b, time.Minute) // the later time holds
	same(t, list(time.Hour), []string{b, a})
	forget(b, 20*time.Minute)
	time.Sleep(6 * time.Minute)
	sweep(b) // it was forgotten again meanwhile, and is due later
	same(t, list(time.Hour), []string{a, b})
	for range 2 {
		sweep(a)
	}
	same(t, list(time.Hour), []string{b})
	sweep("nosuchjob000")
}
