package control

import (
	"cmp"
	"context"
	"errors"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// GetKeptResults reports whether finished records of a job are kept because its output could
// not be written. During a publication the state is KeptPublishing. If that fails, it is
// KeptWaiting again, with the reason.
func (a *API) GetKeptResults(ctx context.Context, in *bedrock.GetKeptResultsInput) (*bedrock.GetKeptResultsOutput, error) {
	account, id, err := a.job(ctx, "bedrock:GetKeptResults", in.JobIdentifier)
	if err != nil {
		return nil, err
	}
	j, err := a.Store.Job(ctx, account, id)
	if err != nil {
		return nil, refuse("get the kept results of job", in.JobIdentifier, err)
	}
	out := &bedrock.GetKeptResultsOutput{State: cmp.Or(j.Kept, batholith.KeptNone)}
	if out.State == batholith.KeptDiscarding { // they are about to be deleted
		out.State = batholith.KeptNone
	}
	if out.State != batholith.KeptNone {
		out.RecordCount, out.Reason = j.Counts.Processed, j.Note
	}
	return out, nil
}

// PublishKeptResults requests that a worker publishes a job's kept results. Repeating the
// request meanwhile is not an error.
func (a *API) PublishKeptResults(ctx context.Context, in *bedrock.PublishKeptResultsInput) (*bedrock.PublishKeptResultsOutput, error) {
	return &bedrock.PublishKeptResultsOutput{}, a.settle(ctx, "bedrock:PublishKeptResults", "publish", in.JobIdentifier, a.Store.PublishKept)
}

// DiscardKeptResults requests that a job's kept results are deleted.
func (a *API) DiscardKeptResults(ctx context.Context, in *bedrock.DiscardKeptResultsInput) (*bedrock.DiscardKeptResultsOutput, error) {
	return &bedrock.DiscardKeptResultsOutput{}, a.settle(ctx, "bedrock:DiscardKeptResults", "discard", in.JobIdentifier, a.Store.DiscardKept)
}

// settle passes a request about kept results to the store.
func (a *API) settle(ctx context.Context, action, verb, identifier string, tell func(ctx context.Context, account, id string) error) error {
	account, id, err := a.job(ctx, action, identifier)
	if err != nil {
		return err
	}
	switch err := tell(ctx, account, id); {
	case errors.Is(err, batholith.ErrNothingKept):
		return bedrock.Conflict("The job has no kept results: everything that it finished is in its output, or was discarded.")
	case err != nil:
		return refuse(verb+" the kept results of job", identifier, err)
	}
	return nil
}
