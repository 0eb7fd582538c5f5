package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Bucket is the bucket that every embedded S3 has from the start.
const Bucket = "batholith"

// endTime bounds every wait for a job.
const endTime = 2 * time.Minute

// Job is the answer of Get.
type Job = bedrock.GetModelInvocationJobOutput

// BedrockClient is an SDK client of the server's API.
func (s *Server) BedrockClient() *bedrock.Client {
	return bedrock.New(bedrock.Options{Region: s.At.Region, BaseEndpoint: &s.At.Bedrock, HTTPClient: s.HTTP,
		Credentials: credentials.NewStaticCredentialsProvider(s.At.AccessKeyID, s.At.SecretAccessKey, "")})
}

// RuntimeClient is an SDK client of the server's runtime, which is on the same port. It does not ask again.
func (s *Server) RuntimeClient() *bedrockruntime.Client {
	return bedrockruntime.New(bedrockruntime.Options{Region: s.At.Region, BaseEndpoint: &s.At.Bedrock, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(s.At.AccessKeyID, s.At.SecretAccessKey, "")})
}

// S3Client is an SDK client of the server's S3.
func (s *Server) S3Client() *s3.Client {
	if s.s3 != nil {
		return s.s3.client()
	}
	return s3.New(s3.Options{Region: s.At.Region, BaseEndpoint: &s.At.S3, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.At.AccessKeyID, s.At.SecretAccessKey, "")})
}

// Put uploads an object to the bucket of the server's jobs: Bucket, if the S3 is embedded.
func (s *Server) Put(key string, body []byte) {
	s.t.Helper()
	_, err := s.S3Client().PutObject(s.t.Context(), &s3.PutObjectInput{Bucket: aws.String(s.bucket), Key: &key, Body: bytes.NewReader(body)})
	if err != nil {
		s.t.Fatal(err)
	}
}

// Create creates a job of the model "m" with the input s3://batholith/INPUT and the output s3://batholith/out/, and returns its ARN.
// changes are applied to the request before it is sent.
func (s *Server) Create(input string, changes ...func(*bedrock.CreateModelInvocationJobInput)) string {
	s.t.Helper()
	in := s.Request(input)
	for _, change := range changes {
		change(in)
	}
	out, err := s.BedrockClient().CreateModelInvocationJob(s.t.Context(), in)
	if err != nil {
		s.t.Fatal(err)
	}
	return *out.JobArn
}

// Request is the request that Create sends.
func (s *Server) Request(input string) *bedrock.CreateModelInvocationJobInput {
	return &bedrock.CreateModelInvocationJobInput{
		JobName: aws.String("test"), ModelId: aws.String("m"), RoleArn: aws.String("arn:aws:iam::000000000000:role/batholith"),
		InputDataConfig: &types.ModelInvocationJobInputDataConfigMemberS3InputDataConfig{
			Value: types.ModelInvocationJobS3InputDataConfig{S3Uri: aws.String("s3://" + s.bucket + "/" + input)}},
		OutputDataConfig: &types.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig{
			Value: types.ModelInvocationJobS3OutputDataConfig{S3Uri: aws.String("s3://" + s.bucket + "/out/")}},
	}
}

// Job reads a job.
func (s *Server) Job(arn string) *Job {
	s.t.Helper()
	out, err := s.BedrockClient().GetModelInvocationJob(s.t.Context(), &bedrock.GetModelInvocationJobInput{JobIdentifier: &arn})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// Told is the text of a job for its user: the message if it failed or expired, else the note.
func Told(j *Job) string {
	if m := aws.ToString(j.Message); m != "" {
		return m
	}
	answer, ok := awsmiddleware.GetRawResponse(j.ResultMetadata).(*smithyhttp.Response)
	if !ok {
		return ""
	}
	note := answer.Header.Get("X-Batholith-Note")
	if plain, err := url.PathUnescape(note); err == nil {
		return plain
	}
	return note
}

// Until reads a job until wanted accepts it, at most for endTime.
func (s *Server) Until(arn string, wanted func(*Job) bool) *Job {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), endTime)
	defer cancel()
	for {
		out := s.Job(arn)
		if wanted(out) {
			return out
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("the job is %s with %d of %d records, message %q\n%s", out.Status, aws.ToInt64(out.ProcessedRecordCount),
				aws.ToInt64(out.TotalRecordCount), Told(out), s.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// End waits for a job's end and returns the job.
func (s *Server) End(arn string) *Job {
	s.t.Helper()
	return s.Until(arn, func(j *Job) bool { return j.EndTime != nil })
}

// ID is the last part of a job's ARN.
func ID(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// Output reads an object below a job's output prefix.
func (s *Server) Output(arn, name string) []byte {
	s.t.Helper()
	key := "out/" + ID(arn) + "/" + name
	out, err := s.S3Client().GetObject(s.t.Context(), &s3.GetObjectInput{Bucket: aws.String(s.bucket), Key: &key})
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// Line is an output line.
type Line struct {
	RecordID    string
	ModelInput  json.RawMessage
	ModelOutput json.RawMessage
	Error       *struct {
		ErrorCode    int
		ErrorMessage string
	}
}

// Lines reads an output object of a job line by line.
func (s *Server) Lines(arn, name string) []Line {
	s.t.Helper()
	var lines []Line
	sc := bufio.NewScanner(bytes.NewReader(s.Output(arn, name)))
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var l Line
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			s.t.Fatalf("output line %q: %v", sc.Text(), err)
		}
		lines = append(lines, l)
	}
	return lines
}

// Manifest is the counters of a job's manifest.
type Manifest struct{ TotalRecordCount, ProcessedRecordCount, SuccessRecordCount, ErrorRecordCount int64 }

// Manifest reads a job's manifest.
func (s *Server) Manifest(arn string) (m Manifest) {
	s.t.Helper()
	if err := json.Unmarshal(s.Output(arn, "manifest.json.out"), &m); err != nil {
		s.t.Fatal(err)
	}
	return m
}

// Left lists the objects below the output prefix of all jobs.
func (s *Server) Left() (keys []string) {
	s.t.Helper()
	pages := s3.NewListObjectsV2Paginator(s.S3Client(), &s3.ListObjectsV2Input{Bucket: aws.String(s.bucket), Prefix: aws.String("out/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
	}
	return keys
}

// OutputAlone checks that there are exactly that many objects below the output prefix: a terminal job with output has no temporary objects.
func (s *Server) OutputAlone(objects int) {
	s.t.Helper()
	if left := s.Left(); len(left) != objects {
		s.t.Errorf("objects below the output: %v; want %d", left, objects)
	}
}

// CleanedUp waits until there are that many objects below the output prefix. After a job without output, and after a loss of power,
// temporary objects are deleted later.
func (s *Server) CleanedUp(objects int) {
	s.t.Helper()
	late := time.After(endTime)
	for len(s.Left()) != objects {
		select {
		case <-late:
			s.t.Fatalf("objects below the output: %v; want %d", s.Left(), objects)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Prompt is an input line with an OpenAI body whose only message is p<n>.
func Prompt(n int) string {
	return fmt.Sprintf(`{"recordId":"r%d", "modelInput":{"messages":[{"role":"user","content":"p%d"}] , "max_tokens":5}}`, n, n)
}

// Prompts are the input lines 0 to n-1.
func Prompts(n int) []byte { return PromptsFrom(0, n) }

// PromptsFrom are n input lines, from the number first on.
func PromptsFrom(first, n int) []byte {
	var b bytes.Buffer
	for i := range n {
		b.WriteString(Prompt(first+i) + "\n")
	}
	return b.Bytes()
}

// Model is the settings of a model "m" at this URL. more is appended to its backend.
func Model(url, more string) string {
	return fmt.Sprintf("models:\n- {id: m, family: openai, backends: [{url: %q%s}]}\n", url, more)
}
