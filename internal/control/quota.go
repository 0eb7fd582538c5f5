package control

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// mostThrottled bounds the callers whose rate is remembered. Principals of an OpenID Connect issuer are unbounded in number.
const mostThrottled = 10_000

// throttle limits how often each principal of each account may call Create: a token bucket that holds the calls of one second. Its zero
// value is ready. It is kept in memory: after a restart every bucket is full.
type throttle struct {
	mu      sync.Mutex
	callers map[principal]*rate.Limiter
}

type principal struct{ account, name string }

// allow reports whether the caller may call Create now, and takes one of its calls if so.
func (t *throttle) allow(now time.Time, who bedrock.Caller, perSecond int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := principal{who.Account, who.Principal}
	bucket := t.callers[key]
	if bucket == nil {
		if len(t.callers) >= mostThrottled {
			t.forget(now)
		}
		if t.callers == nil {
			t.callers = map[principal]*rate.Limiter{}
		}
		bucket = rate.NewLimiter(rate.Limit(perSecond), perSecond)
		t.callers[key] = bucket
	}
	return bucket.AllowN(now, 1)
}

// forget drops the full buckets, which a new one equals. If none is full, it drops all: to forget is kinder than to grow without bound.
func (t *throttle) forget(now time.Time) {
	for key, bucket := range t.callers {
		if bucket.TokensAt(now) >= float64(bucket.Burst()) {
			delete(t.callers, key)
		}
	}
	if len(t.callers) >= mostThrottled {
		clear(t.callers)
	}
}

// tokensPage is how many jobs are read at once to sum their tokens.
const tokensPage = 1000

// refuseTokens returns a refusal if the jobs that the caller created today (UTC) have used the tokens of a day. The sum is read from the
// store, so that it is the same after a restart. Jobs that were created at the same moment may exceed the quota together.
func (a *API) refuseTokens(ctx context.Context, who bedrock.Caller) (refusal, err error) {
	if a.Limits.MaxTokensPerDay <= 0 {
		return nil, nil
	}
	today := a.Now().UTC().Truncate(24 * time.Hour)
	used := int64(0)
	// After is exclusive, and the store keeps milliseconds.
	for q := (batholith.ListQuery{Account: who.Account, After: today.Add(-time.Millisecond), Limit: tokensPage}); ; {
		jobs, next, err := a.Store.Jobs(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("sum the tokens of a day: %w", err)
		}
		for _, j := range jobs {
			if j.Owner == who.Principal {
				used = batholith.Sum(used, batholith.Sum(j.Tokens.Input, j.Tokens.Output))
			}
		}
		if q.Cursor = next; next == 0 {
			break
		}
	}
	if used < a.Limits.MaxTokensPerDay {
		return nil, nil
	}
	return bedrock.QuotaExceeded("The jobs that principal %s created today (UTC) have used %d tokens, and %d are allowed (quota max_tokens_per_day). "+
		"Create the job tomorrow, or ask the operator to raise the quota.", who.Principal, used, a.Limits.MaxTokensPerDay), nil
}
