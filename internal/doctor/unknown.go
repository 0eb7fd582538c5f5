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
	// foldersLooked is the maximum number of folders below one output that are compared with the jobs.
	foldersLooked = 10_000
	// unknownAfter is how old the newest working file of an unknown job is when it is reported.
	unknownAfter = time.Hour
)

// unknown reports working files of jobs that the server does not know, below the outputs of those that it knows. They are left of a job that
// was forgotten while its bucket did not answer, of a database that was restored to an earlier state, or they are those of another Batholith
// with the same bucket. They are deleted, with --fix, only if the server's usage has the job: it was a job of this service.
func (d *doctor) unknown(ctx context.Context, client *s3.Client, jobs Jobs) {
	known, outputs := map[string]bool{}, map[string]bool{}
	for _, j := range d.recent {
		known[j.ID] = true
		outputs[strings.TrimSuffix(prefixOf(j), j.ID+"/")] = true
	}
	for output := range outputs {
		bucket, prefix, err := object.ParseURI(output)
		if err != nil {
			continue
		}
		if err := d.unknownBelow(ctx, client, jobs, bucket, prefix, known); err != nil {
			why, remedy := d.o.Explain(err)
			d.find(Finding{Problem, "objects", "the jobs below " + output + " cannot be listed", why, remedy})
		}
	}
}

// unknownBelow is unknown for one output.
func (d *doctor) unknownBelow(ctx context.Context, client *s3.Client, jobs Jobs, bucket, prefix string, known map[string]bool) error {
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix, Delimiter: aws.String("/")})
	for looked := 0; pages.HasMorePages() && looked < foldersLooked; {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		looked += len(page.CommonPrefixes)
		for _, p := range page.CommonPrefixes {
			folder := aws.ToString(p.Prefix)
			id := strings.TrimSuffix(strings.TrimPrefix(folder, prefix), "/")
			if !batholith.ValidJobID(id) || known[id] {
				continue
			}
			if err := d.unknownFiles(ctx, client, jobs, bucket, folder+batholith.InternalFolder+"/", id); err != nil {
				return err
			}
		}
	}
	return nil
}

// unknownFiles reports the working files below a prefix, if the server does not know the job with this id.
func (d *doctor) unknownFiles(ctx context.Context, client *s3.Client, jobs Jobs, bucket, prefix, id string) error {
	page, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	if err != nil || len(page.Contents) == 0 {
		return err
	}
	if there, err := jobs.Knows(ctx, id); err != nil || there {
		return err
	}
	newest, bytes := time.Time{}, int64(0)
	for _, o := range page.Contents {
		bytes += aws.ToInt64(o.Size)
		if at := aws.ToTime(o.LastModified); at.After(newest) {
			newest = at
		}
	}
	if d.now().Sub(newest) < unknownAfter { // another service may be at work
		return nil
	}
	ours, err := jobs.Took(ctx, id)
	if err != nil {
		return err
	}
	count := words.Plural(int64(len(page.Contents)), "working file")
	if aws.ToBool(page.IsTruncated) {
		count = "more than " + count
	}
	uri := "s3://" + bucket + "/" + prefix
	f := Finding{Note, "objects", fmt.Sprintf("%s below %s are of a job that this server does not know", count, uri),
		fmt.Sprintf("the newest is %s old; the job is newer than a restored database, was forgotten before a record was finished, or belongs to another Batholith that uses the bucket", words.Age(d.now().Sub(newest))),
		"if no other Batholith uses the bucket: aws s3 rm --recursive " + words.Quote(uri)}
	if ours {
		f.Why = fmt.Sprintf("the newest is %s old; the usage of this server has the job, so it was one of this server and was forgotten; nothing reads the files", words.Age(d.now().Sub(newest)))
		f.Remedy = "batholith doctor --fix"
		if d.o.Fix {
			d.removeUnknown(ctx, client, bucket, prefix, &f)
		}
	}
	d.find(f)
	return nil
}

// removeUnknown deletes all objects below a prefix, and says so in the finding.
func (d *doctor) removeUnknown(ctx context.Context, client *s3.Client, bucket, prefix string, f *Finding) {
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		for i := 0; err == nil && i < len(page.Contents); i++ {
			_, err = client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: page.Contents[i].Key})
		}
		if err != nil {
			why, _ := d.o.Explain(err)
			f.Why = "they could not be deleted: " + why
			return
		}
	}
	f.Severity, f.Remedy = Mended, ""
}
