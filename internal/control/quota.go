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
