package control

import (
	"context"
	"fmt"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// CreateBatch is CreateModelInvocationJob for a client of OpenAI's batch API: input and output are in OpenAI's lines. batch is stored with
// the job. It returns the job as it is now, which is an earlier one if the token was used before.
func (a *API) CreateBatch(ctx context.Context, in *bedrock.CreateModelInvocationJobInput, batch batholith.Batch) (batholith.Job, error) {
	req := request(in)
	req.Batch = &batch
	for _, key := range []string{batholith.InputTag, batholith.OutputTag} {
		req.Tags = append(req.Tags, batholith.Tag{Key: key, Value: string(batholith.LinesOpenAI)})
	}
	if batch.Endpoint != batholith.ChatEndpoint {
		req.Tags = append(req.Tags, batholith.Tag{Key: batholith.EndpointTag, Value: batch.Endpoint})
	}
	req.InputLines, req.OutputLines, req.Type = batholith.LinesOpenAI, batholith.LinesOpenAI, batholith.TypeOfEndpoint(batch.Endpoint)
	out, err := a.create(ctx, req)
	if err != nil {
		return batholith.Job{}, err
	}
	account, id, err := a.named(ctx, out.JobARN)
	if err != nil {
		return batholith.Job{}, err
	}
	j, err := a.Store.Job(ctx, account, id)
	if err != nil {
		return j, refuse("get job", out.JobARN, err)
	}
	return j, nil
}

// Batch returns a job whose input is in OpenAI's lines, and the changes of its status. The caller must be permitted to get the job.
func (a *API) Batch(ctx context.Context, id string) (batholith.Job, []batholith.Change, error) {
	account, id, err := a.job(ctx, "bedrock:GetModelInvocationJob", id)
	if err != nil {
		return batholith.Job{}, nil, err
	}
	j, err := a.Store.Job(ctx, account, id)
	if err == nil && j.InputLines != batholith.LinesOpenAI {
		err = batholith.ErrNotFound
	}
	if err != nil {
		return j, nil, refuse("get job", id, err)
	}
	changes, err := a.Store.History(ctx, id)
	if err != nil {
		return j, nil, fmt.Errorf("read the history of job %s: %w", id, err)
	}
	return j, changes, nil
}

// StopBatch stops such a job. A job that has ended or is ending is a *bedrock.Error of code ValidationException.
func (a *API) StopBatch(ctx context.Context, id string) error {
	_, err := a.StopModelInvocationJob(ctx, &bedrock.StopModelInvocationJobInput{JobIdentifier: id})
	return err
}

// Batches returns up to limit+1 jobs that a client of OpenAI's API created and the caller may see, the newest first: those after the job with
// this id, or the newest. name is part of the names of all of them. An unknown job is ResourceNotFoundException.
func (a *API) Batches(ctx context.Context, name, after string, limit int) (jobs []batholith.Job, err error) {
	if err := a.mayAccount(ctx, "bedrock:ListModelInvocationJobs", "model-invocation-job/*", nil); err != nil {
		return nil, err
	}
	q := batholith.ListQuery{Account: bedrock.CallerFrom(ctx).Account, NameContains: name, Limit: limit + 1}
	passed := after == ""
	if !passed {
		from, _, err := a.Batch(ctx, after)
		if err != nil {
			return nil, err
		}
		after = from.ID
		q.Before = from.Submitted.Add(1) // jobs of the same millisecond are listed again, up to this one
	}
	for sought := 0; sought < mostSought; {
		page, next, err := a.visible(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("list batches: %w", err)
		}
		sought += max(len(page), q.Limit)
		for _, j := range page {
			if passed && j.Batch != nil {
				jobs = append(jobs, j)
			}
			passed = passed || j.ID == after
		}
		if next == 0 || len(jobs) > limit {
			break
		}
		q.Cursor = next
	}
	return jobs[:min(len(jobs), limit+1)], nil
}
