package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/object"
)

const (
	// jobsLooked is how many jobs are looked at, the newest first.
	jobsLooked = 200
	// atRest is how long a job must have been over before what it left is a leftover: it clears up after itself.
	atRest = 2 * time.Minute
	// stuck is how long a job may stand still before it is worth a word.
	stuck = 2 * time.Minute
)

// jobs looks at the server's jobs: which do not move, and what those that are over left behind.
func (d *doctor) jobs(ctx context.Context, c *config.Config) {
	clients, err := d.connect(ctx, c)
	if err != nil {
		d.find(finding{problem, "jobs", "the jobs cannot be listed", err.Error(), remedy(err)})
		return
	}
	over, seen := map[string][]jobFacts{}, 0 // by output bucket
	for j, err := range clients.list(ctx, &bedrock.ListModelInvocationJobsInput{MaxResults: aws.Int32(jobsLooked)}) {
		if err != nil {
			d.find(finding{problem, "jobs", "the jobs cannot be listed", err.Error(), remedy(err)})
			return
		}
		if seen++; seen > jobsLooked {
			break
		}
		d.recent = append(d.recent, j)
		if !j.Status.Terminal() {
			d.standing(j)
		} else if d.keeps(ctx, clients, j) {
			continue // what lies below .batholith/ are its results
		} else if bucket, _, err := object.ParseURI(j.outputPrefix()); err == nil && j.Ended != nil && d.now().Sub(*j.Ended) > atRest {
			over[bucket] = append(over[bucket], j)
		}
	}
	if !c.EmbeddedS3() {
		clients.s3 = externalS3(c) // the callers' keys are not its
	}
	if clients.s3 == nil {
		return
	}
	before := len(d.findings)
	for bucket, jobs := range over {
		if err := d.leftovers(ctx, clients.s3, bucket, jobs); err != nil {
			d.find(finding{problem, "objects", "the bucket " + bucket + " cannot be looked at", plainly(err).Error(), remedy(err)})
		}
	}
	if len(d.findings) == before && len(over) > 0 {
		d.find(finding{Severity: sound, Check: "objects", What: "the jobs that are over left nothing behind"})
	}
}

// keeps notes a job that Failed and whose results are kept. Where the server cannot be asked, they are taken for kept: --fix must not
// delete what nobody else has.
func (d *doctor) keeps(ctx context.Context, clients *clients, j jobFacts) bool {
	if j.Status != batholith.StatusFailed {
		return false
	}
	k, err := clients.kept(ctx, j.ARN)
	if err != nil {
		d.find(finding{problem, "jobs", "whether results of job " + j.id() + " are kept is not known", plainly(err).Error(), remedy(err)})
		return true
	}
	if k.State == batholith.KeptNone {
		return false
	}
	f := finding{note, "jobs", fmt.Sprintf("job %s is Failed, and the %s of it are kept", j.id(), plural(k.Records, "finished record")), k.Reason,
		fmt.Sprintf("batholith publish %s, or to delete them: batholith publish %s --discard", j.id(), j.id())}
	if f.Why == "" {
		f.Why = j.Message
	}
	d.find(f)
	return true
}

// externalS3 reaches the S3 of the settings with their keys; nil if there are none.
func externalS3(c *config.Config) *s3.Client {
	api, err := object.New(reachS3(c, c.S3.Endpoint))
	if err != nil {
		return nil
	}
	return api.API()
}

// connect reaches the server that d.server found.
func (d *doctor) connect(ctx context.Context, c *config.Config) (*clients, error) {
	if d.app.getenv("AWS_ENDPOINT_URL_BEDROCK") != "" && c.Origin("data").Source == "default" {
		return d.app.connect(ctx, target{})
	}
	return connectServer(c)
}

// standing notes a job that does not move, with what the server says of it.
func (d *doctor) standing(j jobFacts) {
	if j.Modified == nil || d.now().Sub(*j.Modified) < stuck {
		return
	}
	f := finding{note, "jobs", fmt.Sprintf("job %s is %s and has not moved for %s", j.id(), j.Status, shortSpan(d.now().Sub(*j.Modified))), j.Message,
		"see it with: batholith get " + shellQuote(j.id())}
	if f.Why == "" {
		switch j.Status {
		case batholith.StatusSubmitted, batholith.StatusScheduled:
			f.Why = "it waits for its turn, or for a model server that answers"
		case batholith.StatusValidating:
			f.Why = "its input is being read; a large one takes its time"
		default:
			f.Why = "no record of it was finished meanwhile: the model server is slow, or does not answer"
		}
	}
	d.find(f)
}

// leftovers looks below .batholith/ of jobs that are over, and for uploads that were left open.
func (d *doctor) leftovers(ctx context.Context, client *s3.Client, bucket string, jobs []jobFacts) error {
	for _, j := range jobs {
		_, prefix, err := object.ParseURI(j.outputPrefix())
		if err != nil {
			return err
		}
		if err := d.leftObjects(ctx, client, bucket, prefix+batholith.InternalFolder+"/", j); err != nil {
			return err
		}
	}
	pages := s3.NewListMultipartUploadsPaginator(client, &s3.ListMultipartUploadsInput{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, u := range page.Uploads {
			for _, j := range jobs {
				if _, prefix, _ := object.ParseURI(j.outputPrefix()); strings.HasPrefix(aws.ToString(u.Key), prefix) {
					d.leftUpload(ctx, client, bucket, aws.ToString(u.Key), aws.ToString(u.UploadId), j)
				}
			}
		}
	}
	return nil
}

// leftObjects notes what is left below a prefix, and deletes it with --fix.
func (d *doctor) leftObjects(ctx context.Context, client *s3.Client, bucket, prefix string, j jobFacts) error {
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	n, failed := int64(0), error(nil)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		n += int64(len(page.Contents))
		for _, o := range page.Contents {
			if d.fix && failed == nil {
				_, failed = client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: o.Key})
			}
		}
	}
	if n > 0 {
		d.left(fmt.Sprintf("job %s is over and left %s below s3://%s/%s", j.id(), plural(n, "object"), bucket, prefix),
			"batholith doctor --fix, or: aws s3 rm --recursive "+shellQuote("s3://"+bucket+"/"+prefix), failed)
	}
	return nil
}

// leftUpload notes an upload of a job that is over, and aborts it with --fix.
func (d *doctor) leftUpload(ctx context.Context, client *s3.Client, bucket, key, id string, j jobFacts) {
	var failed error
	if d.fix {
		_, failed = client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &bucket, Key: &key, UploadId: &id})
	}
	d.left(fmt.Sprintf("job %s is over and left an upload of s3://%s/%s open", j.id(), bucket, key),
		fmt.Sprintf("batholith doctor --fix, or: aws s3api abort-multipart-upload --bucket %s --key %s --upload-id %s", shellQuote(bucket), shellQuote(key), shellQuote(id)), failed)
}

// left notes a leftover that is still there, or that --fix has cleared away.
func (d *doctor) left(what, remedy string, failed error) {
	f := finding{problem, "objects", what, "its clean-up did not come to its end; it takes room, and nothing reads it", remedy}
	switch {
	case d.fix && failed == nil:
		f.Severity, f.Remedy = mended, ""
	case failed != nil:
		f.Why = errors.Join(errors.New("it could not be cleared away"), plainly(failed)).Error()
	}
	d.find(f)
}
