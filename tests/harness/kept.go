package harness

import (
	"fmt"
	"os/exec"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Inbox is the bucket with the input of NarrowRole's jobs.
const Inbox = "inbox"

// NarrowRole is a role that settings can exclude from the output bucket.
const NarrowRole = "arn:aws:iam::000000000000:role/narrow"

// Allowed are settings in which NarrowRole may use only these buckets.
func Allowed(buckets ...string) string {
	return fmt.Sprintf("roles:\n  - {arn: %q, buckets: [%s]}\n", NarrowRole, strings.Join(buckets, ", "))
}

// AsNarrowRole changes a request: its job reads Inbox and writes Bucket, as NarrowRole.
func AsNarrowRole(in *bedrock.CreateModelInvocationJobInput) {
	in.RoleArn = aws.String(NarrowRole)
	at := in.InputDataConfig.(*types.ModelInvocationJobInputDataConfigMemberS3InputDataConfig)
	at.Value.S3Uri = aws.String(strings.Replace(*at.Value.S3Uri, Bucket, Inbox, 1))
}

// PutInbox uploads an object to Inbox, and makes the bucket if needed.
func (s *Server) PutInbox(key string, body []byte) {
	s.t.Helper()
	_, err := s.S3Client().CreateBucket(s.t.Context(), &s3.CreateBucketInput{Bucket: aws.String(Inbox)})
	if err != nil && !strings.Contains(err.Error(), "BucketAlreadyOwnedByYou") {
		s.t.Fatal(err)
	}
	_, err = s.S3Client().PutObject(s.t.Context(), &s3.PutObjectInput{Bucket: aws.String(Inbox), Key: &key, Body: strings.NewReader(string(body))})
	if err != nil {
		s.t.Fatal(err)
	}
}

// KeptResults waits for a job's end, which must be Failed with kept results, and returns the job.
func (s *Server) KeptResults(arn string) *Job {
	s.t.Helper()
	j := s.End(arn)
	if j.Status != types.ModelInvocationJobStatusFailed || !strings.Contains(aws.ToString(j.Message), "finished records are kept") {
		s.t.Fatalf("the job ended %s: %s", j.Status, aws.ToString(j.Message))
	}
	return j
}

// PublishKept runs batholith publish for a job, and returns its output.
func (s *Server) PublishKept(arn string) (said string, err error) {
	out, err := exec.Command(Binary(s.t), "publish", ID(arn), "--data", s.Data).CombinedOutput()
	return string(out), err
}

// PublishedKept waits until the kept results of a job are published, and returns the job.
func (s *Server) PublishedKept(arn string) *Job {
	s.t.Helper()
	return s.Until(arn, func(j *Job) bool { return strings.Contains(aws.ToString(j.Message), "were published afterwards") })
}
