package control

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// defaultPage is the number of jobs on a page if the client does not say (our choice: Bedrock documents none).
const defaultPage = 100

// ListModelInvocationJobs returns the account's jobs, newest first by default. The time bounds are exclusive
// (our choice: Bedrock says "after" and "before"). Pages neither repeat nor skip a job that existed when the
// first page was read.
func (a *API) ListModelInvocationJobs(ctx context.Context, in *bedrock.ListModelInvocationJobsInput) (*bedrock.ListModelInvocationJobsOutput, error) {
	q := batholith.ListQuery{
		Account: bedrock.CallerFrom(ctx).Account,
		After:   in.SubmitTimeAfter.Time, Before: in.SubmitTimeBefore.Time,
		Status: in.StatusEquals, NameContains: in.NameContains,
		Ascending: in.SortOrder == bedrock.SortOrderAscending,
		Limit:     cmp.Or(in.MaxResults, defaultPage),
	}
	p := page{of: fmt.Sprintf("jobs of %s from %s to %s status %s name %q ascending %t",
		q.Account, q.After, q.Before, q.Status, q.NameContains, q.Ascending)}
	var err error
	if q.Cursor, err = p.cursor(in.NextToken); err != nil {
		return nil, err
	}
	jobs, next, err := a.Store.Jobs(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	out := &bedrock.ListModelInvocationJobsOutput{NextToken: p.token(next), InvocationJobSummaries: make([]bedrock.JobSummary, len(jobs))}
	for i, j := range jobs {
		out.InvocationJobSummaries[i] = a.summary(j)
	}
	return out, nil
}

// stamp converts a time for an answer. The zero time becomes an absent member.
func stamp(t time.Time) bedrock.Timestamp {
	if t.IsZero() {
		return bedrock.Timestamp{}
	}
	return bedrock.Timestamp{Time: t}
}
