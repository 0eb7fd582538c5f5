package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/plain"
)

// GetModelInvocationJob returns a job as it is stored at this moment, counters included.
func (a *API) GetModelInvocationJob(ctx context.Context, in *bedrock.GetModelInvocationJobInput) (*bedrock.GetModelInvocationJobOutput, error) {
	account, id, err := a.job(ctx, "bedrock:GetModelInvocationJob", in.JobIdentifier)
	if err != nil {
		return nil, err
	}
	j, err := a.Store.Job(ctx, account, id)
	if err != nil {
		return nil, refuse("get job", in.JobIdentifier, err)
	}
	out := a.summary(j, a.forecasts(ctx, j))
	tellUsage(&out, a.jobUsage(ctx, account, j)[j.ID])
	if !j.Status.Terminal() {
		tellBackends(&out, a.backendsOf(j.ModelID))
	}
	return &out, nil
}

// StopModelInvocationJob requests that a job ends. Repeating the request while the job is
// Stopping is not an error. If the job has ended, or its end is decided, the error message ends
// with its status (Bedrock: clients match "State was: Completed").
func (a *API) StopModelInvocationJob(ctx context.Context, in *bedrock.StopModelInvocationJobInput) (*bedrock.StopModelInvocationJobOutput, error) {
	account, id, err := a.job(ctx, "bedrock:StopModelInvocationJob", in.JobIdentifier)
	if err != nil {
		return nil, err
	}
	err = a.Stopper.Stop(ctx, account, id)
	var over *batholith.MoveError
	if errors.As(err, &over) {
		return nil, bedrock.Validation("The model invocation job %s has ended and cannot be stopped. State was: %s", in.JobIdentifier, over.Status)
	}
	if err != nil {
		return nil, refuse("stop job", in.JobIdentifier, err)
	}
	return &bedrock.StopModelInvocationJobOutput{}, nil
}

// job finds the caller's job with an identifier, and refuses an action on it that the caller
// may not do. tags are those that the action puts on the job.
func (a *API) job(ctx context.Context, action, identifier string, tags ...batholith.Tag) (account, id string, err error) {
	if account, id, err = a.named(ctx, identifier); err != nil {
		return "", "", err
	}
	return account, id, a.mayJob(ctx, action, account, id, identifier, tags)
}

// named returns account and id of the caller's job that an identifier means: a job id or an
// ARN, never a name. An ARN of another region or account is not found.
func (a *API) named(ctx context.Context, identifier string) (account, id string, err error) {
	account = bedrock.CallerFrom(ctx).Account
	if batholith.ValidJobID(identifier) {
		return account, identifier, nil
	}
	arn, err := batholith.ParseARN(identifier)
	if err != nil {
		return "", "", noJob(identifier)
	}
	id, ok := arn.JobID()
	if !ok || arn != batholith.JobARN(a.Region, account, id) {
		return "", "", noJob(identifier)
	}
	return account, id, nil
}

// noJob is the error for an unknown job.
func noJob(identifier string) error {
	return bedrock.NotFound("The model invocation job %s was not found.", identifier)
}

// refuse converts a store error about a job. Errors other than ErrNotFound become internal
// errors.
func refuse(verb, identifier string, err error) error {
	if errors.Is(err, batholith.ErrNotFound) {
		return noJob(identifier)
	}
	return fmt.Errorf("%s %s: %w", verb, identifier, err)
}

// notes returns what Get and List add to Bedrock's members, or nil. If there is no other note,
// it is the forecast as text. Options.Notice replaces the note of an unfinished job.
func (a *API) notes(j batholith.Job, note string, forecasts map[string]batholith.Forecast) *bedrock.JobNotes {
	var n bedrock.JobNotes
	if f, ok := forecasts[j.ID]; ok {
		if j.Status == batholith.StatusInProgress { // a worker that does not work on the job may take it for one that waits
			f.Position, f.Begin = 0, time.Time{}
		}
		n.QueuePosition, n.ExpectedStart, n.ExpectedEnd = int64(max(f.Position, 0)), stamp(f.Begin), stamp(f.End)
		note = cmp.Or(note, f.String())
	}
	paused := !j.Paused.Since.IsZero()
	if paused {
		n.PausedSince, n.PauseReason, n.ResumesAt = stamp(j.Paused.Since), batholith.CutMessage(plain.Line(j.Paused.Reason)), stamp(j.Paused.Until)
	}
	if a.Unreached != nil && !j.Status.Terminal() && !paused {
		note = cmp.Or(a.Unreached(j), note)
	}
	if lacking := batholith.Lacks(batholith.Features(), j.Needs); len(lacking) > 0 && a.Unreached == nil && !j.Status.Terminal() {
		note = fmt.Sprintf("The job needs features that this version of the service does not have (%s), so it waits for a worker of a later version.", batholith.FeatureList(lacking))
	}
	if a.Notice != nil && !j.Status.Terminal() {
		note = cmp.Or(a.Notice(), note)
	}
	n.Note = batholith.CutMessage(plain.Line(note))
	if reflect.ValueOf(n).IsZero() {
		return nil
	}
	return &n
}

// forecasts estimates when the jobs that are Scheduled or InProgress start and end. It is nil if nobody does.
func (a *API) forecasts(ctx context.Context, jobs ...batholith.Job) map[string]batholith.Forecast {
	if a.Forecaster == nil {
		return nil
	}
	var ids []string
	for _, j := range jobs {
		if j.Paused.Since.IsZero() && (j.Status == batholith.StatusScheduled || j.Status == batholith.StatusInProgress) {
			ids = append(ids, j.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return a.Forecaster.Forecasts(ctx, ids)
}

// modelName returns the model of a job for answers. For the id of a foundation model Bedrock
// returns its ARN. Ids of inference profiles, ARNs, and names that do not fit into an ARN are
// returned as sent.
func (a *API) modelName(sent string) string {
	if _, geographic := dialect.CutGeography(sent); geographic {
		return sent
	}
	if arn := a.foundationModel(sent); bedrock.IsModelID(arn) {
		return arn
	}
	return sent
}

// invocationType is the type of a job for Bedrock's clients, which know two: a job of OpenAI's lines is told by its tag.
func invocationType(j batholith.Job) batholith.InvocationType {
	if j.InputLines == batholith.LinesOpenAI {
		return batholith.InvokeModel
	}
	return j.Type
}

// summary returns a job in Bedrock's format, with its forecast if there is one.
func (a *API) summary(j batholith.Job, forecasts map[string]batholith.Forecast) bedrock.JobSummary {
	message, note := j.Told()
	s := bedrock.JobSummary{
		JobARN: j.ARN().String(), JobName: j.Name, ModelID: a.modelName(j.ModelID), ClientRequestToken: j.Token, RoleARN: j.RoleARN,
		Status: j.Status, Message: batholith.CutMessage(plain.Line(message)),
		SubmitTime: stamp(j.Submitted), LastModifiedTime: stamp(j.Modified), EndTime: stamp(j.Ended), JobExpirationTime: stamp(j.Expires),
		InputDataConfig: &bedrock.InputDataConfig{S3InputDataConfig: &bedrock.S3InputDataConfig{
			S3InputFormat: bedrock.S3InputFormat(j.InputFormat), S3URI: j.Input.URI, S3BucketOwner: j.Input.Owner}},
		OutputDataConfig: &bedrock.OutputDataConfig{S3OutputDataConfig: &bedrock.S3OutputDataConfig{
			S3URI: j.Output.URI, S3EncryptionKeyID: j.KMSKeyID, S3BucketOwner: j.Output.Owner}},
		TimeoutDurationInHours: j.TimeoutHours, ModelInvocationType: invocationType(j),
		TotalRecordCount: j.Counts.Total, ProcessedRecordCount: j.Counts.Processed,
		SuccessRecordCount: j.Counts.Succeeded, ErrorRecordCount: j.Counts.Errored,
		Batholith: a.notes(j, note, forecasts),
	}
	if j.VPC != nil {
		s.VPCConfig = &bedrock.VPCConfig{SubnetIDs: j.VPC.SubnetIDs, SecurityGroupIDs: j.VPC.SecurityGroupIDs}
	}
	return s
}
