package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// defaultPage is the number of jobs on a page if the client does not say (our choice: Bedrock
// documents none).
const defaultPage = 100

// ListModelInvocationJobs returns the account's jobs, newest first by default. The time bounds
// are exclusive (our choice: Bedrock says "after" and "before"). Pages neither repeat nor skip
// a job that existed when the first page was read.
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
	if err := a.mayAccount(ctx, "bedrock:ListModelInvocationJobs", "model-invocation-job/*", nil); err != nil {
		return nil, err
	}
	jobs, next, err := a.visible(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	out := &bedrock.ListModelInvocationJobsOutput{NextToken: p.token(next), InvocationJobSummaries: make([]bedrock.JobSummary, len(jobs))}
	forecasts, usage := a.forecasts(ctx, jobs...), a.jobUsage(ctx, q.Account, jobs...)
	servers := map[string][]batholith.BackendState{} // by the name of the model
	for i, j := range jobs {
		out.InvocationJobSummaries[i] = a.summary(j, forecasts)
		tellUsage(&out.InvocationJobSummaries[i], usage[j.ID])
		if j.Status.Terminal() {
			continue
		}
		if _, known := servers[j.ModelID]; !known {
			servers[j.ModelID] = a.backendsOf(j.ModelID)
		}
		tellBackends(&out.InvocationJobSummaries[i], servers[j.ModelID])
	}
	return out, nil
}

// Bounds of the look for jobs that a caller may see. A page whose look is cut short has fewer
// jobs than were asked for, and a token of the next page.
const (
	mostSought = 4000 // jobs looked at for one page
	mostAtOnce = 1000 // in one read of the store
)

// visible returns a page of the jobs that the caller may get. The jobs are read in windows,
// each in a read of its own. A window of more visible jobs than the page has room for is read
// again with as many jobs as there is room, so that the page ends where a window ends, which is
// the only place that has a cursor.
func (a *API) visible(ctx context.Context, q batholith.ListQuery) (page []batholith.Job, next int64, err error) {
	if a.free() {
		return a.Store.Jobs(ctx, q)
	}
	limit := q.Limit
	q.Tags = true
	for sought := 0; ; {
		room := limit - len(page)
		jobs, next, err := a.Store.Jobs(ctx, q)
		if err != nil {
			return nil, 0, err
		}
		sought += len(jobs)
		seen := slices.DeleteFunc(slices.Clone(jobs), func(j batholith.Job) bool { return !a.sees(ctx, j) })
		if len(seen) > room {
			q.Limit = room
			continue
		}
		page = append(page, seen...)
		if next == 0 || len(page) == limit || sought >= mostSought {
			return page, next, nil
		}
		q.Cursor = next
		q.Limit = min(mostAtOnce, max(limit-len(page), 2*q.Limit))
	}
}

// stamp converts a time for an answer. The zero time becomes an absent member.
func stamp(t time.Time) bedrock.Timestamp {
	if t.IsZero() {
		return bedrock.Timestamp{}
	}
	return bedrock.Timestamp{Time: t}
}
