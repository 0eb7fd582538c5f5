package s3serve

import (
	"context"
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// deletion is the document of DeleteObjects. The gateway reads only the keys and rejects
// documents with a time. So the store reads the conditions here, and the gateway gets a
// document with keys only.
type deletion struct {
	XMLName xml.Name   `xml:"Delete"`
	Quiet   string     `xml:",omitempty"`
	Objects []deletedE `xml:"Object"`

	queues map[[2]string][]deletedE // entries not yet taken, by key and version
}

// deletedE is one entry. The object is deleted only if all given conditions hold (S3:
// ObjectIdentifier).
type deletedE struct {
	Key              string
	VersionId        string `xml:",omitempty"`
	ETag             string `xml:",omitempty"`
	LastModifiedTime string `xml:",omitempty"`
	Size             string `xml:",omitempty"`
}

// deletionKey is the request value that holds the deletion.
const deletionKey = "batholith-deletion"

// amend changes a verified request where the gateway supports less than S3. It leaves a
// document that cannot be parsed unchanged; the gateway rejects it.
func amend(ctx context.Context) {
	request, ok := ctx.(*fasthttp.RequestCtx)
	a := addressOf(ctx)
	switch {
	case !ok || a == nil:
	case request.IsPost() && a.key == "" && a.has("delete") && request.UserValue(deletionKey) == nil:
		amendDeletion(request)
	case request.IsPut() && a.has("tagging") && request.UserValue(taggingKey) == nil:
		most := mostObjectTags
		if a.key == "" {
			most = mostBucketTags
		}
		amendTags(request, most)
	case request.IsGet() && a.has("attributes"):
		amendAttributes(request)
	}
}

// amendDeletion removes the conditions from a DeleteObjects document and stores them in the
// request.
func amendDeletion(request *fasthttp.RequestCtx) {
	d := deletion{queues: map[[2]string][]deletedE{}}
	if xml.Unmarshal(request.Request.Body(), &d) != nil {
		return
	}
	request.SetUserValue(deletionKey, &d)
	bare := deletion{Objects: make([]deletedE, len(d.Objects))}
	for i, o := range d.Objects {
		bare.Objects[i] = deletedE{Key: o.Key, VersionId: o.VersionId}
		id := [2]string{o.Key, o.VersionId}
		d.queues[id] = append(d.queues[id], o)
	}
	if text, err := xml.Marshal(bare); err == nil {
		request.Request.SetBodyRaw(text)
	}
}

// quiet reports whether the answer lists only errors.
func (d *deletion) quiet() bool {
	return d != nil && strings.EqualFold(strings.TrimSpace(d.Quiet), "true")
}

// take removes and returns the first entry of a key.
func (d *deletion) take(o types.ObjectIdentifier) (found deletedE) {
	if d == nil {
		return deletedE{}
	}
	id := [2]string{aws.ToString(o.Key), aws.ToString(o.VersionId)}
	if queue := d.queues[id]; len(queue) > 0 {
		found, d.queues[id] = queue[0], queue[1:]
	}
	return found
}

// conditional reports whether an entry has conditions.
func (e deletedE) conditional() bool { return e.ETag+e.LastModifiedTime+e.Size != "" }

// input returns the deletion of one object with the conditions of its entry.
func (e deletedE) input(path string, o types.ObjectIdentifier) (*s3.DeleteObjectInput, error) {
	in := &s3.DeleteObjectInput{Bucket: &path, Key: o.Key, VersionId: o.VersionId}
	if e.ETag != "" && e.ETag != "*" {
		in.IfMatch = aws.String(strings.Trim(strings.TrimSpace(e.ETag), `"`))
	}
	if e.Size != "" {
		size, err := strconv.ParseInt(strings.TrimSpace(e.Size), 10, 64)
		if err != nil {
			return nil, s3err.GetAPIError(s3err.ErrMalformedXML)
		}
		in.IfMatchSize = &size
	}
	if e.LastModifiedTime != "" {
		at, err := anyTime(strings.TrimSpace(e.LastModifiedTime))
		if err != nil {
			return nil, s3err.GetAPIError(s3err.ErrMalformedXML)
		}
		in.IfMatchLastModifiedTime = &at
	}
	return in, nil
}

// anyTime parses a time in HTTP's format (S3: LastModifiedTime) or that of listings (RFC 3339).
// SDKs send both.
func anyTime(text string) (time.Time, error) {
	if at, err := http.ParseTime(text); err == nil {
		return at, nil
	}
	return time.Parse(time.RFC3339, text)
}

// deleteEach deletes entries with conditions one by one: the gateway's storage checks
// conditions only for single objects, while it holds a lock.
func (s *store) deleteEach(ctx context.Context, path string, objects []types.ObjectIdentifier, conditions []deletedE) (out s3response.DeleteResult) {
	for i, o := range objects {
		in, err := conditions[i].input(path, o)
		if err == nil {
			in.IfMatchSize = s.condition(path, *in.Key, in.IfMatchSize)
			_, err = s.posix.DeleteObject(ctx, in)
		}
		if err != nil {
			out.Error = append(out.Error, s3err.ObjectDeleteError(o.Key, o.VersionId, s.explain("DeleteObjects", err)))
			continue
		}
		out.Deleted = append(out.Deleted, types.DeletedObject{Key: o.Key, VersionId: o.VersionId})
	}
	return out
}
