package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/plain"
)

// GetModelInvocationJob tells of a job as it is committed at this moment, counters included.
func (a *API) GetModelInvocationJob(ctx context.Context, in *bedrock.GetModelInvocationJobInput) (*bedrock.GetModelInvocationJobOutput, error) {
	account, id, err := a.job(ctx, in.JobIdentifier)
	if err != nil {
		return nil, err
	}
	j, err := a.Store.Job(ctx, account, id)
	if err != nil {
		return nil, refuse("get job", in.JobIdentifier, err)
	}
	out := a.summary(j)
	return &out, nil
}

// StopModelInvocationJob asks for a job's end. Asking again while it is Stopping is no error. A job that is over, or whose end is decided,
// is refused with its status in the last word (Bedrock: clients match "State was: Completed").
func (a *API) StopModelInvocationJob(ctx context.Context, in *bedrock.StopModelInvocationJobInput) (*bedrock.StopModelInvocationJobOutput, error) {
	account, id, err := a.job(ctx, in.JobIdentifier)
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

// job finds out which job of the caller's an identifier means: an id or an ARN, never a name. An ARN of another region or
// account names nothing here.
func (a *API) job(ctx context.Context, identifier string) (account, id string, err error) {
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

func noJob(identifier string) error {
	return bedrock.NotFound("The model invocation job %s was not found.", identifier)
}

// refuse says what the store said of a job, or passes on a fault.
func refuse(verb, identifier string, err error) error {
	if errors.Is(err, batholith.ErrNotFound) {
		return noJob(identifier)
	}
	return fmt.Errorf("%s %s: %w", verb, identifier, err)
}

// notes are what is told of a job beside Bedrock's members; nil when there is nothing to tell. Where there is no other note, it is the
// forecast in words.
func (a *API) notes(j batholith.Job, note string) *bedrock.JobNotes {
	var n bedrock.JobNotes
	if f, ok := a.forecast(j); ok {
		n.QueuePosition, n.ExpectedStart, n.ExpectedEnd = int64(max(f.Position, 0)), stamp(f.Begin), stamp(f.End)
		note = cmp.Or(note, f.String())
	}
	n.Note = batholith.CutMessage(plain.Line(note))
	if n == (bedrock.JobNotes{}) {
		return nil
	}
	return &n
}

// forecast is when the job is expected to begin and end, as far as this process knows.
func (a *API) forecast(j batholith.Job) (batholith.Forecast, bool) {
	if a.Forecaster == nil || j.Status != batholith.StatusScheduled && j.Status != batholith.StatusInProgress {
		return batholith.Forecast{}, false
	}
	return a.Forecaster.Forecast(j.ID)
}

// modelName is how a job's model is answered. Bedrock answers the ARN of a foundation model whose id was sent. The ids of inference profiles,
// ARNs, and names that fit no ARN are answered as they were sent.
func (a *API) modelName(sent string) string {
	if _, geographic := dialect.CutGeography(sent); geographic {
		return sent
	}
	if arn := a.foundationModel(sent); bedrock.IsModelID(arn) {
		return arn
	}
	return sent
}

// summary is a job in Bedrock's words.
func (a *API) summary(j batholith.Job) bedrock.JobSummary {
	message, note := j.Told()
	s := bedrock.JobSummary{
		JobARN: j.ARN().String(), JobName: j.Name, ModelID: a.modelName(j.ModelID), ClientRequestToken: j.Token, RoleARN: j.RoleARN,
		Status: j.Status, Message: batholith.CutMessage(plain.Line(message)),
		SubmitTime: stamp(j.Submitted), LastModifiedTime: stamp(j.Modified), EndTime: stamp(j.Ended), JobExpirationTime: stamp(j.Expires),
		InputDataConfig: &bedrock.InputDataConfig{S3InputDataConfig: &bedrock.S3InputDataConfig{
			S3InputFormat: bedrock.S3InputFormat(j.InputFormat), S3URI: j.Input.URI, S3BucketOwner: j.Input.Owner}},
		OutputDataConfig: &bedrock.OutputDataConfig{S3OutputDataConfig: &bedrock.S3OutputDataConfig{
			S3URI: j.Output.URI, S3EncryptionKeyID: j.KMSKeyID, S3BucketOwner: j.Output.Owner}},
		TimeoutDurationInHours: j.TimeoutHours, ModelInvocationType: j.Type,
		TotalRecordCount: j.Counts.Total, ProcessedRecordCount: j.Counts.Processed,
		SuccessRecordCount: j.Counts.Succeeded, ErrorRecordCount: j.Counts.Errored,
		Batholith: a.notes(j, note),
	}
	if j.VPC != nil {
		s.VPCConfig = &bedrock.VPCConfig{SubnetIDs: j.VPC.SubnetIDs, SecurityGroupIDs: j.VPC.SecurityGroupIDs}
	}
	return s
}
