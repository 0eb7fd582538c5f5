package control

import (
	"context"
	"errors"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// ForgetModelInvocationJob requests that a job is erased. Its output stays. Repeating the request meanwhile is not an error.
func (a *API) ForgetModelInvocationJob(ctx context.Context, in *bedrock.ForgetModelInvocationJobInput) (*bedrock.ForgetModelInvocationJobOutput, error) {
	return &bedrock.ForgetModelInvocationJobOutput{}, a.forget(ctx, "bedrock:ForgetModelInvocationJob", in.JobIdentifier, false)
}

// ForgetModelInvocationJobAndOutput requests that a job and its output are erased.
func (a *API) ForgetModelInvocationJobAndOutput(ctx context.Context, in *bedrock.ForgetModelInvocationJobAndOutputInput) (*bedrock.ForgetModelInvocationJobAndOutputOutput, error) {
	return &bedrock.ForgetModelInvocationJobAndOutputOutput{}, a.forget(ctx, "bedrock:ForgetModelInvocationJobAndOutput", in.JobIdentifier, true)
}

// forget passes the request to the store. The error of a job that cannot be forgotten yet names its state and what to do.
func (a *API) forget(ctx context.Context, action, identifier string, output bool) error {
	account, id, err := a.job(ctx, action, identifier)
	if err != nil {
		return err
	}
	err = a.Store.ForgetJob(ctx, account, id, output)
	if errors.Is(err, batholith.ErrMoved) {
		j, err := a.Store.Job(ctx, account, id)
		switch {
		case err != nil:
			return refuse("forget job", identifier, err)
		case j.Kept != "":
			return bedrock.Conflict("The model invocation job %s cannot be forgotten while its results are kept: publish or discard them first.", identifier)
		}
		return bedrock.Conflict("The model invocation job %s has not ended and cannot be forgotten: stop it first. State was: %s", identifier, j.Status)
	}
	if err != nil {
		return refuse("forget job", identifier, err)
	}
	return nil
}
