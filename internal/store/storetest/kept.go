package storetest

import (
	"testing"
	"time"

	"github.com/batholith/batholith"
)

func keeping() []law {
	return []law{
		{"KeptResultsAreNotCleanedUp", keptStays},
		{"KeptResultsArePublishedUnderAnEpochOnce", keptPublished},
		{"APublicationThatFailsKeepsTheResults", keptStaysUnpublished},
		{"DiscardedResultsAreCleanedUp", keptDiscarded},
		{"OnlyAJobThatIsOverAndKeepsResultsIsAsked", keptRefused},
	}
}

// keeps makes job n Failed with results that are kept, and returns its id.
func keeps(t *testing.T, p Port, n int) string {
	t.Helper()
	id := running(t, p, n, 2)
	alive(t, p, "w1")
	commit(t, p, commitOf("w1", "s1", claim(t, p, "w1", id, 1)[0], 1, 2))
	seal(t, p, id, "the output cannot be written")
	epoch := publisher(t, p, id, "w1", true)
	no(t, p.DecideKept(t.Context(), id, epoch, batholith.StatusInProgress, "why"))
	refused(t, p.PublishKept(t.Context(), account, id), batholith.ErrNothingKept) // not before it is over
	no(t, ended(t, p, id, epoch))
	return id
}

// keptState demands the state of a job's kept results and their note.
func keptState(t *testing.T, p Port, id string, state batholith.Kept, note string) {
	t.Helper()
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, []string{string(j.Kept), j.Note, string(j.Status)}, []string{string(state), note, "Failed"})
}

// asked demands which jobs are to be published.
func asked(t *testing.T, p Port, ids ...string) {
	t.Helper()
	got, err := p.Asked(t.Context())
	no(t, err)
	same(t, got, ids)
}

func keptStays(t *testing.T, p Port) {
	id := keeps(t, p, 1)
	keptState(t, p, id, batholith.KeptWaiting, "")
	ids, err := p.Unclean(t.Context())
	no(t, err)
	same(t, len(ids), 0)
	refused(t, p.Forget(t.Context(), id, start()), batholith.ErrMoved)
	segments, err := p.Segments(t.Context(), id)
	no(t, err)
	files, err := p.Files(t.Context(), id)
	no(t, err)
	same(t, []int{len(segments), len(files)}, []int{1, 1})
	asked(t, p)
}

func keptPublished(t *testing.T, p Port) {
	id, other := keeps(t, p, 1), keeps(t, p, 2)
	changes, cancel := p.Subscribe()
	defer cancel()
	for range 2 { // asking again does no harm
		no(t, p.PublishKept(t.Context(), account, id))
	}
	select {
	case <-changes:
	default:
		t.Error("nobody is told that results are to be published")
	}
	asked(t, p, id)
	keptState(t, p, id, batholith.KeptPublishing, "")
	keptState(t, p, other, batholith.KeptWaiting, "")
	refused(t, p.DiscardKept(t.Context(), account, id), batholith.ErrNothingKept) // too late
	epoch := publisher(t, p, id, "w1", true)
	no(t, p.PutUpload(t.Context(), batholith.Upload{Job: id, Key: "k", UploadID: "u", Epoch: epoch}))
	refused(t, p.PutUpload(t.Context(), batholith.Upload{Job: id, Key: "k", UploadID: "v", Epoch: epoch - 1}), batholith.ErrHeld)
	refused(t, p.Published(t.Context(), id, epoch-1, "published", start()), batholith.ErrHeld)
	no(t, p.Published(t.Context(), id, epoch, "published", start().Add(time.Hour)))
	keptState(t, p, id, "", "")
	message(t, p, id, "published")
	asked(t, p)
	ids, err := p.Unclean(t.Context())
	no(t, err)
	same(t, ids, []string{id})
	no(t, p.Forget(t.Context(), id, start()))
	_, err = p.ClaimPublication(t.Context(), id, "w1", true, start())
	refused(t, err, batholith.ErrMoved)
	refused(t, p.Published(t.Context(), id, epoch, "again", start()), batholith.ErrMoved)
	refused(t, p.PublishKept(t.Context(), account, id), batholith.ErrNothingKept)
}

func keptStaysUnpublished(t *testing.T, p Port) {
	id := keeps(t, p, 1)
	no(t, p.Unpublished(t.Context(), id, "nobody asked"))
	refused(t, p.Discarded(t.Context(), id, "nobody gave them up", start()), batholith.ErrNothingKept)
	keptState(t, p, id, batholith.KeptWaiting, "")
	no(t, p.PublishKept(t.Context(), account, id))
	no(t, p.Unpublished(t.Context(), id, "access denied"))
	keptState(t, p, id, batholith.KeptWaiting, "access denied")
	asked(t, p)
	no(t, p.PublishKept(t.Context(), account, id)) // the old reason is no news any more
	keptState(t, p, id, batholith.KeptPublishing, "")
}

func keptDiscarded(t *testing.T, p Port) {
	id := keeps(t, p, 1)
	no(t, p.DiscardKept(t.Context(), account, id))
	no(t, p.DiscardKept(t.Context(), account, id)) // asking again does no harm
	keptState(t, p, id, batholith.KeptDiscarding, "")
	asked(t, p, id)
	refused(t, p.PublishKept(t.Context(), account, id), batholith.ErrNothingKept) // too late
	refused(t, p.Forget(t.Context(), id, start()), batholith.ErrMoved)
	no(t, p.Discarded(t.Context(), id, "discarded", start().Add(time.Hour)))
	keptState(t, p, id, "", "")
	message(t, p, id, "discarded")
	asked(t, p)
	ids, err := p.Unclean(t.Context())
	no(t, err)
	same(t, ids, []string{id})
	refused(t, p.Discarded(t.Context(), id, "again", start()), batholith.ErrNothingKept)
	no(t, p.Forget(t.Context(), id, start()))
	refused(t, p.DiscardKept(t.Context(), account, id), batholith.ErrNothingKept)
}

func keptRefused(t *testing.T, p Port) {
	id, kept := running(t, p, 1, 1), keeps(t, p, 2)
	for _, ask := range []func(account, id string) error{
		func(account, id string) error { return p.PublishKept(t.Context(), account, id) },
		func(account, id string) error { return p.DiscardKept(t.Context(), account, id) },
	} {
		refused(t, ask(account, id), batholith.ErrNothingKept)
		refused(t, ask("999999999999", kept), batholith.ErrNotFound) // another account's
		refused(t, ask(account, "nosuchjob000"), batholith.ErrNotFound)
	}
	epoch := publisher(t, p, id, "w1", true)
	refused(t, p.DecideKept(t.Context(), id, epoch+1, batholith.StatusInProgress, "why"), batholith.ErrHeld)
	no(t, p.Decide(t.Context(), id, epoch, batholith.StatusInProgress, batholith.StatusCompleted, "all", nil))
	refused(t, p.DecideKept(t.Context(), id, epoch, batholith.StatusInProgress, "why"), batholith.ErrMoved)
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, string(j.Kept), "")
	keptState(t, p, kept, batholith.KeptWaiting, "")
}
