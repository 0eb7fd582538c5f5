package storetest

import (
	"testing"
	"time"

	"github.com/batholith/batholith"
)

func pausing() []law {
	return []law{
		{"APausedJobIsNotClaimed", pausedClaim},
		{"APausedJobTakesOutcomesAndEnds", pausedCommits},
		{"APauseKeepsStatusAndDeadlineAndIsTold", pauseTold},
		{"ThePauseThatCameFirstStands", pauseStands},
		{"AJobThatEndsIsNotPaused", pauseRefused},
		{"APauseAndItsEndWakeSubscribers", pauseWakes},
		{"AJobThatItsWorkerHoldsIsPausedUntilItIsResumed", pauseHeld},
		{"ASampleIsSpreadOverTheJobAndOneWorkerHasIt", sampleClaimed},
		{"ASampleOfALostWorkerIsClaimedByAnother", sampleLost},
	}
}

// pausedAre demands which jobs are paused.
func pausedAre(t *testing.T, p Port, ids ...string) {
	t.Helper()
	got, err := p.Paused(t.Context())
	no(t, err)
	same(t, got, ids)
}

func pausedClaim(t *testing.T, p Port) {
	id, other := running(t, p, 1, 3), running(t, p, 2, 3)
	alive(t, p, "w1", "w2")
	claim(t, p, "w1", id, 1)
	no(t, p.PauseJob(t.Context(), account, id, "for a test"))
	pausedAre(t, p, id)
	same(t, len(claim(t, p, "w1", id, 3)), 0)
	same(t, len(claim(t, p, "w2", id, 3)), 0)
	same(t, len(claim(t, p, "w2", other, 3)), 3)
	no(t, p.Release(t.Context(), "w1", id))
	same(t, len(claim(t, p, "w2", id, 3)), 0)
	no(t, p.ResumeJob(t.Context(), account, id))
	no(t, p.ResumeJob(t.Context(), account, id)) // once more does no harm
	pausedAre(t, p)
	same(t, ns(claim(t, p, "w2", id, 3)), []int{0, 1, 2})
}

func pausedCommits(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	alive(t, p, "w1")
	c := claim(t, p, "w1", id, 1)[0]
	no(t, p.PauseJob(t.Context(), account, id, "for a test"))
	commit(t, p, commitOf("w1", "s1", c, 1, 2)) // it was in flight
	seal(t, p, id, "")
	epoch := publisher(t, p, id, "w1", true)
	no(t, p.Decide(t.Context(), id, epoch, batholith.StatusInProgress, batholith.StatusCompleted, "", nil))
	refused(t, p.PauseJob(t.Context(), account, id, "too late"), batholith.ErrMoved)
	refused(t, p.ResumeJob(t.Context(), account, id), batholith.ErrMoved)
	no(t, ended(t, p, id, epoch))
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, j.Status, batholith.StatusCompleted)
	same(t, j.Paused, batholith.Pause{})
	pausedAre(t, p)
}

func pauseTold(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	before, err := p.Job(t.Context(), account, id)
	no(t, err)
	from := batholith.StatusSubmitted
	for _, s := range []batholith.Status{batholith.StatusSubmitted, batholith.StatusValidating, batholith.StatusScheduled, batholith.StatusInProgress} {
		if s != batholith.StatusSubmitted {
			no(t, p.Move(t.Context(), id, from, s, "", start())) // a pause does not hold validation up, and the records in flight may begin the job
		}
		no(t, p.Note(t.Context(), id, "a wait that the pause ends"))
		no(t, p.PauseJob(t.Context(), account, id, "for "+string(s)))
		j, err := p.Job(t.Context(), account, id)
		no(t, err)
		same(t, []string{string(j.Status), j.Paused.Reason, j.Note}, []string{string(s), "for " + string(s), ""})
		same(t, j.Expires.Equal(before.Expires), true)
		if j.Paused.Since.IsZero() || !j.Paused.Until.IsZero() {
			t.Errorf("a job that is %s is paused %+v", s, j.Paused)
		}
		all, err := p.Unfinished(t.Context())
		no(t, err)
		same(t, all[0].Paused, j.Paused)
		no(t, p.ResumeJob(t.Context(), account, id))
		j, err = p.Job(t.Context(), account, id)
		no(t, err)
		same(t, j.Paused, batholith.Pause{})
		from = s
	}
}

func pauseStands(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	no(t, p.PauseJob(t.Context(), account, id, "first"))
	before, err := p.Job(t.Context(), account, id)
	no(t, err)
	time.Sleep(time.Minute)
	no(t, p.PauseJob(t.Context(), account, id, "second"))
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	same(t, j.Paused, before.Paused)
}

func pauseRefused(t *testing.T, p Port) {
	change := map[string]func(account, id string) error{
		"pause":  func(account, id string) error { return p.PauseJob(t.Context(), account, id, "why") },
		"resume": func(account, id string) error { return p.ResumeJob(t.Context(), account, id) },
	}
	for what, do := range change {
		n := len(what)
		id := create(t, p, newJob(n)).ID
		refused(t, do("999999999999", id), batholith.ErrNotFound)
		refused(t, do(account, "nosuchjob000"), batholith.ErrNotFound)
		failing := running(t, p, n+10, 1)
		seal(t, p, failing, "its input is gone")
		refused(t, do(account, failing), batholith.ErrMoved)
		moveTo(t, p, id, batholith.StatusStopping)
		refused(t, do(account, id), batholith.ErrMoved)
		no(t, p.Move(t.Context(), id, batholith.StatusStopping, batholith.StatusStopped, "", start()))
		refused(t, do(account, id), batholith.ErrMoved)
	}
	stopped := create(t, p, newJob(30)).ID
	no(t, p.PauseJob(t.Context(), account, stopped, "why"))
	moveTo(t, p, stopped, batholith.StatusStopping) // a paused job can be stopped
	pausedAre(t, p)
	j, err := p.Job(t.Context(), account, stopped)
	no(t, err)
	same(t, j.Paused, batholith.Pause{})
}

func pauseWakes(t *testing.T, p Port) {
	id := create(t, p, newJob(1)).ID
	changes, cancel := p.Subscribe()
	defer cancel()
	for len(changes) > 0 {
		<-changes
	}
	no(t, p.PauseJob(t.Context(), account, id, "why"))
	<-changes
	no(t, p.ResumeJob(t.Context(), account, id))
	<-changes
}

func pauseHeld(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	tomorrow := time.Now().Add(24 * time.Hour).Truncate(time.Millisecond)
	no(t, p.PauseJobUntil(t.Context(), id, "a cap", tomorrow))
	no(t, p.PauseJobUntil(t.Context(), id, "another", time.Time{}))
	j, err := p.Job(t.Context(), account, id)
	no(t, err)
	if j.Paused.Reason != "a cap" || j.Paused.Until.Sub(tomorrow).Abs() > 5*time.Second {
		t.Errorf("%+v, want a cap until %s", j.Paused, tomorrow)
	}
	no(t, p.PauseJob(t.Context(), account, id, "a user")) // it does not go on by itself any more
	j, err = p.Job(t.Context(), account, id)
	no(t, err)
	same(t, []string{j.Paused.Reason, j.Paused.Until.String()}, []string{"a user", time.Time{}.String()})
	_, passed, err := p.ClaimSample(t.Context(), "w1", id, 1)
	no(t, err)
	same(t, passed, false) // nothing is leased while it is paused
	no(t, p.ResumeJob(t.Context(), account, id))
	_, passed, err = p.ClaimSample(t.Context(), "w1", id, 1)
	no(t, err)
	same(t, passed, true)
	moveStopping := p.Move(t.Context(), id, batholith.StatusInProgress, batholith.StatusStopping, "", start())
	no(t, moveStopping)
	refused(t, p.PauseJobUntil(t.Context(), id, "too late", time.Time{}), batholith.ErrMoved)
}

// sampled demands the chunks that a worker gets of a job's sample.
func sampled(t *testing.T, p Port, worker, id string, n int, wantPassed bool, want ...int) {
	t.Helper()
	chunks, passed, err := p.ClaimSample(t.Context(), worker, id, n)
	no(t, err)
	same(t, passed, wantPassed)
	same(t, ns(chunks), append([]int{}, want...))
}

func sampleClaimed(t *testing.T, p Port) {
	id, small := running(t, p, 1, 10), running(t, p, 2, 2)
	alive(t, p, "w1", "w2")
	sampled(t, p, "w1", id, 4, false, 0, 2, 5, 7)
	sampled(t, p, "w2", id, 4, false)
	sampled(t, p, "w1", id, 4, false) // its own are not claimed again
	sampled(t, p, "w1", small, 4, false, 0, 1)
	no(t, p.PassSample(t.Context(), id))
	no(t, p.PassSample(t.Context(), id))
	sampled(t, p, "w2", id, 4, true)
	same(t, ns(claim(t, p, "w2", id, 2)), []int{1, 3})
	no(t, p.Release(t.Context(), "w1", small))
	no(t, p.PauseJob(t.Context(), account, small, "why"))
	sampled(t, p, "w1", small, 4, false)
}

func sampleLost(t *testing.T, p Port) {
	id := running(t, p, 1, 10)
	alive(t, p, "w1")
	sampled(t, p, "w1", id, 2, false, 0, 5)
	sampled(t, p, "w2", id, 2, false)
	time.Sleep(2 * time.Minute) // the lease of w1 is over
	alive(t, p, "w2")
	sampled(t, p, "w2", id, 2, false, 0, 5)
}
