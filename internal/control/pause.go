package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/plain"
)

// PauseModelInvocationJob stores that no further record of a job is sent. The workers see it within a second.
func (a *API) PauseModelInvocationJob(ctx context.Context, in *bedrock.PauseModelInvocationJobInput) (*bedrock.PauseModelInvocationJobOutput, error) {
	if err := a.heeded("pause the job", []batholith.Feature{"pauses"}); err != nil {
		return nil, err
	}
	reason := fmt.Sprintf("%s has paused the job", plain.Line(bedrock.CallerFrom(ctx).Principal))
	err := a.changePause(ctx, "bedrock:PauseModelInvocationJob", "pause", in.JobIdentifier, func(ctx context.Context, account, id string) error {
		err := a.Store.PauseJob(ctx, account, id, reason)
		failpoint.Here("control.paused")
		return err
	})
	return &bedrock.PauseModelInvocationJobOutput{}, err
}

// ResumeModelInvocationJob lets a paused job go on.
func (a *API) ResumeModelInvocationJob(ctx context.Context, in *bedrock.ResumeModelInvocationJobInput) (*bedrock.ResumeModelInvocationJobOutput, error) {
	return &bedrock.ResumeModelInvocationJobOutput{}, a.changePause(ctx, "bedrock:ResumeModelInvocationJob", "resume", in.JobIdentifier, func(ctx context.Context, account, id string) error {
		err := a.Store.ResumeJob(ctx, account, id)
		failpoint.Here("control.resumed")
		return err
	})
}

// changePause passes a request about a pause to the store. The error of a job that has ended, or is about to, names its status.
func (a *API) changePause(ctx context.Context, action, verb, identifier string, change func(ctx context.Context, account, id string) error) error {
	account, id, err := a.job(ctx, action, identifier)
	if err != nil {
		return err
	}
	err = change(ctx, account, id)
	if errors.Is(err, batholith.ErrMoved) {
		j, err := a.Store.Job(ctx, account, id)
		if err != nil {
			return refuse(verb+" job", identifier, err)
		}
		state := "is ending"
		if j.Status.Terminal() {
			state = "has ended"
		}
		return bedrock.Conflict("The model invocation job %s %s and cannot be %sd. State was: %s", identifier, state, verb, j.Status)
	}
	if err != nil {
		return refuse(verb+" job", identifier, err)
	}
	return nil
}
