package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

// Forgetting is the part of the store that erases jobs.
type Forgetting interface {
	ForgetJob(ctx context.Context, account, id string, output bool) error
	Forgetting(ctx context.Context) (ids []string, withOutput map[string]bool, err error)
	Outdate(ctx context.Context, age time.Duration, keep int) (n int64, err error)
	DeleteEvents(ctx context.Context, age time.Duration) (deleted int64, err error)
	EraseJob(ctx context.Context, id string) error
	Compact(ctx context.Context) (whole bool, err error)
}

func forgettingLaws() []law {
	return []law{
		{"AForgottenJobIsErased", aForgottenJobIsErased},
		{"TheRetentionForgetsTheOldestOfEachAccount", theRetentionForgetsTheOldestOfEachAccount},
	}
}

// endedJob creates job n with a tag and a token, and ends it as Failed, with its clean-ups done if clean is true.
func endedJob(t *testing.T, p Port, n int, clean bool) batholith.Job {
	t.Helper()
	j := newJob(n)
	j.Token, j.Tags = fmt.Sprint("token-", n), []batholith.Tag{{Key: "team", Value: "red"}}
	j.Submitted = time.Now()
	j.Expires = j.Submitted.Add(time.Hour)
	j = create(t, p, j)
	no(t, p.Move(t.Context(), j.ID, batholith.StatusSubmitted, batholith.StatusValidating, "", time.Now()))
	no(t, p.Move(t.Context(), j.ID, batholith.StatusValidating, batholith.StatusFailed, "", time.Now()))
	if clean {
		no(t, p.Forget(t.Context(), j.ID, time.Time{}))
		no(t, p.Swept(t.Context(), j.ID, time.Now()))
	}
	return j
}

// A job is erased only when it has ended and somebody wants it; then nothing of it is left, and its token and name make a new job.
func aForgottenJobIsErased(t *testing.T, p Port) {
	running := create(t, p, newJob(1))
	if err := p.ForgetJob(t.Context(), account, running.ID, false); !errors.Is(err, batholith.ErrMoved) {
		t.Errorf("forget a job that has not ended: %v", err)
	}
	j := endedJob(t, p, 2, false)
	other := endedJob(t, p, 3, false)
	if err := p.ForgetJob(t.Context(), "210987654321", j.ID, false); !errors.Is(err, batholith.ErrNotFound) {
		t.Errorf("forget a job of another account: %v", err)
	}
	if err := p.EraseJob(t.Context(), j.ID); !errors.Is(err, batholith.ErrMoved) {
		t.Errorf("erase a job that nobody wants to forget: %v", err)
	}
	no(t, p.ForgetJob(t.Context(), account, j.ID, true))
	no(t, p.ForgetJob(t.Context(), account, other.ID, false))
	ids, output, err := p.Forgetting(t.Context())
	no(t, err)
	if len(ids) != 2 || !output[j.ID] || output[other.ID] {
		t.Errorf("to be forgotten: %v, with output %v", ids, output)
	}
	for range 2 { // a crash may have hidden that it was done
		no(t, p.EraseJob(t.Context(), j.ID))
	}
	if _, err := p.Job(t.Context(), account, j.ID); !errors.Is(err, batholith.ErrNotFound) {
		t.Errorf("the erased job: %v", err)
	}
	whole, err := p.Compact(t.Context())
	no(t, err)
	if !whole {
		t.Error("the database was not compacted")
	}
	if _, err := p.Job(t.Context(), account, other.ID); err != nil {
		t.Errorf("another job: %v", err)
	}
	again := newJob(4)
	again.Name, again.Token = j.Name, j.Token
	if got := create(t, p, again); got.ID != again.ID {
		t.Errorf("the token of the erased job gives %s", got.ID)
	}
}

// The retention forgets jobs that have ended and are clean: the oldest first, by age, or beyond a number in each account.
func theRetentionForgetsTheOldestOfEachAccount(t *testing.T, p Port) {
	running := newJob(1)
	running.Submitted, running.Expires = time.Now(), time.Now().Add(time.Hour)
	create(t, p, running)
	endedJob(t, p, 2, false)
	var ended []string
	for n := 3; n < 7; n++ {
		ended = append(ended, endedJob(t, p, n, true).ID)
	}
	no2 := func(n int64, err error) int64 { no(t, err); return n }
	if n := no2(p.Outdate(t.Context(), 0, 0)); n != 0 {
		t.Errorf("without a bound %d jobs are forgotten", n)
	}
	if n := no2(p.Outdate(t.Context(), 200*365*24*time.Hour, 4)); n != 0 {
		t.Errorf("within the bounds %d jobs are forgotten", n)
	}
	if n := no2(p.Outdate(t.Context(), 0, 3)); n != 1 {
		t.Errorf("%d jobs beyond three are forgotten", n)
	}
	ids, _, err := p.Forgetting(t.Context())
	no(t, err)
	if len(ids) != 1 || ids[0] != ended[0] {
		t.Errorf("forgotten: %v; the oldest is %s", ids, ended[0])
	}
	time.Sleep(2 * time.Millisecond) // so that the age of each is at least 1 ms
	if n := no2(p.Outdate(t.Context(), time.Millisecond, 0)); n != 3 {
		t.Errorf("%d jobs are older than a millisecond", n)
	}
}
