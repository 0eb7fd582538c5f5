package control

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

func caller(account, name string) context.Context {
	return bedrock.WithCaller(context.Background(), bedrock.Caller{Account: account, Principal: name})
}

// codeOf is the code of a refusal; "" if there is none.
func codeOf(err error) string {
	var e *bedrock.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestEachPrincipalHasItsOwnRateOfCreates(t *testing.T) {
	now := noon
	a := newTester(func(o *Options) {
		o.Limits.MaxCreatesPerSecond, o.Limits.MaxActiveJobsPerModel, o.Roles = 2, 0, anyRole{}
		o.Now = func() time.Time { return now }
	})
	n := 0
	create := func(account, name string) string {
		n++
		in := input(fmt.Sprint("j", n))
		in.RoleARN = "arn:aws:iam:::role/batch"
		_, err := a.CreateModelInvocationJob(caller(account, name), in)
		if code := codeOf(err); err != nil && code == "" {
			t.Fatal(err)
		} else {
			return code
		}
		return ""
	}
	for i, want := range []string{"", "", bedrock.CodeThrottling, bedrock.CodeThrottling} {
		if got := create(account, "alice"); got != want {
			t.Errorf("call %d of a second: %q, want %q", i+1, got, want)
		}
	}
	for _, other := range [][2]string{{account, "bob"}, {"111111111111", "alice"}} {
		if got := create(other[0], other[1]); got != "" {
			t.Errorf("%s pays for the calls of another: %q", other, got)
		}
	}
	now = now.Add(500 * time.Millisecond)
	for i, want := range []string{"", bedrock.CodeThrottling} {
		if got := create(account, "alice"); got != want {
			t.Errorf("call %d after half a second: %q, want %q", i+1, got, want)
		}
	}
}

func TestTheTokensOfADayEndWithTheDay(t *testing.T) {
	now := noon
	a := newTester(func(o *Options) {
		o.Limits.MaxTokensPerDay = 1000
		o.Now = func() time.Time { return now }
	})
	spend := func(arn string, in, out int64) {
		a.mu.Lock()
		defer a.mu.Unlock()
		for i := range a.jobs {
			if a.jobs[i].ID == idOf(arn) {
				a.jobs[i].Tokens = batholith.Tokens{Input: in, Output: out}
			}
		}
	}
	now = noon.Add(-24 * time.Hour) // what was used yesterday does not count
	spend(a.create(t, input("yesterday")), 5000, 0)
	now = noon
	in := input("first")
	in.ClientRequestToken = "token"
	first := a.create(t, in)
	spend(first, 600, 399)
	spend(a.create(t, input("second")), 1, 0) // 999 of 1000 were used before it
	_, err := a.CreateModelInvocationJob(a.ctx, input("third"))
	refused(t, err, bedrock.CodeServiceQuotaExceeded, "have used 1000 tokens, and 1000 are allowed (quota max_tokens_per_day)")
	if again, err := a.CreateModelInvocationJob(a.ctx, in); err != nil || again.JobARN != first {
		t.Errorf("a repeated request is answered with its job: %v, %v", again, err)
	}
	if _, err := a.CreateModelInvocationJob(caller(account, "bob"), input("third")); err != nil {
		t.Errorf("another principal: %v", err)
	}
	now = noon.Truncate(24 * time.Hour).Add(24 * time.Hour)
	a.create(t, input("tomorrow"))
}
