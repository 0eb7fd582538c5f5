package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/plain"
)

// jobFacts is a job as the API returns it, with the API's names in JSON. Times are nil, and counts 0, if the
// server does not tell them. Processed counts all records with an output line:
//
//	Processed = Succeeded + Errored
type jobFacts struct {
	ARN       string           `json:"jobArn"`
	Name      string           `json:"jobName"`
	Model     string           `json:"modelId"`
	Status    batholith.Status `json:"status"`
	Message   string           `json:"message,omitempty"`
	Type      string           `json:"modelInvocationType,omitempty"`
	Role      string           `json:"roleArn"`
	Input     string           `json:"inputS3Uri"`
	Output    string           `json:"outputS3Uri"`
	Submitted *time.Time       `json:"submitTime,omitempty"`
	Modified  *time.Time       `json:"lastModifiedTime,omitempty"`
	Ended     *time.Time       `json:"endTime,omitempty"`
	Expires   *time.Time       `json:"jobExpirationTime,omitempty"`
	Total     int64            `json:"totalRecordCount"`
	Processed int64            `json:"processedRecordCount"`
	Succeeded int64            `json:"successRecordCount"`
	Errored   int64            `json:"errorRecordCount"`
	Notes     *jobNotes        `json:"batholith,omitempty"`

	kmsKey string // s3EncryptionKeyId of the output
}

// id returns the job's id, the last part of its ARN.
func (j jobFacts) id() string { return j.ARN[strings.LastIndex(j.ARN, "/")+1:] }

// outputPrefix returns the s3:// URI below which all output of the job lies. It ends in a slash.
func (j jobFacts) outputPrefix() string {
	return strings.TrimSuffix(j.Output, "/") + "/" + j.id() + "/"
}

// factsOf returns the facts of a Get. factsOfSummary does the same for an entry of a List; the SDK has two types
// for them.
func factsOf(o *bedrock.GetModelInvocationJobOutput) jobFacts {
	return jobFacts{
		ARN: aws.ToString(o.JobArn), Name: aws.ToString(o.JobName), Model: aws.ToString(o.ModelId),
		Status: batholith.Status(o.Status), Message: aws.ToString(o.Message), Type: string(o.ModelInvocationType),
		Role: aws.ToString(o.RoleArn), Input: inputURI(o.InputDataConfig), Output: outputURI(o.OutputDataConfig),
		Submitted: o.SubmitTime, Modified: o.LastModifiedTime, Ended: o.EndTime, Expires: o.JobExpirationTime,
		Total: aws.ToInt64(o.TotalRecordCount), Processed: aws.ToInt64(o.ProcessedRecordCount),
		Succeeded: aws.ToInt64(o.SuccessRecordCount), Errored: aws.ToInt64(o.ErrorRecordCount),
		kmsKey: kmsKey(o.OutputDataConfig),
	}
}

// factsOfSummary returns the facts of an entry of a List.
func factsOfSummary(o types.ModelInvocationJobSummary) jobFacts {
	return jobFacts{
		ARN: aws.ToString(o.JobArn), Name: aws.ToString(o.JobName), Model: aws.ToString(o.ModelId),
		Status: batholith.Status(o.Status), Message: aws.ToString(o.Message), Type: string(o.ModelInvocationType),
		Role: aws.ToString(o.RoleArn), Input: inputURI(o.InputDataConfig), Output: outputURI(o.OutputDataConfig),
		Submitted: o.SubmitTime, Modified: o.LastModifiedTime, Ended: o.EndTime, Expires: o.JobExpirationTime,
		Total: aws.ToInt64(o.TotalRecordCount), Processed: aws.ToInt64(o.ProcessedRecordCount),
		Succeeded: aws.ToInt64(o.SuccessRecordCount), Errored: aws.ToInt64(o.ErrorRecordCount),
		kmsKey: kmsKey(o.OutputDataConfig),
	}
}

// inputURI returns the s3:// URI of the input, or "" if the union has a member that this program does not know.
func inputURI(c types.ModelInvocationJobInputDataConfig) string {
	if s, ok := c.(*types.ModelInvocationJobInputDataConfigMemberS3InputDataConfig); ok {
		return aws.ToString(s.Value.S3Uri)
	}
	return ""
}

// outputURI returns the s3:// URI of the output, or "".
func outputURI(c types.ModelInvocationJobOutputDataConfig) string {
	if s, ok := c.(*types.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig); ok {
		return aws.ToString(s.Value.S3Uri)
	}
	return ""
}

// kmsKey returns the key that the output is encrypted with, or "" for the bucket's default.
func kmsKey(c types.ModelInvocationJobOutputDataConfig) string {
	if s, ok := c.(*types.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig); ok {
		return aws.ToString(s.Value.S3EncryptionKeyId)
	}
	return ""
}

// fetch returns one job by its id or ARN, with its notes. With the SDK's retries it takes at most requestTimeout.
// The error has the server's message without the SDK's wrapping; errors.As still finds the SDK's types.
func (c *clients) fetch(ctx context.Context, idOrARN string) (jobFacts, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var n noted
	o, err := c.bedrock.GetModelInvocationJob(ctx, &bedrock.GetModelInvocationJobInput{JobIdentifier: &idOrARN}, readNotes(&n))
	if err != nil {
		return jobFacts{}, fmt.Errorf("get the job: %w", plainly(err))
	}
	j := factsOf(o)
	j.Notes = n.Notes
	return j, nil
}

// find returns the job that the user means by an id, an ARN, or a name that only one job has. If several jobs have
// the name, the error lists up to five ids. A name that has the form of an id is looked up as an id first.
func (c *clients) find(ctx context.Context, word string) (jobFacts, error) {
	if strings.HasPrefix(word, "arn:") || batholith.ValidJobID(word) {
		j, err := c.fetch(ctx, word)
		var none *types.ResourceNotFoundException
		if err == nil || strings.HasPrefix(word, "arn:") || !errors.As(err, &none) {
			return j, err
		}
	}
	var same []jobFacts
	for j, err := range c.list(ctx, &bedrock.ListModelInvocationJobsInput{NameContains: &word}) {
		if err != nil {
			return jobFacts{}, err
		}
		if j.Name == word {
			same = append(same, j)
		}
	}
	switch len(same) {
	case 0:
		return jobFacts{}, hint(fmt.Errorf("no job has the id, ARN or name %q", word), "list the jobs with: batholith jobs")
	case 1:
		return same[0], nil
	}
	var ids []string
	for _, j := range same[:min(len(same), 5)] {
		ids = append(ids, plain.Sprintf("%s (%s)", j.id(), j.Status))
	}
	return jobFacts{}, hint(fmt.Errorf("%d jobs are named %q", len(same), word), "say which by its id: %s", strings.Join(ids, ", "))
}

// connectTo returns the clients of a server and the job that word names there.
func (a *app) connectTo(ctx context.Context, t target, word string) (*clients, jobFacts, error) {
	c, err := a.connect(ctx, t)
	if err != nil {
		return nil, jobFacts{}, err
	}
	j, err := c.find(ctx, word)
	return c, j, err
}

// list returns an iterator over jobs, newest first, which requests one page at a time as they are needed. Each job
// has its notes. It yields an error once and then ends. Jobs that are created meanwhile may be missing.
func (c *clients) list(ctx context.Context, in *bedrock.ListModelInvocationJobsInput) func(yield func(jobFacts, error) bool) {
	return func(yield func(jobFacts, error) bool) {
		pages := bedrock.NewListModelInvocationJobsPaginator(c.bedrock, in)
		for pages.HasMorePages() {
			var n noted
			page, err := pages.NextPage(ctx, readNotes(&n))
			if err != nil {
				yield(jobFacts{}, fmt.Errorf("list the jobs: %w", plainly(err)))
				return
			}
			for _, s := range page.InvocationJobSummaries {
				j := factsOfSummary(s)
				j.Notes = n.of(j.ARN)
				if !yield(j, nil) {
					return
				}
			}
		}
	}
}
