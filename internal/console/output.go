package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/sigv4"
)

// Output reads the output of one job, within the caller's rights. A name is an object's key without the job's folder.
type Output interface {
	// List yields the objects.
	List(ctx context.Context) iter.Seq2[batholith.Object, error]
	// Read returns the object's bytes from offset to its end, and their number.
	Read(ctx context.Context, name string, offset int64) (body io.ReadCloser, bytes int64, err error)
}

// Far reads and writes an external S3 with the roles of jobs, because callers of the API have no keys of that S3. Each method first checks that
// the policies permit the caller to do this on the bucket. r is the browser's request, for the audit log.
type Far interface {
	// Output opens the output of a job. The API must have permitted the caller to get this job.
	Output(ctx context.Context, who sigv4.Identity, r *http.Request, job string) (Output, error)
	// Roles returns the ARNs of the roles that the caller may pass to a job, the default one first.
	Roles(ctx context.Context, who sigv4.Identity) []string
	// Put stores a file with a role that the caller may pass. It returns ErrExists if there is an object with this key.
	Put(ctx context.Context, who sigv4.Identity, r *http.Request, role, bucket, key string, from io.ReadSeeker, bytes int64) error
}

// ErrExists is the error of a write that would replace an object.
var ErrExists = errors.New("there is an object with this key")

// output opens the output of a job that the API has shown to the visitor. The caller must call done after the last use.
func (v *visit) output(j bedrock.JobSummary) (o Output, done func(), err error) {
	at, ok := parseURI(outputOf(j))
	switch {
	case !ok:
		return nil, nil, badRequest("%q is not an s3:// URI.", outputOf(j))
	case v.c.o.Buckets != nil:
		client, done := v.c.o.Buckets.As(v.who, v.r)
		return nearOutput{client, at}, done, nil
	case v.c.o.Far != nil:
		o, err := v.c.o.Far.Output(v.r.Context(), v.who, v.r, idOf(j.JobARN))
		return o, func() {}, err
	}
	return nil, nil, errNoBuckets
}

// nearOutput reads an output in the embedded S3, with the rights of the visitor.
type nearOutput struct {
	client *s3.Client
	at     place
}

// List implements Output.
func (o nearOutput) List(ctx context.Context) iter.Seq2[batholith.Object, error] {
	return func(yield func(batholith.Object, error) bool) {
		for pages := s3.NewListObjectsV2Paginator(o.client, &s3.ListObjectsV2Input{Bucket: &o.at.Bucket, Prefix: &o.at.Key}); pages.HasMorePages(); {
			out, err := pages.NextPage(ctx)
			if err != nil {
				yield(batholith.Object{}, err)
				return
			}
			for _, one := range out.Contents {
				if !yield(batholith.Object{Key: strings.TrimPrefix(aws.ToString(one.Key), o.at.Key), Bytes: aws.ToInt64(one.Size), Modified: aws.ToTime(one.LastModified)}, nil) {
					return
				}
			}
		}
	}
}

// Read implements Output.
func (o nearOutput) Read(ctx context.Context, name string, offset int64) (io.ReadCloser, int64, error) {
	in := &s3.GetObjectInput{Bucket: &o.at.Bucket, Key: aws.String(o.at.Key + name)}
	if offset > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := o.client.GetObject(ctx, in)
	if err != nil {
		return nil, 0, err
	}
	return out.Body, aws.ToInt64(out.ContentLength), nil
}

// internal reports whether a name is below .batholith/, which users must not read.
func internal(name string) bool {
	return name == batholith.InternalFolder || strings.HasPrefix(name, batholith.InternalFolder+"/")
}

// jobDownload sends a file of a job's output to the browser.
func (c *Console) jobDownload(v *visit) error {
	j, err := v.job(v.r.PathValue("job"))
	if err != nil {
		return err
	}
	name := v.r.URL.Query().Get("file")
	if name == "" || internal(name) {
		return notFound("The job has no such file.")
	}
	o, done, err := v.output(j)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(v.r.Context(), downloadTime)
	defer cancel()
	body, bytes, err := o.Read(ctx, name, 0)
	if err != nil {
		return err
	}
	defer body.Close()
	return v.send(name, body, bytes)
}

// farFault returns the fault that a page shows for an error of an external S3, or nil if the error is another one.
func farFault(err error) *fault {
	var why interface {
		error
		Explained() (cause, remedy string)
	}
	var refused *bedrock.Error
	switch {
	case err == nil:
	case errors.As(err, &refused) && refused.Code == bedrock.CodeAccessDenied:
		return &fault{http.StatusForbidden, "Not permitted", refused.Message}
	case errors.As(err, &refused):
		return &fault{http.StatusBadRequest, "That cannot be done", refused.Message}
	case errors.Is(err, batholith.ErrNoBucket):
		return &fault{http.StatusNotFound, "Not found", "The bucket does not exist."}
	case errors.Is(err, batholith.ErrNoObject):
		return &fault{http.StatusNotFound, "Not found", "The object does not exist."}
	case errors.Is(err, context.DeadlineExceeded):
		return &fault{http.StatusGatewayTimeout, "The S3 does not answer", fmt.Sprintf("The S3 has not answered within %d s. Try again.", int(objectTime.Seconds()))}
	case errors.Is(err, batholith.ErrAccessDenied):
		cause := err.Error()
		if errors.As(err, &why) {
			cause, _ = why.Explained()
		}
		return &fault{http.StatusForbidden, "The S3 denies access to the role", "The policies permit it to you, but the S3 does not permit it to the role of the job: " + cause + ". Ask the operator."}
	case errors.Is(err, batholith.ErrObjectChanged):
		return &fault{http.StatusConflict, "The file has changed", "It was replaced while it was read. Try again."}
	case errors.As(err, &why):
		cause, _ := why.Explained()
		return &fault{http.StatusBadGateway, "The S3 cannot be used", strings.ToUpper(cause[:min(1, len(cause))]) + cause[min(1, len(cause)):] + ". Try again, or ask the operator."}
	}
	return nil
}

// hidden returns the text that a job's page shows instead of an output that cannot be read, or "" if the server failed.
func hidden(err error) string {
	var f *fault
	if f = farFault(err); f != nil {
		return f.Text
	}
	switch {
	case denied(err):
		return message(err)
	case errors.As(err, &f):
		return f.Text
	case isNotFound(err):
		return "The bucket of the output does not exist."
	}
	return ""
}
