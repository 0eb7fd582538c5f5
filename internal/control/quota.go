package control

import (
	"context"
	"fmt"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// tokensPage is how many jobs are read at once to sum their tokens.
const tokensPage = 1000

// refuseTokens returns a refusal if the caller has used the tokens of a day: in interactive calls, and in the jobs created today (UTC). The
// sum is read from the store, so that it is the same after a restart. A job
// that was accepted goes on, so jobs that were created before the quota was used may exceed it.
func (a *API) refuseTokens(ctx context.Context, who bedrock.Caller) (refusal, err error) {
	if a.LimitsNow().MaxTokensPerDay <= 0 {
		return nil, nil
	}
	used, err := a.TokensToday(ctx, who.Account, who.Principal)
	if err != nil {
		return nil, err
	}
	if a.Calls != nil {
		calls, err := a.Calls(ctx, who.Account, who.Principal)
		if err != nil {
			return nil, err
		}
		used = batholith.Sum(used, calls)
	}
	if used < a.LimitsNow().MaxTokensPerDay {
		return nil, nil
	}
	return bedrock.QuotaExceeded("The calls of principal %s and the jobs created today (UTC) have used %d tokens, and %d are allowed (quota max_tokens_per_day). "+
		"Create the job tomorrow, or ask the operator to raise the quota.", who.Principal, used, a.LimitsNow().MaxTokensPerDay), nil
}

// TokensToday sums the tokens, input and output, of the jobs that a principal created today (UTC).
func (a *API) TokensToday(ctx context.Context, account, principal string) (used int64, err error) {
	today := a.Clock().UTC().Truncate(24 * time.Hour)
	// After is exclusive, and the store keeps milliseconds.
	for q := (batholith.ListQuery{Account: account, After: today.Add(-time.Millisecond), Limit: tokensPage}); ; {
		jobs, next, err := a.Store.Jobs(ctx, q)
		if err != nil {
			return 0, fmt.Errorf("sum the tokens of a day: %w", err)
		}
		for _, j := range jobs {
			if j.Owner == principal {
				used = batholith.Sum(used, batholith.Sum(j.Tokens.Input, j.Tokens.Output))
			}
		}
		if q.Cursor = next; next == 0 {
			return used, nil
		}
	}
}
