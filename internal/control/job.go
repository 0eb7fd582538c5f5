package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
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

// StopModelInvocationJob asks for a job's end. Asking again while it is Stopping is no error (our choice: Bedrock does not say).
func (a *API) StopModelInvocationJob(ctx context.Context, in *bedrock.StopModelInvocationJobInput) (*bedrock.StopModelInvocationJobOutput, error) {
	account, id, err := a.job(ctx, in.JobIdentifier)
	if err != nil {
		return nil, err
	}
	err = a.Stopper.Stop(ctx, account, id)
	var over *batholith.MoveError
	if errors.As(err, &over) {
		return nil, bedrock.Conflict("The job has ended as %s and cannot be stopped.", over.Status)
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

// told is the message that a client sees: why the job ended, or before that what is known of it. Bedrock has no member for a note.
func (a *API) told(j batholith.Job) string {
	switch {
	case j.Message != "" || j.Status.Terminal():
		return j.Message
	case j.Note != "":
		return j.Note
	case j.Failing != "":
		return batholith.CutMessage("The job is ending as Failed: " + j.Failing)
	}
	return a.expected(j)
}

// expected is what a job's message says while there is nothing else to say: its place in the queue, and when it will end.
func (a *API) expected(j batholith.Job) string {
	if a.Forecaster == nil || j.Status != batholith.StatusScheduled && j.Status != batholith.StatusInProgress {
		return ""
	}
	f, ok := a.Forecaster.Forecast(j.ID)
	if !ok {
		return ""
	}
	said := ""
	if f.Position > 0 {
		said = fmt.Sprintf("Number %d of the jobs that wait for this model.", f.Position)
	}
	for _, at := range []struct {
		what string
		when time.Time
	}{{"begin", f.Begin}, {"end", f.End}} {
		if !at.when.IsZero() {
			said += fmt.Sprintf(" Expected to %s about %s.", at.what, at.when.UTC().Format(time.RFC3339))
		}
	}
	if f.Late {
		said += " That is after its time is over; what is done by then is kept."
	}
	return strings.TrimSpace(said)
}

// summary is a job in Bedrock's words. The model is named as the client named it.
func (a *API) summary(j batholith.Job) bedrock.JobSummary {
	s := bedrock.JobSummary{
		JobARN: j.ARN().String(), JobName: j.Name, ModelID: j.ModelID, ClientRequestToken: j.Token, RoleARN: j.RoleARN,
		Status: j.Status, Message: batholith.CutMessage(plain.Line(a.told(j))),
		SubmitTime: stamp(j.Submitted), LastModifiedTime: stamp(j.Modified), EndTime: stamp(j.Ended), JobExpirationTime: stamp(j.Expires),
		InputDataConfig: &bedrock.InputDataConfig{S3InputDataConfig: &bedrock.S3InputDataConfig{
			S3InputFormat: bedrock.S3InputFormat(j.InputFormat), S3URI: j.Input.URI, S3BucketOwner: j.Input.Owner}},
		OutputDataConfig: &bedrock.OutputDataConfig{S3OutputDataConfig: &bedrock.S3OutputDataConfig{
			S3URI: j.Output.URI, S3EncryptionKeyID: j.KMSKeyID, S3BucketOwner: j.Output.Owner}},
		TimeoutDurationInHours: j.TimeoutHours, ModelInvocationType: j.Type,
		TotalRecordCount: j.Counts.Total, ProcessedRecordCount: j.Counts.Processed,
		SuccessRecordCount: j.Counts.Succeeded, ErrorRecordCount: j.Counts.Errored,
	}
	if j.VPC != nil {
		s.VPCConfig = &bedrock.VPCConfig{SubnetIDs: j.VPC.SubnetIDs, SecurityGroupIDs: j.VPC.SecurityGroupIDs}
	}
	return s
}
