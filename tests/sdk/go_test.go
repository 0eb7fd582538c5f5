package sdk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/auth/bearer"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// story is the SDK for Go against one server.
type story struct {
	*testing.T
	ctx     context.Context
	bedrock *bedrock.Client
	s3      *s3.Client
	server  server
}

func tell(t *testing.T, profile string) *story {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	s := &story{T: t, ctx: ctx, server: serve(t, profile)}
	s.bedrock = s.client(keyID, secret)
	s.s3 = s3.New(s3.Options{Region: region, BaseEndpoint: &s.server.S3, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, "")})
	for _, bucket := range []string{"in-bucket", "out-bucket"} {
		_, err := s.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket})
		s.ok(err)
	}
	var lines strings.Builder
	for i := range 100 { // the least that the profile aws takes
		fmt.Fprintf(&lines, `{"recordId":"R%04d","modelInput":{"anthropic_version":"bedrock-2023-05-31","max_tokens":16,"messages":[{"role":"user","content":"%d?"}]}}`+"\n", i, i)
	}
	_, err := s.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("in-bucket"), Key: aws.String("day/in.jsonl"),
		Body: bytes.NewReader([]byte(lines.String()))})
	s.ok(err)
	return s
}

func (s *story) client(key, secret string) *bedrock.Client {
	return bedrock.New(bedrock.Options{Region: region, BaseEndpoint: &s.server.Bedrock,
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, "")})
}

func (s *story) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *story) job(name, model string) *bedrock.CreateModelInvocationJobInput {
	return &bedrock.CreateModelInvocationJobInput{
		JobName: &name, ModelId: &model, RoleArn: aws.String(role),
		InputDataConfig: &types.ModelInvocationJobInputDataConfigMemberS3InputDataConfig{
			Value: types.ModelInvocationJobS3InputDataConfig{S3Uri: aws.String("s3://in-bucket/day/")}},
		OutputDataConfig: &types.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig{
			Value: types.ModelInvocationJobS3OutputDataConfig{S3Uri: aws.String("s3://out-bucket/results")}},
	}
}

func (s *story) create(in *bedrock.CreateModelInvocationJobInput) string {
	s.Helper()
	out, err := s.bedrock.CreateModelInvocationJob(s.ctx, in)
	s.ok(err)
	return *out.JobArn
}

func (s *story) get(id string) *bedrock.GetModelInvocationJobOutput {
	s.Helper()
	out, err := s.bedrock.GetModelInvocationJob(s.ctx, &bedrock.GetModelInvocationJobInput{JobIdentifier: &id})
	s.ok(err)
	return out
}

// note is the header in which Get repeats the member batholith.note, which the SDK drops.
func note(j *bedrock.GetModelInvocationJobOutput) string {
	if r, ok := middleware.GetRawResponse(j.ResultMetadata).(*smithyhttp.Response); ok {
		return r.Header.Get("X-Batholith-Note")
	}
	return ""
}

// until asks again and again, since there is no waiter in the SDKs and no other way to hear of a job's end.
func (s *story) until(arn string, want types.ModelInvocationJobStatus) *bedrock.GetModelInvocationJobOutput {
	s.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		job := s.get(arn)
		if job.Status == want {
			return job
		}
		select {
		case <-again.C:
		case <-s.ctx.Done():
			s.Fatalf("the job is %s and not %s: %s", job.Status, want, aws.ToString(job.Message))
		}
	}
}

// refused demands a typed error of the SDK.
func refused[E error](s *story, err error, says string) {
	s.Helper()
	var want E
	if !errors.As(err, &want) || !strings.Contains(err.Error(), says) {
		s.Errorf("got %v, want a %T: %s", err, want, says)
	}
}

// code demands an error that the SDK has no type for.
func (s *story) code(err error, want string) {
	s.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != want {
		s.Errorf("got %v, want %s", err, want)
	}
}

func TestGoFromCreateToOutput(t *testing.T) {
	for _, profile := range []string{"default", "aws"} {
		t.Run(profile, func(t *testing.T) {
			s := tell(t, profile)
			in := s.job("whole-story", "us."+quick)
			in.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}}
			arn := s.create(in)
			job := s.until(arn, types.ModelInvocationJobStatusCompleted)
			if n := aws.ToInt64(job.TotalRecordCount); n != 100 || *job.SuccessRecordCount != n || *job.ProcessedRecordCount != n || *job.ErrorRecordCount != 0 {
				t.Errorf("%d records, %d processed, %d succeeded, %d failed", n, *job.ProcessedRecordCount, *job.SuccessRecordCount, *job.ErrorRecordCount)
			}
			if job.Message != nil || note(job) != "Every record was processed." {
				t.Errorf("message %q, note %q", aws.ToString(job.Message), note(job))
			}
			if *job.ModelId != "us."+quick || *job.TimeoutDurationInHours != 24 || job.JobExpirationTime.Sub(*job.SubmitTime) != 24*time.Hour ||
				job.EndTime.Before(*job.SubmitTime) || job.ModelInvocationType != types.ModelInvocationTypeInvokeModel || job.VpcConfig != nil {
				t.Errorf("%+v", job)
			}
			id := arn[strings.LastIndexByte(arn, '/')+1:]
			lines := strings.Split(strings.TrimSuffix(s.object("results/"+id+"/in.jsonl.out"), "\n"), "\n")
			if len(lines) != 100 || !strings.HasPrefix(lines[7], `{"recordId":"R0007","modelInput":{`) || !strings.Contains(lines[7], "Good day.") {
				t.Errorf("%d lines, such as %s", len(lines), lines[len(lines)/2])
			}
			if m := s.object("results/" + id + "/manifest.json.out"); !strings.Contains(m, `"totalRecordCount":100`) && !strings.Contains(m, `"totalRecordCount": 100`) {
				t.Error(m)
			}
		})
	}
}

func (s *story) object(key string) string {
	s.Helper()
	out, err := s.s3.GetObject(s.ctx, &s3.GetObjectInput{Bucket: aws.String("out-bucket"), Key: &key})
	if err != nil {
		s.Fatalf("get %s: %v", key, err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	s.ok(err)
	return string(b)
}

func TestGoTokensNamesAndQuotas(t *testing.T) {
	s := tell(t, "default")
	in := s.job("held", held)
	in.ClientRequestToken = aws.String("token-1")
	arn := s.create(in)
	if again := s.create(in); again != arn {
		t.Errorf("the same token made %s beside %s", again, arn)
	}
	in.JobName = aws.String("other")
	_, err := s.bedrock.CreateModelInvocationJob(s.ctx, in)
	refused[*types.ConflictException](s, err, "token")
	_, err = s.bedrock.CreateModelInvocationJob(s.ctx, s.job("held", held))
	refused[*types.ConflictException](s, err, "The provided job name is currently in use.")
	id := arn[strings.LastIndexByte(arn, '/')+1:]
	if a, b := s.get(arn), s.get(id); *a.JobArn != arn || *b.JobArn != arn || *a.ClientRequestToken != "token-1" || *a.ModelId != foundation+held {
		t.Errorf("%v, %v", a, b)
	}
	_, err = s.bedrock.StopModelInvocationJob(s.ctx, &bedrock.StopModelInvocationJobInput{JobIdentifier: &arn})
	s.ok(err)
	s.until(arn, types.ModelInvocationJobStatusStopped)
	_, err = s.bedrock.StopModelInvocationJob(s.ctx, &bedrock.StopModelInvocationJobInput{JobIdentifier: &id})
	refused[*types.ValidationException](s, err, "State was: Stopped")
	if next := s.create(s.job("held", held)); next == arn {
		t.Error("a job that has ended still holds its name")
	}
}

// An answer that is lost makes the SDK send the request again, under the token that it made up for the first one.
func TestGoRetriesMakeOneJob(t *testing.T) {
	s := tell(t, "default")
	to, err := url.Parse(s.server.Bedrock)
	s.ok(err)
	lost := 0
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host }, // the host is signed
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method == http.MethodPost && lost < 2 {
				lost++
				return errors.New("lost") // 502 to the client, after the server has done its work
			}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0),
	})
	t.Cleanup(proxy.Close)
	direct := s.bedrock
	s.bedrock = bedrock.New(bedrock.Options{Region: region, BaseEndpoint: &proxy.URL, RetryMaxAttempts: 5,
		Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, "")})
	arn := s.create(s.job("retried", held))
	s.bedrock = direct
	out, err := direct.ListModelInvocationJobs(s.ctx, &bedrock.ListModelInvocationJobsInput{})
	s.ok(err)
	if n := len(out.InvocationJobSummaries); n != 1 || *out.InvocationJobSummaries[0].JobArn != arn || lost != 2 {
		t.Errorf("%d jobs after %d lost answers", n, lost)
	}
}

func TestGoListsInPages(t *testing.T) {
	s := tell(t, "default")
	for i := range 7 {
		s.create(s.job(fmt.Sprintf("job-%d", i), held))
	}
	one := s.get(s.create(s.job("odd.one", held)))
	names := func(in *bedrock.ListModelInvocationJobsInput) (all []string) {
		for pages := bedrock.NewListModelInvocationJobsPaginator(s.bedrock, in); pages.HasMorePages(); {
			page, err := pages.NextPage(s.ctx)
			s.ok(err)
			for _, j := range page.InvocationJobSummaries {
				all = append(all, *j.JobName)
			}
		}
		return all
	}
	for what, c := range map[string]struct {
		in   bedrock.ListModelInvocationJobsInput
		want string
	}{
		"newest first": {bedrock.ListModelInvocationJobsInput{MaxResults: aws.Int32(3)}, "odd.one job-6 job-5 job-4 job-3 job-2 job-1 job-0"},
		"oldest first": {bedrock.ListModelInvocationJobsInput{MaxResults: aws.Int32(2), SortOrder: types.SortOrderAscending, NameContains: aws.String("job-")},
			"job-0 job-1 job-2 job-3 job-4 job-5 job-6"},
		"before": {bedrock.ListModelInvocationJobsInput{SubmitTimeBefore: one.SubmitTime, SubmitTimeAfter: one.SubmitTime}, ""},
		"status": {bedrock.ListModelInvocationJobsInput{StatusEquals: types.ModelInvocationJobStatusFailed}, ""},
	} {
		if got := strings.Join(names(&c.in), " "); got != c.want {
			t.Errorf("%s: %s", what, got)
		}
	}
	_, err := s.bedrock.ListModelInvocationJobs(s.ctx, &bedrock.ListModelInvocationJobsInput{NextToken: aws.String("abc")})
	refused[*types.ValidationException](s, err, "nextToken")
}

func TestGoTags(t *testing.T) {
	s := tell(t, "aws")
	in := s.job("tagged", held)
	in.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}, {Key: aws.String("empty"), Value: aws.String("")}}
	arn := s.create(in)
	_, err := s.bedrock.TagResource(s.ctx, &bedrock.TagResourceInput{ResourceARN: &arn, Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("b")}}})
	s.ok(err)
	_, err = s.bedrock.UntagResource(s.ctx, &bedrock.UntagResourceInput{ResourceARN: &arn, TagKeys: []string{"empty"}})
	s.ok(err)
	out, err := s.bedrock.ListTagsForResource(s.ctx, &bedrock.ListTagsForResourceInput{ResourceARN: &arn})
	s.ok(err)
	if len(out.Tags) != 1 || *out.Tags[0].Key != "team" || *out.Tags[0].Value != "b" {
		t.Errorf("%v", out.Tags)
	}
	var many []types.Tag
	for i := range 50 {
		many = append(many, types.Tag{Key: aws.String(fmt.Sprint(i)), Value: aws.String("")})
	}
	_, err = s.bedrock.TagResource(s.ctx, &bedrock.TagResourceInput{ResourceARN: &arn, Tags: many})
	var e *types.TooManyTagsException
	if !errors.As(err, &e) || aws.ToString(e.ResourceName) != arn {
		t.Errorf("%v", err)
	}
}

func TestGoErrorsAreTyped(t *testing.T) {
	s := tell(t, "aws")
	create := func(change func(*bedrock.CreateModelInvocationJobInput)) error {
		in := s.job("job", quick)
		change(in)
		_, err := s.bedrock.CreateModelInvocationJob(s.ctx, in)
		return err
	}
	refused[*types.ValidationException](s, create(func(in *bedrock.CreateModelInvocationJobInput) {
		in.JobName, in.TimeoutDurationInHours = aws.String("a b"), aws.Int32(1)
	}), "2 validation errors detected: Value 'a b' at 'jobName' failed to satisfy constraint: Member must satisfy regular expression pattern: ")
	refused[*types.ValidationException](s, create(func(in *bedrock.CreateModelInvocationJobInput) { in.ModelId = aws.String("amazon.nova-none-v1:0") }),
		"Batch inference is not supported for the requested model.")
	refused[*types.AccessDeniedException](s, create(func(in *bedrock.CreateModelInvocationJobInput) {
		in.RoleArn = aws.String("arn:aws:iam::000000000000:role/x")
	}), "iam:PassRole")
	refused[*types.ValidationException](s, create(func(in *bedrock.CreateModelInvocationJobInput) {
		in.VpcConfig = &types.VpcConfig{SubnetIds: []string{"subnet-9"}, SecurityGroupIds: []string{"sg-9"}}
	}), "subnet-9")
	unknown := aws.String("zzzzzzzzzzzz")
	_, err := s.bedrock.GetModelInvocationJob(s.ctx, &bedrock.GetModelInvocationJobInput{JobIdentifier: unknown})
	refused[*types.ResourceNotFoundException](s, err, "zzzzzzzzzzzz")
	_, err = s.bedrock.StopModelInvocationJob(s.ctx, &bedrock.StopModelInvocationJobInput{JobIdentifier: unknown})
	refused[*types.ResourceNotFoundException](s, err, "zzzzzzzzzzzz")
	_, err = s.bedrock.GetModelInvocationJob(s.ctx, &bedrock.GetModelInvocationJobInput{JobIdentifier: aws.String("my-job")})
	refused[*types.ValidationException](s, err, "jobIdentifier")
}

func TestGoCallersAreToldApart(t *testing.T) {
	s := tell(t, "default")
	arn := s.create(s.job("mine", held))
	list := func(c *bedrock.Client) (int, error) {
		out, err := c.ListModelInvocationJobs(s.ctx, &bedrock.ListModelInvocationJobsInput{})
		if err != nil {
			return 0, err
		}
		return len(out.InvocationJobSummaries), nil
	}
	if n, err := list(s.client("AKOTHER", "othersecret")); n != 0 || err != nil {
		t.Errorf("another account sees %d jobs: %v", n, err)
	}
	_, err := s.client("AKOTHER", "othersecret").GetModelInvocationJob(s.ctx, &bedrock.GetModelInvocationJobInput{JobIdentifier: &arn})
	refused[*types.ResourceNotFoundException](s, err, "")
	_, err = list(s.client(keyID, "wrong"))
	s.code(err, "InvalidSignatureException")
	_, err = list(s.client("AKNOBODY", secret))
	s.code(err, "UnrecognizedClientException")
	secure := s.behindTLS()
	withKey := func(key string) *bedrock.Client {
		return bedrock.New(bedrock.Options{Region: region, BaseEndpoint: &secure.URL, HTTPClient: secure.Client(),
			AuthSchemePreference:    []string{"httpBearerAuth"},
			BearerAuthTokenProvider: bearer.StaticTokenProvider{Token: bearer.Token{Value: key}}})
	}
	if n, err := list(withKey(apiKey)); n != 1 || err != nil {
		t.Errorf("with an API key: %d jobs, %v", n, err)
	}
	_, err = list(withKey("another"))
	s.code(err, "UnrecognizedClientException")
}

// behindTLS puts a proxy before the server, as in production: the SDK for Go sends a bearer key over TLS only.
func (s *story) behindTLS() *httptest.Server {
	to, err := url.Parse(s.server.Bedrock)
	s.ok(err)
	proxy := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }})
	s.Cleanup(proxy.Close)
	return proxy
}

func TestGoSeesTheCatalogue(t *testing.T) {
	s := tell(t, "aws")
	models, err := s.bedrock.ListFoundationModels(s.ctx, &bedrock.ListFoundationModelsInput{ByProvider: aws.String("anthropic")})
	s.ok(err)
	if len(models.ModelSummaries) != 2 {
		t.Errorf("%d models", len(models.ModelSummaries))
	}
	model, err := s.bedrock.GetFoundationModel(s.ctx, &bedrock.GetFoundationModelInput{ModelIdentifier: aws.String("arn:aws:bedrock:us-east-1::foundation-model/" + quick)})
	s.ok(err)
	if *model.ModelDetails.ModelId != quick || *model.ModelDetails.ProviderName != "Anthropic" {
		t.Errorf("%+v", model.ModelDetails)
	}
	profile, err := s.bedrock.GetInferenceProfile(s.ctx, &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: aws.String("us." + quick)})
	s.ok(err)
	if *profile.Models[0].ModelArn != "arn:aws:bedrock:us-east-1::foundation-model/"+quick {
		t.Errorf("%+v", profile)
	}
	_, err = s.bedrock.GetFoundationModel(s.ctx, &bedrock.GetFoundationModelInput{ModelIdentifier: aws.String("a.b-c")})
	refused[*types.ResourceNotFoundException](s, err, "a.b-c")
}

// The runtime client of JavaScript speaks HTTP/2 to http:// at once, without asking first.
func TestHTTP2IsTakenWithoutTLS(t *testing.T) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	s := tell(t, "default")
	out, err := (&http.Client{Transport: transport}).Get(s.server.Bedrock + "/model-invocation-jobs")
	s.ok(err)
	defer out.Body.Close()
	if out.ProtoMajor != 2 || out.Header.Get("x-amzn-ErrorType") != "MissingAuthenticationTokenException" {
		t.Errorf("%s %s: %v", out.Proto, out.Status, out.Header)
	}
}
