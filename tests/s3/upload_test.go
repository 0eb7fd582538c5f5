package s3_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// The gateway keeps an upload in a directory that is called by its id, so an id that is a path could name any directory.
func TestUploadIDsReachNothingButUploads(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	must(t, e.server.EnsureBucket("other"))
	other := client(t, e, keyID, secret).Bucket("other", noOptions)
	must(t, other.Put(t.Context(), "d/1", []byte("kept")))
	api, box, key := sdk(e.url, keyID, secret, http.DefaultClient), aws.String("box"), aws.String("k")
	up, err := api.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: box, Key: key})
	must(t, err)
	for _, id := range []string{"../../../../other/d", "..", ".", "../" + "x", *up.UploadId + "/.", *up.UploadId + ".0.inprogress"} {
		for verb, err := range withUpload(t, api, box, key, &id) {
			if codeOf(err) != "NoSuchUpload" {
				t.Errorf("%s with the id %s: %v", verb, id, err)
			}
		}
	}
	if got, err := read(t, other, "d/1"); err != nil || got != "kept" {
		t.Errorf("the other bucket's object holds %q, %v", got, err)
	}
	_, err = api.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: box, Key: key, UploadId: up.UploadId})
	must(t, err)
}

// withUpload sends each request that names an upload; aborting comes last.
func withUpload(t *testing.T, api *s3.Client, box, key, id *string) map[string]error {
	ctx, one := t.Context(), aws.Int32(1)
	_, part := api.UploadPart(ctx, &s3.UploadPartInput{Bucket: box, Key: key, UploadId: id, PartNumber: one, Body: strings.NewReader("other")})
	_, copied := api.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: box, Key: key, UploadId: id, PartNumber: one, CopySource: aws.String("other/d/1")})
	_, listed := api.ListParts(ctx, &s3.ListPartsInput{Bucket: box, Key: key, UploadId: id})
	_, completed := api.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: box, Key: key, UploadId: id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: one, ETag: aws.String("e")}}}})
	_, aborted := api.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: box, Key: key, UploadId: id})
	return map[string]error{"part": part, "copy": copied, "list": listed, "complete": completed, "abort": aborted}
}
