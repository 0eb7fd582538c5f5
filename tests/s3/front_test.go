package s3_test

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith/internal/object"
)

var (
	algorithm   = aws.String("AES256") // of SSE-C
	customerKey = aws.String("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	customerMD5 = aws.String("hRasmdxgYDKV3nvbahU1MA==")
)

func TestEncryptionIsNeverPromised(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	api, box, key := sdk(e.url, keyID, secret, http.DefaultClient), aws.String("box"), aws.String("k")
	_, err := api.PutObject(t.Context(), &s3.PutObjectInput{Bucket: box, Key: aws.String("plain"), Body: strings.NewReader("plain")})
	must(t, err)
	for name, ask := range map[string]func(context.Context) error{
		"put with KMS":  put(api, s3.PutObjectInput{Bucket: box, Key: key, ServerSideEncryption: "aws:kms", SSEKMSKeyId: aws.String("alias/any")}),
		"put with DSSE": put(api, s3.PutObjectInput{Bucket: box, Key: key, ServerSideEncryption: "aws:kms:dsse"}),
		"put with S3":   put(api, s3.PutObjectInput{Bucket: box, Key: key, ServerSideEncryption: "AES256"}),
		"put with C": put(api, s3.PutObjectInput{Bucket: box, Key: key, SSECustomerAlgorithm: algorithm, SSECustomerKey: customerKey,
			SSECustomerKeyMD5: customerMD5}),
		"our own client": func(ctx context.Context) error {
			return client(t, e, keyID, secret).Bucket("box", object.Options{KMSKeyID: "alias/any"}).Put(ctx, "k", nil)
		},
		"upload": func(ctx context.Context) error {
			_, err := api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: box, Key: key, ServerSideEncryption: "aws:kms"})
			return err
		},
		"part": func(ctx context.Context) error {
			_, err := api.UploadPart(ctx, &s3.UploadPartInput{Bucket: box, Key: key, UploadId: aws.String("1"), PartNumber: aws.Int32(1),
				SSECustomerAlgorithm: algorithm, SSECustomerKey: customerKey, SSECustomerKeyMD5: customerMD5})
			return err
		},
		"copy": func(ctx context.Context) error {
			_, err := api.CopyObject(ctx, &s3.CopyObjectInput{Bucket: box, Key: key, CopySource: aws.String("box/plain"), ServerSideEncryption: "aws:kms"})
			return err
		},
		"copy of an encrypted one": func(ctx context.Context) error {
			_, err := api.CopyObject(ctx, &s3.CopyObjectInput{Bucket: box, Key: key, CopySource: aws.String("box/plain"),
				CopySourceSSECustomerAlgorithm: algorithm, CopySourceSSECustomerKey: customerKey, CopySourceSSECustomerKeyMD5: customerMD5})
			return err
		},
		"get": func(ctx context.Context) error {
			_, err := api.GetObject(ctx, &s3.GetObjectInput{Bucket: box, Key: aws.String("plain"),
				SSECustomerAlgorithm: algorithm, SSECustomerKey: customerKey, SSECustomerKeyMD5: customerMD5})
			return err
		},
	} {
		if err := ask(t.Context()); codeOf(err) != "NotImplemented" || !strings.Contains(err.Error(), "does not encrypt") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := api.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: box, Key: aws.String("plain"),
		SSECustomerAlgorithm: algorithm, SSECustomerKey: customerKey, SSECustomerKeyMD5: customerMD5}); err == nil {
		t.Error("head: the object is said to be encrypted")
	}
	if _, err := api.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: box, Key: key}); codeOf(err) != "NotFound" {
		t.Errorf("something was stored: %v", err)
	}
}

func put(api *s3.Client, in s3.PutObjectInput) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := api.PutObject(ctx, &in)
		return err
	}
}

// Signed URLs carry in the query what is otherwise in headers, forms in their fields.
func TestEncryptionIsNotPromisedByURLOrForm(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	api, box := sdk(e.url, keyID, secret, http.DefaultClient), aws.String("box")
	signer := s3.NewPresignClient(api)
	signed, err := signer.PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: box, Key: aws.String("by-url")})
	must(t, err)
	for parameter, want := range map[string]int{"": http.StatusOK, "&X-Amz-Server-Side-Encryption=aws:kms": http.StatusNotImplemented} {
		req, err := http.NewRequest(signed.Method, signed.URL+parameter, strings.NewReader("x"))
		must(t, err)
		if got := statusOf(t, req); got != want {
			t.Errorf("by URL with %q: %d", parameter, got)
		}
	}
	form, err := signer.PresignPostObject(t.Context(), &s3.PutObjectInput{Bucket: box, Key: aws.String("by-form")}, func(o *s3.PresignPostOptions) {
		o.Conditions = []any{[]any{"starts-with", "$x-amz-server-side-encryption", ""}}
	})
	must(t, err)
	form.Values["x-amz-server-side-encryption"] = "aws:kms"
	if got := statusOf(t, formRequest(t, form)); got != http.StatusNotImplemented {
		t.Errorf("by form: %d", got)
	}
}

// Some answers had each id twice, which clients show as one with a comma.
func TestAnswersHaveEachIDOnce(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	api := sdk(e.url, keyID, secret, &http.Client{Transport: counting{t}})
	ctx, box, key, none := t.Context(), aws.String("box"), aws.String("k"), aws.String("none")
	_, err := api.PutObject(ctx, &s3.PutObjectInput{Bucket: box, Key: key, Body: strings.NewReader("x")})
	must(t, err)
	api.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: box})
	api.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: none})
	api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: box, Key: key})
	api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: box, Key: none})
	out, err := api.GetObject(ctx, &s3.GetObjectInput{Bucket: box, Key: key})
	must(t, err)
	out.Body.Close()
	api.GetObject(ctx, &s3.GetObjectInput{Bucket: box, Key: none})
	api.GetObject(ctx, &s3.GetObjectInput{Bucket: box, Key: key, SSECustomerAlgorithm: algorithm})
	api.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: box})
	api.ListBuckets(ctx, &s3.ListBucketsInput{})
	api.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: none})
	api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: box, Key: key})
	api.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: box})
	resp, err := (&http.Client{Transport: counting{t}}).Get(e.url + "/box/k?AWSAccessKeyId=nobody&Signature=none")
	must(t, err)
	resp.Body.Close()
}

// counting fails the test when an answer has not one of each id.
type counting struct{ t *testing.T }

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"X-Amz-Request-Id", "X-Amz-Id-2"} {
		if ids := resp.Header[name]; len(ids) != 1 || ids[0] == "" {
			c.t.Errorf("%s %s answers %d and %s: %q", r.Method, r.URL, resp.StatusCode, name, ids)
		}
	}
	return resp, nil
}

func formRequest(t *testing.T, form *s3.PresignedPostRequest) *http.Request {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, value := range form.Values {
		must(t, w.WriteField(name, value))
	}
	f, err := w.CreateFormFile("file", "f")
	must(t, err)
	_, err = io.WriteString(f, "x")
	must(t, err)
	must(t, w.Close())
	req, err := http.NewRequest(http.MethodPost, form.URL, &body)
	must(t, err)
	req.Header.Set("Content-Type", w.FormDataContentType())
	return req
}

func statusOf(t *testing.T, req *http.Request) int {
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	t.Logf("%s %s: %s", req.Method, resp.Status, body)
	return resp.StatusCode
}
