package s3_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/batholith/batholith/internal/s3serve"
)

func TestCopyReachesWhatItNamesAndNothingElse(t *testing.T) {
	for name, files := range map[string]bool{"attributes": false, "files": true} {
		t.Run(name, func(t *testing.T) { copies(t, serveWith(t, s3serve.Options{Dir: t.TempDir(), MetaFiles: files})) })
	}
}

func copies(t *testing.T, e endpoint) {
	ctx, api := t.Context(), sdk(e.url, keyID, secret, http.DefaultClient)
	for _, name := range []string{"from", "into"} {
		must(t, e.server.EnsureBucket(name))
	}
	into := client(t, e, keyID, secret).Bucket("into", noOptions)
	for _, key := range []string{"plain", "a b+c%20/ü?versionless=1", "d/e/f"} {
		_, err := api.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("from"), Key: &key, Body: strings.NewReader(key), ContentType: aws.String("text/x")})
		must(t, err)
		_, err = api.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("into"), Key: aws.String("copy/" + key), CopySource: aws.String(url.QueryEscape("from/" + key))})
		must(t, err)
		if got, err := read(t, into, "copy/"+key); err != nil || got != key {
			t.Errorf("the copy of %q holds %q, %v", key, got, err)
		}
	}
	head, err := api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("into"), Key: aws.String("copy/plain")})
	if err != nil || aws.ToString(head.ContentType) != "text/x" {
		t.Errorf("content type %q, %v", aws.ToString(head.ContentType), err)
	}
	for source, code := range map[string]string{
		"from/none": "NoSuchKey", "nobody/plain": "NoSuchBucket", "from/../into/copy/plain": "", "../from/plain": "", "from/": "", "from": "",
		"%2e%2e/from/plain": "", url.QueryEscape("from/" + strings.Repeat("../", 30) + "etc/hostname"): "", "into/copied": "InvalidRequest",
	} {
		key := aws.String("copied")
		if code == "InvalidRequest" { // onto itself
			_, err := api.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("into"), Key: key, Body: strings.NewReader("x")})
			must(t, err)
		}
		_, err := api.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("into"), Key: key, CopySource: &source})
		var answer smithy.APIError
		if !errors.As(err, &answer) || code != "" && answer.ErrorCode() != code {
			t.Errorf("copy of %s: %v", source, err)
		}
	}
}

func TestErrorsTellNothingOfTheDirectory(t *testing.T) {
	dir := t.TempDir()
	e := serve(t, dir)
	must(t, e.server.EnsureBucket("full"))
	api := sdk(e.url, keyID, secret, &http.Client{Transport: revealing{t, dir}})
	ctx, none, full, key := t.Context(), aws.String("no-such-bucket"), aws.String("full"), aws.String("k")
	_, err := api.PutObject(ctx, &s3.PutObjectInput{Bucket: full, Key: key, Body: strings.NewReader("x")})
	must(t, err)
	api.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: none})
	api.GetObject(ctx, &s3.GetObjectInput{Bucket: none, Key: key})
	api.GetObject(ctx, &s3.GetObjectInput{Bucket: full, Key: aws.String("k/below")})
	api.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: full})
	api.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: full})
	api.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: full})
	api.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: full})
	api.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: full})
	api.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: full, VersioningConfiguration: &types.VersioningConfiguration{Status: "Enabled"}})
	api.ListObjects(ctx, &s3.ListObjectsInput{Bucket: full})
	api.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: full})
	_, err = api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: full, Key: key})
	must(t, err)
	out, err := api.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: full})
	must(t, err)
	if *out.Name != "full" {
		t.Errorf("the list is called %s", *out.Name)
	}
}

// revealing fails the test when an answer has the server's directory in it.
type revealing struct {
	t   *testing.T
	dir string
}

func (v revealing) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if strings.Contains(string(body), v.dir) {
		v.t.Errorf("%s %s answers %s", r.Method, r.URL, body)
	}
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	return resp, err
}

func TestBucketsAreListedPageByPage(t *testing.T) {
	e := serve(t, t.TempDir())
	names := []string{"bucket-a", "bucket-b", "bucket-c", "other"}
	for _, name := range names {
		must(t, e.server.EnsureBucket(name))
	}
	pages := s3.NewListBucketsPaginator(sdk(e.url, keyID, secret, http.DefaultClient), &s3.ListBucketsInput{MaxBuckets: aws.Int32(2), Prefix: aws.String("bucket-")})
	var got []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		must(t, err)
		for _, b := range page.Buckets {
			got = append(got, *b.Name)
		}
	}
	if strings.Join(got, " ") != "bucket-a bucket-b bucket-c" {
		t.Errorf("listed %q", got)
	}
}
