package bedrock

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// echo is a service that remembers what it was asked last and answers what it is told to.
type echo struct {
	asked  any
	caller Caller
	fail   func() error
	job    JobSummary
	tags   []Tag
}

func told[I, O any](e *echo, ctx context.Context, in *I, out O) (*O, error) {
	e.asked, e.caller = *in, CallerFrom(ctx)
	if e.fail != nil {
		return nil, e.fail()
	}
	return &out, nil
}

func (e *echo) CreateModelInvocationJob(ctx context.Context, in *CreateModelInvocationJobInput) (*CreateModelInvocationJobOutput, error) {
	return told(e, ctx, in, CreateModelInvocationJobOutput{JobARN: testARN})
}

func (e *echo) CheckModelInvocationJob(ctx context.Context, in *CheckModelInvocationJobInput) (*CheckModelInvocationJobOutput, error) {
	return told(e, ctx, in, CheckModelInvocationJobOutput{})
}

func (e *echo) GetModelInvocationJob(ctx context.Context, in *GetModelInvocationJobInput) (*GetModelInvocationJobOutput, error) {
	return told(e, ctx, in, e.job)
}

func (e *echo) ListModelInvocationJobs(ctx context.Context, in *ListModelInvocationJobsInput) (*ListModelInvocationJobsOutput, error) {
	return told(e, ctx, in, ListModelInvocationJobsOutput{InvocationJobSummaries: []JobSummary{e.job}})
}

func (e *echo) StopModelInvocationJob(ctx context.Context, in *StopModelInvocationJobInput) (*StopModelInvocationJobOutput, error) {
	return told(e, ctx, in, StopModelInvocationJobOutput{})
}

func (e *echo) PauseModelInvocationJob(ctx context.Context, in *PauseModelInvocationJobInput) (*PauseModelInvocationJobOutput, error) {
	return told(e, ctx, in, PauseModelInvocationJobOutput{})
}

func (e *echo) ResumeModelInvocationJob(ctx context.Context, in *ResumeModelInvocationJobInput) (*ResumeModelInvocationJobOutput, error) {
	return told(e, ctx, in, ResumeModelInvocationJobOutput{})
}

func (e *echo) GetUsage(ctx context.Context, in *GetUsageInput) (*GetUsageOutput, error) {
	return told(e, ctx, in, GetUsageOutput{})
}

func (e *echo) ForgetModelInvocationJob(ctx context.Context, in *ForgetModelInvocationJobInput) (*ForgetModelInvocationJobOutput, error) {
	return told(e, ctx, in, ForgetModelInvocationJobOutput{})
}

func (e *echo) ForgetModelInvocationJobAndOutput(ctx context.Context, in *ForgetModelInvocationJobAndOutputInput) (*ForgetModelInvocationJobAndOutputOutput, error) {
	return told(e, ctx, in, ForgetModelInvocationJobAndOutputOutput{})
}

func (e *echo) ListBackends(ctx context.Context, in *ListBackendsInput) (*ListBackendsOutput, error) {
	return told(e, ctx, in, ListBackendsOutput{})
}

func (e *echo) DrainBackend(ctx context.Context, in *DrainBackendInput) (*DrainBackendOutput, error) {
	return told(e, ctx, in, DrainBackendOutput{})
}

func (e *echo) ResumeBackend(ctx context.Context, in *ResumeBackendInput) (*ResumeBackendOutput, error) {
	return told(e, ctx, in, ResumeBackendOutput{})
}

func (e *echo) GetKeptResults(ctx context.Context, in *GetKeptResultsInput) (*GetKeptResultsOutput, error) {
	return told(e, ctx, in, GetKeptResultsOutput{State: batholith.KeptNone})
}

func (e *echo) PublishKeptResults(ctx context.Context, in *PublishKeptResultsInput) (*PublishKeptResultsOutput, error) {
	return told(e, ctx, in, PublishKeptResultsOutput{})
}

func (e *echo) DiscardKeptResults(ctx context.Context, in *DiscardKeptResultsInput) (*DiscardKeptResultsOutput, error) {
	return told(e, ctx, in, DiscardKeptResultsOutput{})
}

func (e *echo) TagResource(ctx context.Context, in *TagResourceInput) (*TagResourceOutput, error) {
	return told(e, ctx, in, TagResourceOutput{})
}

func (e *echo) UntagResource(ctx context.Context, in *UntagResourceInput) (*UntagResourceOutput, error) {
	return told(e, ctx, in, UntagResourceOutput{})
}

func (e *echo) ListTagsForResource(ctx context.Context, in *ListTagsForResourceInput) (*ListTagsForResourceOutput, error) {
	return told(e, ctx, in, ListTagsForResourceOutput{Tags: e.tags})
}

func (e *echo) ListFoundationModels(ctx context.Context, in *ListFoundationModelsInput) (*ListFoundationModelsOutput, error) {
	return told(e, ctx, in, ListFoundationModelsOutput{})
}

func (e *echo) GetFoundationModel(ctx context.Context, in *GetFoundationModelInput) (*GetFoundationModelOutput, error) {
	return told(e, ctx, in, GetFoundationModelOutput{})
}

func (e *echo) GetFoundationModelAvailability(ctx context.Context, in *GetFoundationModelAvailabilityInput) (*GetFoundationModelAvailabilityOutput, error) {
	return told(e, ctx, in, GetFoundationModelAvailabilityOutput{})
}

func (e *echo) ListInferenceProfiles(ctx context.Context, in *ListInferenceProfilesInput) (*ListInferenceProfilesOutput, error) {
	return told(e, ctx, in, ListInferenceProfilesOutput{})
}

func (e *echo) GetInferenceProfile(ctx context.Context, in *GetInferenceProfileInput) (*GetInferenceProfileOutput, error) {
	return told(e, ctx, in, InferenceProfile{})
}

const (
	testID  = "abcdefghijkl"
	testARN = "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/" + testID
	escaped = "arn%3Aaws%3Abedrock%3Aus-east-1%3A000000000000%3Amodel-invocation-job%2F" + testID
)

// tester is a handler before an echo, and the log that it writes.
type tester struct {
	*echo
	http.Handler
	log  bytes.Buffer
	seen []Observation
}

func newTester(p Profile) *tester {
	f := &tester{echo: &echo{}}
	f.Handler = NewHandler(f.echo, Options{
		Profile: p, Limits: batholith.DefaultLimits(),
		Authenticate: func(*http.Request, []byte) (Caller, error) {
			return Caller{Account: "000000000000", Principal: "alice"}, nil
		},
		Log:     slog.New(slog.NewTextHandler(&f.log, nil)),
		Observe: func(o Observation) { f.seen = append(f.seen, o) },
	})
	return f
}

func (f *tester) send(t *testing.T, method, target, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}
