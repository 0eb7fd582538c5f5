package programs_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
)

// terraform plays the resource aws_bedrock_model_invocation_job, which works through the SDK for Go: create under a token of its own and read
// back, refresh, tag, and destroy, which is a stop and a wait for Stopped alone.
func (s *site) terraform(t *testing.T) {
	c := s.BedrockClient()
	for _, model := range []string{held, profile} {
		in := s.request("terraform", model, "in/")
		in.ClientRequestToken = aws.String("terraform-20260102030405678900000001" + strings.ReplaceAll(strings.ReplaceAll(model, ".", ""), ":", ""))
		in.Tags = []types.Tag{{Key: aws.String("Name"), Value: aws.String("a job")}}
		out, err := c.CreateModelInvocationJob(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		id := aws.ToString(out.JobArn)
		job := s.Job(id)
		// A planned value that comes back as another would have the job replaced at each apply.
		if got := modelOf(aws.ToString(job.ModelId)); got != model {
			t.Errorf("the model %s is read back as %s", model, got)
		}
		if *job.JobName != *in.JobName || *job.RoleArn != role || job.VpcConfig != nil || job.JobExpirationTime == nil || job.SubmitTime == nil ||
			aws.ToInt32(job.TimeoutDurationInHours) != 24 || job.ModelInvocationType != types.ModelInvocationTypeInvokeModel ||
			job.TotalRecordCount == nil || job.ProcessedRecordCount == nil || job.SuccessRecordCount == nil || job.ErrorRecordCount == nil {
			t.Errorf("computed attributes are not known: %+v", job)
		}
		from, _ := job.InputDataConfig.(*types.ModelInvocationJobInputDataConfigMemberS3InputDataConfig)
		to, _ := job.OutputDataConfig.(*types.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig)
		if from == nil || to == nil || *from.Value.S3Uri != "s3://batholith/in/" || *to.Value.S3Uri != "s3://batholith/out/" || from.Value.S3BucketOwner != nil || to.Value.S3EncryptionKeyId != nil {
			t.Errorf("%+v, %+v", job.InputDataConfig, job.OutputDataConfig)
		}
		tags, err := c.ListTagsForResource(t.Context(), &bedrock.ListTagsForResourceInput{ResourceARN: &id})
		if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Value != "a job" {
			t.Errorf("%v, %v", tags, err)
		}
		if model == profile { // destroy leaves a job alone that is over, and finds it still
			s.End(id)
			if job := s.Job(id); job.Status != types.ModelInvocationJobStatusCompleted || job.EndTime == nil || job.Message != nil {
				t.Errorf("%+v", job)
			}
			continue
		}
		if _, err := c.StopModelInvocationJob(t.Context(), &bedrock.StopModelInvocationJobInput{JobIdentifier: &id}); err != nil {
			t.Error(err)
		}
		pending := "Submitted Validating Scheduled InProgress Stopping"
		until(t, func() bool {
			status := s.Job(id).Status
			if status != types.ModelInvocationJobStatusStopped && !strings.Contains(pending, string(status)) {
				t.Fatalf("destroy ends with an error: the job is %s", status)
			}
			return status == types.ModelInvocationJobStatusStopped
		})
	}
	none := "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/zzzzzzzzzzzz"
	_, err := c.GetModelInvocationJob(t.Context(), &bedrock.GetModelInvocationJobInput{JobIdentifier: &none})
	var missing *types.ResourceNotFoundException
	if !errors.As(err, &missing) {
		t.Errorf("a job that is gone from the server is not taken out of the state: %v", err)
	}
}

// modelOf is how the resource reads a model: of an ARN what stands behind the first slash.
func modelOf(id string) string {
	if a, err := arn.Parse(id); err == nil {
		if _, name, ok := strings.Cut(a.Resource, "/"); ok {
			return name
		}
	}
	return id
}
