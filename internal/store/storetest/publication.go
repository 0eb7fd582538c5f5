package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

func publishing() []law {
	return []law{
		{"OnePublisherAtATimeUnderARisingEpoch", onePublisher},
		{"AFinalPublisherTakesOverFromAPartialOne", finalTakesOver},
		{"APublisherWithoutALeaseIsTakenOver", publisherLost},
		{"AYieldedPublicationIsAnybodys", yielded},
		{"ASealedJobIsPublishedInFullOnly", sealedPublication},
		{"OfManyFinalPublishersOneIsGranted", manyPublishers},
		{"AnUploadIsRefusedUnderAnotherEpoch", uploadUnderEpoch},
		{"OnlyThePublisherEndsAJob", end},
		{"NothingButItsEndBecomesOfADecidedJob", decided},
		{"TheManifestOfADecidedEndIsStoredUntilTheJobEnds", manifestOfAnEnd},
		{"AJobThatEndsIsForgottenInTheSameMove", endForgets},
		{"AJobIsSealedWhoeverPublishesIt", sealToPublish},
		{"WhatAPublisherMayReadIsSaidWhenItIsMerged", readWhileMerged},
	}
}

// publisher claims the publication of a job, which must be granted.
func publisher(t *testing.T, p Port, id, worker string, final bool) int64 {
	t.Helper()
	epoch, err := p.ClaimPublication(t.Context(), id, worker, final, start())
	no(t, err)
	return epoch
}

// held demands that the publication is another worker's.
func held(t *testing.T, p Port, id, worker string, final bool) {
	t.Helper()
	_, err := p.ClaimPublication(t.Context(), id, worker, final, start())
	refused(t, err, batholith.ErrHeld)
}

func onePublisher(t *testing.T, p Port) {
	a, b := running(t, p, 1, 1), running(t, p, 2, 1)
	alive(t, p, "w1", "w2")
	same(t, publisher(t, p, a, "w1", false), int64(1))
	same(t, publisher(t, p, a, "w1", false), int64(2)) // a claim whose answer was lost is made again
	held(t, p, a, "w2", false)
	same(t, publisher(t, p, b, "w2", false), int64(1)) // another job is another matter
	same(t, publisher(t, p, a, "w1", true), int64(3))
	held(t, p, a, "w2", true)
	_, err := p.ClaimPublication(t.Context(), "nosuchjob000", "w1", true, start())
	refused(t, err, batholith.ErrNotFound)
}

func finalTakesOver(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	alive(t, p, "w1", "w2", "w3")
	publisher(t, p, id, "w1", false)
	same(t, publisher(t, p, id, "w2", true), int64(2))
	held(t, p, id, "w1", false)
	held(t, p, id, "w3", true)
}

func publisherLost(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	alive(t, p, "w1")
	publisher(t, p, id, "w1", true)
	for _, ahead := range []time.Duration{-time.Hour, 0, 6 * time.Second, 24 * time.Hour} { // of a clock that is wrong
		_, err := p.ClaimPublication(t.Context(), id, "w2", true, time.Now().Add(ahead))
		refused(t, err, batholith.ErrHeld)
	}
	time.Sleep(time.Minute - time.Millisecond)
	held(t, p, id, "w2", true)
	time.Sleep(time.Millisecond)
	same(t, publisher(t, p, id, "w2", true), int64(2))
	same(t, publisher(t, p, id, "w1", true), int64(3)) // w2 never said that it is alive
}

func yielded(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	alive(t, p, "w1", "w2")
	old := publisher(t, p, id, "w1", true)
	now := publisher(t, p, id, "w1", true)
	no(t, p.YieldPublication(t.Context(), id, old)) // it has another since
	held(t, p, id, "w2", true)
	no(t, p.YieldPublication(t.Context(), id, now))
	same(t, publisher(t, p, id, "w2", true), now+1)
	no(t, p.YieldPublication(t.Context(), id, now))
	held(t, p, id, "w1", true)
}

func sealedPublication(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	alive(t, p, "w1")
	publisher(t, p, id, "w1", false)
	seal(t, p, id, "")
	_, err := p.ClaimPublication(t.Context(), id, "w1", false, start())
	refused(t, err, batholith.ErrSealed)
	publisher(t, p, id, "w1", true)
	no(t, p.Move(t.Context(), id, batholith.StatusInProgress, batholith.StatusFailed, "", start()))
	for _, final := range []bool{true, false} {
		_, err = p.ClaimPublication(t.Context(), id, "w1", final, start())
		refused(t, err, batholith.ErrMoved)
	}
}

func manyPublishers(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	workers := []string{"w1", "w2", "w3", "w4"}
	alive(t, p, workers...)
	granted := make([]bool, len(workers))
	var wg sync.WaitGroup
	for i, w := range workers {
		wg.Go(func() {
			_, err := p.ClaimPublication(t.Context(), id, w, true, start())
			if granted[i] = err == nil; err != nil && !errors.Is(err, batholith.ErrHeld) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n := 0
	for _, g := range granted {
		if g {
			n++
		}
	}
	same(t, n, 1)
}

func uploadUnderEpoch(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	alive(t, p, "w1", "w2")
	of := func(name string, epoch int64) batholith.Upload {
		return batholith.Upload{Job: id, Key: "out/a", UploadID: name, Epoch: epoch}
	}
	partial := publisher(t, p, id, "w1", false)
	no(t, p.PutUpload(t.Context(), of("u1", partial)))
	refused(t, p.PutUpload(t.Context(), of("u2", partial+1)), batholith.ErrHeld)
	final := publisher(t, p, id, "w2", true)
	refused(t, p.PutUpload(t.Context(), of("u3", partial)), batholith.ErrHeld)
	no(t, p.PutUpload(t.Context(), of("u4", final)))
	no(t, p.PutUpload(t.Context(), of("u5", 0))) // of an index or a run
	got, err := p.Uploads(t.Context(), id)
	no(t, err)
	same(t, got, []batholith.Upload{of("u1", partial), of("u4", final), of("u5", 0)})
	no(t, p.DeleteUpload(t.Context(), of("u1", partial)))
	no(t, p.Decide(t.Context(), id, final, batholith.StatusInProgress, batholith.StatusFailed, "", nil))
	no(t, p.PutUpload(t.Context(), of("u6", final))) // of a publisher that does not know yet
	no(t, p.DeleteUpload(t.Context(), of("u6", final)))
	no(t, ended(t, p, id, final))
	refused(t, p.PutUpload(t.Context(), of("u6", final)), batholith.ErrMoved)
	refused(t, p.PutUpload(t.Context(), batholith.Upload{Job: "nosuchjob000", Epoch: 1}), batholith.ErrNotFound)
}

// ended moves a job to its decided end and leaves its rows.
func ended(t *testing.T, p Port, id string, epoch int64) error {
	_, err := p.End(t.Context(), id, epoch, start(), time.Time{})
	return err
}

func end(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	alive(t, p, "w1")
	decides := func(epoch int64, from, to batholith.Status) error {
		return p.Decide(t.Context(), id, epoch, from, to, "over", nil)
	}
	old := publisher(t, p, id, "w1", true)
	now := publisher(t, p, id, "w1", true)
	refused(t, ended(t, p, id, now), batholith.ErrMoved) // to what?
	refused(t, decides(old, batholith.StatusInProgress, batholith.StatusCompleted), batholith.ErrHeld)
	no(t, p.Move(t.Context(), id, batholith.StatusInProgress, batholith.StatusStopping, "", start()))
	refused(t, decides(now, batholith.StatusInProgress, batholith.StatusCompleted), batholith.ErrMoved)
	no(t, decides(now, batholith.StatusStopping, batholith.StatusStopped))
	refused(t, decides(now, batholith.StatusStopping, batholith.StatusFailed), batholith.ErrMoved)
	refused(t, ended(t, p, id, old), batholith.ErrHeld)
	no(t, ended(t, p, id, now))
	refused(t, ended(t, p, id, now), batholith.ErrMoved)
	refused(t, decides(now, batholith.StatusStopping, batholith.StatusStopped), batholith.ErrMoved)
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, []string{string(j.Status), string(j.Ending), j.Message}, []string{"Stopped", "", "over"})
	history, err := p.History(t.Context(), id)
	no(t, err)
	same(t, len(history), 6)
	same(t, history[5].Message, "over")
	refused(t, ended(t, p, "nosuchjob000", 1), batholith.ErrNotFound)
	refused(t, p.Decide(t.Context(), "nosuchjob000", 1, batholith.StatusStopping, batholith.StatusStopped, "", nil), batholith.ErrNotFound)
}

func decided(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	alive(t, p, "w1", "w2")
	epoch := publisher(t, p, id, "w1", true)
	no(t, p.Decide(t.Context(), id, epoch, batholith.StatusInProgress, batholith.StatusCompleted, "all of them", nil))
	for _, to := range []batholith.Status{batholith.StatusStopping, batholith.StatusInProgress, batholith.StatusCompleted} {
		refused(t, p.Move(t.Context(), id, batholith.StatusInProgress, to, "another", start()), batholith.ErrMoved)
	}
	refused(t, p.Note(t.Context(), id, "another"), batholith.ErrMoved)
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, []string{string(j.Status), string(j.Ending), j.Message}, []string{"InProgress", "Completed", ""})
	history, err := p.History(t.Context(), id)
	no(t, err)
	same(t, len(history), 4) // it has no event yet
	held(t, p, id, "w2", true)
	no(t, p.YieldPublication(t.Context(), id, epoch))
	next := publisher(t, p, id, "w2", true) // who ends in the other's place
	refused(t, ended(t, p, id, epoch), batholith.ErrHeld)
	no(t, ended(t, p, id, next))
	j, err = p.Job(t.Context(), account, id)
	no(t, err)
	same(t, []string{string(j.Status), string(j.Ending), j.Message}, []string{"Completed", "", "all of them"})
}

func readWhileMerged(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	alive(t, p, "w1", "w2")
	chunk := claim(t, p, "w1", id, 1)[0]
	commit(t, p, commitOf("w1", "s0", chunk, 0))
	last := 0
	merged := func(want bool) { // the last run alone becomes another
		t.Helper()
		old, run := fmt.Sprint("s", last), fmt.Sprint("s", last+1)
		for range 2 { // the second time it has happened already
			read, err := p.ReplaceSegments(t.Context(), id, []string{old}, batholith.Segment{Job: id, Key: run, Level: 1})
			no(t, err)
			same(t, read, want)
		}
		last++
	}
	merged(false)
	first := publisher(t, p, id, "w1", false)
	merged(true)
	no(t, p.RestPublication(t.Context(), id, first))
	merged(false)
	held(t, p, id, "w2", false) // it rests, and is the publisher all the same
	second := publisher(t, p, id, "w1", false)
	no(t, p.RestPublication(t.Context(), id, first)) // late
	merged(true)
	no(t, p.YieldPublication(t.Context(), id, second))
	merged(false)
	publisher(t, p, id, "w2", true)
	no(t, p.YieldPublication(t.Context(), id, second)) // late
	merged(true)
}

func manifestOfAnEnd(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	alive(t, p, "w1", "w2")
	epoch := publisher(t, p, id, "w1", true)
	no(t, p.Decide(t.Context(), id, epoch, batholith.StatusInProgress, batholith.StatusCompleted, "all of them", []byte("{}")))
	message, manifest, err := p.Decided(t.Context(), id)
	no(t, err)
	same(t, []string{message, string(manifest)}, []string{"all of them", "{}"})
	refused(t, p.Move(t.Context(), id, batholith.StatusInProgress, batholith.StatusStopping, "", start()), batholith.ErrMoved)
	no(t, p.YieldPublication(t.Context(), id, epoch))
	next := publisher(t, p, id, "w2", true)
	refused(t, p.DecideKept(t.Context(), id, epoch, batholith.StatusInProgress, "late"), batholith.ErrHeld)
	no(t, p.DecideKept(t.Context(), id, next, batholith.StatusInProgress, "it cannot be written")) // nothing was cleaned up yet
	message, manifest, err = p.Decided(t.Context(), id)
	no(t, err)
	same(t, []string{message, string(manifest)}, []string{"it cannot be written", ""})
	refused(t, p.Decide(t.Context(), id, next, batholith.StatusInProgress, batholith.StatusCompleted, "", nil), batholith.ErrMoved)
	no(t, ended(t, p, id, next))
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, []string{string(j.Status), string(j.Kept), j.Message}, []string{"Failed", "Kept", "it cannot be written"})
	_, _, err = p.Decided(t.Context(), "nosuchjob000")
	refused(t, err, batholith.ErrNotFound)
}

func endForgets(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	epoch := publisher(t, p, id, "w1", true)
	no(t, p.Decide(t.Context(), id, epoch, batholith.StatusInProgress, batholith.StatusCompleted, "all of them", []byte("{}")))
	_, err := p.End(t.Context(), id, epoch+1, start(), start())
	refused(t, err, batholith.ErrHeld)
	done, err := p.End(t.Context(), id, epoch, start(), start())
	no(t, err)
	same(t, done, true)
	files, err := p.Files(t.Context(), id)
	no(t, err)
	same(t, len(files), 0)
	ids, err := p.Unclean(t.Context())
	no(t, err)
	same(t, len(ids), 0)
	ids, err = p.Unswept(t.Context(), start().Add(time.Hour))
	no(t, err)
	same(t, ids, []string{id})
}

func sealToPublish(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	alive(t, p, "w1", "w2")
	partial := publisher(t, p, id, "w2", false)
	epoch, err := p.SealToPublish(t.Context(), id, "", "w1")
	no(t, err)
	same(t, epoch, partial+1) // in place of a partial one
	none, err := p.Claim(t.Context(), "w1", id, 1, start())
	no(t, err)
	same(t, len(none), 0)
	held(t, p, id, "w2", true)
	other, err := p.SealToPublish(t.Context(), id, "the bucket is gone", "w2")
	no(t, err)
	same(t, other, int64(0)) // w1 publishes; the reason is stored all the same
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, j.Failing, "the bucket is gone")
	no(t, p.Decide(t.Context(), id, epoch, batholith.StatusInProgress, batholith.StatusFailed, "", nil))
	other, err = p.SealToPublish(t.Context(), id, "", "w1")
	no(t, err)
	same(t, other, int64(0)) // its end is decided
	no(t, ended(t, p, id, epoch))
	_, err = p.SealToPublish(t.Context(), "nosuchjob000", "", "w1")
	refused(t, err, batholith.ErrNotFound)
	unplanned := create(t, p, newJob(2)).ID
	other, err = p.SealToPublish(t.Context(), unplanned, "", "w1")
	no(t, err)
	same(t, other, int64(0))
}
