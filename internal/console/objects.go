package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// Times of requests to the S3.
const (
	downloadTime = 6 * time.Hour
	pieceTime    = time.Minute // for the browser to take the next bytes of a download
)

// objectTime bounds the other requests. Tests shorten it.
var objectTime = 30 * time.Second

// errNoBuckets is shown where the S3 is an external one.
var errNoBuckets = &fault{http.StatusNotFound, "The S3 is an external one", "The console shows buckets of the embedded S3 only. The outputs of jobs are on the pages of the jobs; for anything else, use a client of that S3."}

// s3 returns a client with the visitor's rights.
func (v *visit) s3() (client *s3.Client, done func(), err error) {
	if v.c.o.Buckets == nil {
		return nil, nil, errNoBuckets
	}
	client, done = v.c.o.Buckets.As(v.who, v.r)
	return client, done, nil
}

// place is a bucket with a key or prefix.
type place struct{ Bucket, Key string }

// parseURI returns the place of an s3:// URI.
func parseURI(uri string) (p place, ok bool) {
	rest, ok := strings.CutPrefix(uri, "s3://")
	p.Bucket, p.Key, _ = strings.Cut(rest, "/")
	return p, ok && p.Bucket != ""
}

// object is an object in a list.
type object struct {
	Bucket, Key, Name string
	Job               string // whose output it is, with Name as its key; "": none
	Bytes             int64
	Modified          time.Time
	Records           bool // its lines can be shown: an output of a job
}

// Link returns the address of its download.
func (o object) Link() string {
	if o.Job != "" {
		return Path + "jobs/" + url.PathEscape(o.Job) + "/download?file=" + url.QueryEscape(o.Name)
	}
	return Path + "buckets/" + url.PathEscape(o.Bucket) + "/download?key=" + url.QueryEscape(o.Key)
}

// failed reports whether it has the errors of a job in OpenAI's lines.
func (o object) failed() bool { return o.Records && strings.HasSuffix(o.Name, batholith.ErrorSuffix) }

// mostFiles is the number of files of a job that are listed.
const mostFiles = 1000

// files returns the output files of a job, at most mostFiles.
func (v *visit) files(ctx context.Context, j bedrock.JobSummary) (all []object, more bool, err error) {
	o, done, err := v.output(j)
	if err != nil {
		return nil, false, err
	}
	defer done()
	for one, err := range o.List(ctx) {
		switch {
		case err != nil:
			return nil, false, err
		case internal(one.Key):
			continue
		case len(all) == mostFiles:
			return all, true, nil
		}
		holdsRecords := strings.HasSuffix(one.Key, ".jsonl"+batholith.OutputSuffix) || strings.HasSuffix(one.Key, ".jsonl"+batholith.ErrorSuffix)
		all = append(all, object{Job: idOf(j.JobARN), Name: one.Key, Bytes: one.Bytes, Modified: one.Modified, Records: holdsRecords})
	}
	return all, false, nil
}

// download sends an object to the browser.
func (c *Console) download(v *visit) error {
	client, done, err := v.s3()
	if err != nil {
		return err
	}
	defer done()
	bucket, key := v.r.PathValue("bucket"), v.r.URL.Query().Get("key")
	ctx, cancel := context.WithTimeout(v.r.Context(), downloadTime)
	defer cancel()
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	return v.send(key, out.Body, aws.ToInt64(out.ContentLength))
}

// send sends the bytes of an object to the browser.
func (v *visit) send(key string, body io.Reader, length int64) error {
	h := v.w.Header()
	// The bytes are a stranger's: a browser must store them, never show them as a page of this server.
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(key)}))
	h.Set("Content-Length", fmt.Sprint(length))
	to := http.NewResponseController(v.w)
	buffer := make([]byte, 128<<10)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			until := time.Now().Add(pieceTime)
			if err := errors.Join(to.SetWriteDeadline(until), to.SetReadDeadline(until)); err != nil { // the read deadline of a request ends its answer too
				return err
			}
			if _, err := v.w.Write(buffer[:n]); err != nil {
				return nil // the browser has gone
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			v.c.o.Log.Warn("console: a download broke off", "error", err)
			panic(http.ErrAbortHandler) // the browser must not take the part for the whole
		}
	}
}

// bucketList is the page of the buckets.
type bucketList struct {
	Buckets []types.Bucket
}

// bucketsPage shows the buckets of the visitor's account.
func (c *Console) bucketsPage(v *visit) error {
	client, done, err := v.s3()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(v.r.Context(), objectTime)
	defer cancel()
	out, err := client.ListBuckets(ctx, &s3.ListBucketsInput{})
	if err != nil {
		return err
	}
	return v.show("buckets", "Buckets", "buckets", bucketList{out.Buckets})
}

// bucketView is the page of a bucket at a prefix.
type bucketView struct {
	Bucket, Prefix string
	Crumbs         []crumb
	Folders        []crumb
	Objects        []object
	Next           string // query of the next page
	Later          bool
	Said           string
}

// crumb is a folder with its prefix.
type crumb struct{ Name, Link string }

// folderLink returns the address of a folder.
func folderLink(bucket, prefix string) string {
	link := Path + "buckets/" + url.PathEscape(bucket)
	if prefix != "" {
		link += "?prefix=" + url.QueryEscape(prefix)
	}
	return link
}

// pageObjects is the number of objects and folders on a page.
const pageObjects = 100

// bucketPage shows the objects and folders below a prefix.
func (c *Console) bucketPage(v *visit) error {
	client, done, err := v.s3()
	if err != nil {
		return err
	}
	defer done()
	q := v.r.URL.Query()
	view := bucketView{Bucket: v.r.PathValue("bucket"), Prefix: q.Get("prefix"), Later: q.Get("page") != "",
		Said: map[string]string{"upload": "The file was uploaded.", "delete": "The object was deleted."}[q.Get("done")]}
	ctx, cancel := context.WithTimeout(v.r.Context(), objectTime)
	defer cancel()
	in := &s3.ListObjectsV2Input{Bucket: &view.Bucket, Prefix: &view.Prefix, Delimiter: aws.String("/"), MaxKeys: aws.Int32(pageObjects)}
	if page := q.Get("page"); page != "" {
		in.ContinuationToken = &page
	}
	out, err := client.ListObjectsV2(ctx, in)
	if err != nil {
		return err
	}
	folder := ""
	for part := range strings.SplitAfterSeq(view.Prefix, "/") {
		if folder += part; strings.HasSuffix(part, "/") {
			view.Crumbs = append(view.Crumbs, crumb{strings.TrimSuffix(part, "/"), folderLink(view.Bucket, folder)})
		}
	}
	for _, p := range out.CommonPrefixes {
		prefix := aws.ToString(p.Prefix)
		view.Folders = append(view.Folders, crumb{strings.TrimPrefix(prefix, view.Prefix), folderLink(view.Bucket, prefix)})
	}
	for _, o := range out.Contents {
		key := aws.ToString(o.Key)
		if key == view.Prefix {
			continue // the folder itself
		}
		view.Objects = append(view.Objects, object{Bucket: view.Bucket, Key: key, Name: strings.TrimPrefix(key, view.Prefix), Bytes: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)})
	}
	if out.NextContinuationToken != nil {
		view.Next = url.Values{"prefix": {view.Prefix}, "page": {*out.NextContinuationToken}}.Encode()
	}
	return v.show("bucket", view.Bucket, "buckets", view)
}

// bucketUpload stores a file in a bucket, below the prefix of the page.
func (c *Console) bucketUpload(v *visit) error {
	got, err := v.receive()
	if err != nil {
		return err
	}
	defer got.remove()
	client, done, err := v.s3()
	if err != nil {
		return err
	}
	defer done()
	bucket, key := v.r.PathValue("bucket"), got.fields["prefix"]+got.name
	if err := v.put(client, got, bucket, key); err != nil {
		return err
	}
	http.Redirect(v.w, v.r, withDone(folderLink(bucket, got.fields["prefix"]), "upload"), http.StatusSeeOther)
	return nil
}

// put stores a received file with the visitor's rights.
func (v *visit) put(client *s3.Client, got *received, bucket, key string) error {
	return v.upload(got, func(ctx context.Context, f *os.File) error {
		_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: f, ContentLength: &got.bytes})
		return err
	})
}

// upload opens a received file, and gives send the time of an upload for it.
func (v *visit) upload(got *received, send func(ctx context.Context, f *os.File) error) error {
	f, err := got.open()
	if err != nil {
		return err
	}
	defer f.Close()
	if err := v.patient(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), uploadTime)
	defer cancel()
	return send(ctx, f)
}

// bucketDelete deletes one object.
func (c *Console) bucketDelete(v *visit) error {
	client, done, err := v.s3()
	if err != nil {
		return err
	}
	defer done()
	bucket, key := v.r.PathValue("bucket"), v.r.PostForm.Get("key")
	if key == "" {
		return badRequest("The form names no object.")
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), objectTime)
	defer cancel()
	if _, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key}); err != nil {
		return err
	}
	http.Redirect(v.w, v.r, withDone(folderLink(bucket, key[:strings.LastIndexByte(key, '/')+1]), "delete"), http.StatusSeeOther)
	return nil
}

// withDone adds what was done to an address.
func withDone(link, what string) string {
	if strings.Contains(link, "?") {
		return link + "&done=" + what
	}
	return link + "?done=" + what
}
