package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

func creation() []law {
	return []law{
		{"AJobIsReadBackAsItWasCreated", readBack},
		{"SubmittedNeverFalls", submittedNeverFalls},
		{"AnotherAccountsJobIsNotFound", otherAccount},
		{"TheSameTokenIsTheSameJob", sameToken},
		{"ATokenWithOtherParametersIsRefused", otherParameters},
		{"TheTokenDecidesBeforeNameAndQuota", tokenFirst},
		{"ATokenIsFoundWithItsRequest", tokenFound},
		{"ATokenBelongsToItsAccount", tokenOfAccount},
		{"ANameIsFreeAgainWhenItsJobHasEnded", nameFreed},
		{"ActiveJobsOfAModelAreLimited", activeLimited},
		{"SixteenCreationsUnderOneTokenAreOneJob", oneJobOfMany},
		{"SixteenCreationsUnderOneNameAreOneJob", oneNameOfMany},
		{"ConcurrentCreationsKeepTheQuota", quotaOfMany},
		{"ACancelledCreationIsNoJob", cancelledCreation},
		{"CreationWakesSubscribers", creationWakes},
	}
}

func readBack(t *testing.T, p Port) {
	j := newJob(1)
	j.Submitted = start().Add(1234567 * time.Nanosecond)
	j.Expires = j.Submitted.Add(time.Hour)
	j.Token = "token"
	j.Tags = []batholith.Tag{{Key: "a", Value: "1"}}
	created := create(t, p, j)

	want := j
	want.Tags = nil
	want.Status = batholith.StatusSubmitted
	want.Submitted = start().Add(time.Millisecond)
	want.Modified, want.Expires = want.Submitted, want.Submitted.Add(time.Hour)
	same(t, created, want)
	got, err := p.Job(t.Context(), account, j.ID)
	no(t, err)
	same(t, got, want)
	if !got.Ended.IsZero() {
		t.Errorf("a new job has ended at %v", got.Ended)
	}
	no(t, p.Check(t.Context()))
}

func submittedNeverFalls(t *testing.T, p Port) {
	first := create(t, p, newJob(1))
	j := newJob(2)
	j.Submitted, j.Expires = start().Add(-time.Hour), start() // a clock that was set back
	second := create(t, p, j)
	if !second.Submitted.Equal(first.Submitted) {
		t.Errorf("the second job was submitted at %v, the first at %v", second.Submitted, first.Submitted)
	}
	if got := second.Expires.Sub(second.Submitted); got != time.Hour {
		t.Errorf("the timeout became %v", got)
	}
}

func otherAccount(t *testing.T, p Port) {
	j := create(t, p, newJob(1))
	_, err := p.Job(t.Context(), "999999999999", j.ID)
	refused(t, err, batholith.ErrNotFound)
	_, err = p.Job(t.Context(), account, "nosuchjob000")
	refused(t, err, batholith.ErrNotFound)
}

func sameToken(t *testing.T, p Port) {
	j := newJob(1)
	j.Token = "token"
	create(t, p, j)
	moveTo(t, p, j.ID, batholith.StatusValidating)
	again := newJob(2)
	again.Token = "token"
	got := create(t, p, again)
	if got.ID != j.ID || got.Status != batholith.StatusValidating {
		t.Errorf("the answer is job %s, %s; not the first job as it is now", got.ID, got.Status)
	}
	_, err := p.Job(t.Context(), account, again.ID)
	refused(t, err, batholith.ErrNotFound)

	no(t, p.Move(t.Context(), j.ID, batholith.StatusValidating, batholith.StatusFailed, "", start()))
	no(t, p.Forget(t.Context(), j.ID, start()))
	if got := create(t, p, again); got.ID != j.ID {
		t.Errorf("a token outlives the end of its job, but the answer is %s", got.ID)
	}
}

func otherParameters(t *testing.T, p Port) {
	j := newJob(1)
	j.Token = "token"
	create(t, p, j)
	_, err := p.CreateJob(t.Context(), j, "another hash", 0)
	refused(t, err, batholith.ErrTokenReused)
}

func tokenFirst(t *testing.T, p Port) {
	j := newJob(1)
	j.Token = "token"
	create(t, p, j)
	got, err := p.CreateJob(t.Context(), j, "hash", 1) // its name is taken and the quota is full, both by itself
	no(t, err)
	same(t, got.ID, j.ID)
}

func tokenFound(t *testing.T, p Port) {
	j := newJob(1)
	j.Token = "token"
	j = create(t, p, j)
	for _, s := range []batholith.Status{batholith.StatusSubmitted, batholith.StatusFailed} { // whatever became of it
		moveTo(t, p, j.ID, s)
		got, err := p.JobOfToken(t.Context(), account, "token", "hash")
		no(t, err)
		same(t, []string{got.ID, string(got.Status)}, []string{j.ID, string(s)})
	}
	_, err := p.JobOfToken(t.Context(), account, "token", "other")
	refused(t, err, batholith.ErrTokenReused)
	for _, k := range [][]string{{account, "other"}, {"999999999999", "token"}, {account, ""}} {
		_, err = p.JobOfToken(t.Context(), k[0], k[1], "hash")
		refused(t, err, batholith.ErrNotFound)
	}
}

func tokenOfAccount(t *testing.T, p Port) {
	j := newJob(1)
	j.Token = "token"
	create(t, p, j)
	k := newJob(2)
	k.Token, k.Account = "token", "999999999999"
	same(t, create(t, p, k).ID, k.ID)
}

func nameFreed(t *testing.T, p Port) {
	j := create(t, p, newJob(1))
	k := newJob(2)
	k.Name = j.Name
	_, err := p.CreateJob(t.Context(), k, "hash", 0)
	refused(t, err, batholith.ErrNameInUse)
	moveTo(t, p, j.ID, batholith.StatusStopping)
	_, err = p.CreateJob(t.Context(), k, "hash", 0)
	refused(t, err, batholith.ErrNameInUse)
	no(t, p.Move(t.Context(), j.ID, batholith.StatusStopping, batholith.StatusStopped, "", start()))
	create(t, p, k)

	k.Account, k.ID = "999999999999", "otheraccount" // another account's names are its own
	create(t, p, k)
}

func activeLimited(t *testing.T, p Port) {
	for i := range 2 {
		create(t, p, newJob(i))
	}
	j := newJob(3)
	_, err := p.CreateJob(t.Context(), j, "hash", 2)
	refused(t, err, batholith.ErrTooManyActive)
	other := newJob(4)
	other.Model, other.ModelID = "another.model", "another.model"
	_, err = p.CreateJob(t.Context(), other, "hash", 2)
	no(t, err)
	moveTo(t, p, newJob(0).ID, batholith.StatusFailed)
	_, err = p.CreateJob(t.Context(), j, "hash", 2)
	no(t, err)
}

// race runs f in n goroutines at once and returns their answers.
func race(n int, f func(i int) (batholith.Job, error)) (ids []string, errs []error) {
	ids, errs = make([]string, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			j, err := f(i)
			ids[i], errs[i] = j.ID, err
		})
	}
	wg.Wait()
	return ids, errs
}

func oneJobOfMany(t *testing.T, p Port) {
	ids, errs := race(16, func(i int) (batholith.Job, error) {
		j := newJob(i)
		j.Token = "token"
		return p.CreateJob(t.Context(), j, "hash", 0)
	})
	no(t, errors.Join(errs...))
	for _, id := range ids {
		same(t, id, ids[0])
	}
	jobs, _, err := p.Jobs(t.Context(), batholith.ListQuery{Account: account, Limit: 20})
	no(t, err)
	if len(jobs) != 1 || jobs[0].ID != ids[0] {
		t.Errorf("there are %d jobs", len(jobs))
	}
	history, err := p.History(t.Context(), ids[0])
	no(t, err)
	same(t, len(history), 1)
}

func oneNameOfMany(t *testing.T, p Port) {
	_, errs := race(16, func(i int) (batholith.Job, error) {
		j := newJob(i)
		j.Name, j.Token = "one", fmt.Sprint("token", i)
		return p.CreateJob(t.Context(), j, "hash", 0)
	})
	same(t, count(t, errs, batholith.ErrNameInUse), 1)
}

func quotaOfMany(t *testing.T, p Port) {
	_, errs := race(16, func(i int) (batholith.Job, error) { return p.CreateJob(t.Context(), newJob(i), "hash", 5) })
	same(t, count(t, errs, batholith.ErrTooManyActive), 5)
}

// count tells how many went well, where all others must be refused alike.
func count(t *testing.T, errs []error, refusal error) (n int) {
	t.Helper()
	for _, err := range errs {
		if err == nil {
			n++
			continue
		}
		refused(t, err, refusal)
	}
	return n
}

func cancelledCreation(t *testing.T, p Port) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.CreateJob(ctx, newJob(1), "hash", 0)
	refused(t, err, context.Canceled)
	_, err = p.Job(t.Context(), account, newJob(1).ID)
	refused(t, err, batholith.ErrNotFound)
	_, err = p.Job(ctx, account, newJob(1).ID)
	refused(t, err, context.Canceled)
	create(t, p, newJob(1))
}

func creationWakes(t *testing.T, p Port) {
	a, cancelA := p.Subscribe()
	b, cancelB := p.Subscribe()
	defer cancelA()
	j := newJob(1)
	j.Token = "token"
	create(t, p, j)
	cancelB()
	moveTo(t, p, j.ID, batholith.StatusValidating, batholith.StatusScheduled)
	same(t, []int{len(a), len(b)}, []int{1, 1}) // three changes, and one: as one value each
	<-a
	<-b
	cancelB()
	create(t, p, j) // the same token: nothing happens
	same(t, []int{len(a), len(b)}, []int{0, 0})
	no(t, p.Move(t.Context(), j.ID, batholith.StatusScheduled, batholith.StatusInProgress, "", start()))
	same(t, []int{len(a), len(b)}, []int{1, 0})
}
