package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/words"
)

const (
	// jobsLooked is the maximum number of jobs that are examined, newest first.
	jobsLooked = 200
	// atRest is how long after a job's end its working files count as leftovers. Jobs delete
	// them themselves at the end.
	atRest = 2 * time.Minute
	// stuck is how long a job may stay unchanged before it is reported.
	stuck = 2 * time.Minute
)

// jobs examines the server's jobs: which do not progress, and what finished ones left behind.
func (d *doctor) jobs(ctx context.Context) {
	jobs, err := d.o.Jobs(ctx)
	if err != nil {
		d.failed("the jobs cannot be listed", err)
		return
	}
	over, seen := map[string][]batholith.Job{}, 0 // by output bucket // finished jobs by output bucket
	for j, err := range jobs.List(ctx) {
		if err != nil {
			d.failed("the jobs cannot be listed", err)
			return
		}
		if seen++; seen > jobsLooked {
			break
		}
		d.recent = append(d.recent, j)
		if !j.Status.Terminal() {
			d.standing(j)
		} else if d.keeps(ctx, jobs, j) {
			continue // its files below .batholith/ are its results
		} else if bucket, _, err := object.ParseURI(prefixOf(j)); err == nil && !j.Ended.IsZero() && d.now().Sub(j.Ended) > atRest {
			over[bucket] = append(over[bucket], j)
		}
	}
	d.asides(ctx, jobs)
	client := jobs.Objects() // nil: the buckets cannot be examined from here
	if client == nil {
		return
	}
	before := len(d.findings)
	for bucket, jobs := range over {
		if err := d.leftovers(ctx, client, bucket, jobs); err != nil {
			why, remedy := d.o.Explain(err)
			d.find(Finding{Problem, "objects", "the bucket " + bucket + " cannot be looked at", why, remedy})
		}
	}
	d.unknown(ctx, client, jobs)
	if len(d.findings) == before && len(over) > 0 {
		d.find(Finding{Severity: Sound, Check: "objects", What: "finished jobs have left no files behind"})
	}
}

// failed reports that the server did not answer a question about jobs.
func (d *doctor) failed(what string, err error) {
	why, remedy := d.o.Explain(err)
	d.find(Finding{Problem, "jobs", what, why, remedy})
}

// prefixOf returns the s3:// URI below which all objects of the job are.
func prefixOf(j batholith.Job) string {
	return strings.TrimSuffix(j.Output.URI, "/") + "/" + j.ID + "/"
}

// keeps reports a Failed job whose results are kept. If the server does not answer, it assumes
// that they are kept, because Options.Fix must not delete the only copy.
func (d *doctor) keeps(ctx context.Context, jobs Jobs, j batholith.Job) bool {
	if j.Status != batholith.StatusFailed {
		return false
	}
	k, err := jobs.Kept(ctx, j)
	if err != nil {
		d.failed("whether results of job "+j.ID+" are kept is not known", err)
		return true
	}
	if k.State == batholith.KeptNone { // nothing is kept, so its working files are leftovers
		return false
	}
	f := Finding{Note, "jobs", fmt.Sprintf("job %s is Failed, and the %s of it are kept", j.ID, words.Plural(k.Records, "finished record")), k.Reason,
		fmt.Sprintf("batholith publish %s, or to delete them: batholith publish %s --discard", j.ID, j.ID)}
	if f.Why == "" {
		f.Why = j.Message
	}
	d.find(f)
	return true
}

// standing reports a job that does not progress, with the server's message about it.
func (d *doctor) standing(j batholith.Job) {
	if j.Modified.IsZero() || d.now().Sub(j.Modified) < stuck {
		return
	}
	f := Finding{Note, "jobs", fmt.Sprintf("job %s is %s and has not moved for %s", j.ID, j.Status, words.Age(d.now().Sub(j.Modified))), j.Message,
		"see it with: batholith get " + words.Quote(j.ID)}
	if f.Why == "" {
		switch j.Status {
		case batholith.StatusSubmitted, batholith.StatusScheduled:
			f.Why = "it waits for its turn, or for a model server that answers"
		case batholith.StatusValidating:
			f.Why = "its input is being read; a large one takes its time"
		default:
			f.Why = "no record of it was finished meanwhile: the model server answers slowly or hangs"
			f.Remedy += "; look at the model server's log and its load; a request that gets no answer within the backend's timeout is sent again"
		}
	}
	d.find(f)
}

// leftovers looks for working files and open uploads of finished jobs.
func (d *doctor) leftovers(ctx context.Context, client *s3.Client, bucket string, jobs []batholith.Job) error {
	for _, j := range jobs {
		_, prefix, err := object.ParseURI(prefixOf(j))
		if err != nil {
			return err
		}
		if err := d.leftObjects(ctx, client, bucket, prefix+batholith.InternalFolder+"/", j); err != nil {
			return err
		}
	}
	// Uploads are listed for the whole bucket once, because MinIO does not list them by
	// prefix.
	pages := s3.NewListMultipartUploadsPaginator(client, &s3.ListMultipartUploadsInput{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, u := range page.Uploads {
			for _, j := range jobs {
				if _, prefix, _ := object.ParseURI(prefixOf(j)); strings.HasPrefix(aws.ToString(u.Key), prefix) {
					d.leftUpload(ctx, client, bucket, aws.ToString(u.Key), aws.ToString(u.UploadId), j)
				}
			}
		}
	}
	return nil
}

// leftObjects reports the objects below a prefix, and deletes them with --fix.
func (d *doctor) leftObjects(ctx context.Context, client *s3.Client, bucket, prefix string, j batholith.Job) error {
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	// After the first failed deletion the rest is only counted.
	n, failed := int64(0), error(nil)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		n += int64(len(page.Contents))
		for _, o := range page.Contents {
			if d.o.Fix && failed == nil {
				_, failed = client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: o.Key})
			}
		}
	}
	if n > 0 {
		d.left(fmt.Sprintf("job %s is over and left %s below s3://%s/%s", j.ID, words.Plural(n, "object"), bucket, prefix),
			"batholith doctor --fix, or: aws s3 rm --recursive "+words.Quote("s3://"+bucket+"/"+prefix), failed)
	}
	return nil
}

// leftUpload reports an open upload of a finished job, and aborts it with --fix.
func (d *doctor) leftUpload(ctx context.Context, client *s3.Client, bucket, key, id string, j batholith.Job) {
	var failed error
	if d.o.Fix {
		_, failed = client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &bucket, Key: &key, UploadId: &id})
	}
	d.left(fmt.Sprintf("job %s is over and left an upload of s3://%s/%s open", j.ID, bucket, key),
		fmt.Sprintf("batholith doctor --fix, or: aws s3api abort-multipart-upload --bucket %s --key %s --upload-id %s", words.Quote(bucket), words.Quote(key), words.Quote(id)), failed)
}

// left reports a leftover that still exists, or that --fix has removed.
func (d *doctor) left(what, remedy string, failed error) {
	f := Finding{Problem, "objects", what, "its clean-up did not come to its end; it takes room, and nothing reads it", remedy}
	switch {
	case d.o.Fix && failed == nil:
		f.Severity, f.Remedy = Mended, ""
	case failed != nil:
		why, _ := d.o.Explain(failed)
		f.Why = "it could not be cleared away: " + why
	}
	d.find(f)
}
