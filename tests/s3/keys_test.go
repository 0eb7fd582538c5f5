package s3_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/batholith/batholith/internal/object"
)

// oddKeys are keys of S3 whose path would be that of a/b.
var oddKeys = []string{"a//b", "/a/b", "./a/b", "a/./b", "a/x/../b", "a/b//", ".sgwtmp/../a/b"}

func codeOf(err error) string {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		return answer.ErrorCode()
	}
	return ""
}

func TestKeysThatCannotBeKeptAreNeverAnother(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	api, box := sdk(e.url, keyID, secret, http.DefaultClient), aws.String("box")
	b := client(t, e, keyID, secret).Bucket("box", noOptions)
	must(t, b.Put(t.Context(), "a/b", []byte("kept")))
	for _, key := range oddKeys {
		refusesToMake(t, api, box, &key)
		findsNothing(t, api, box, &key)
		_, err := api.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: box, Key: &key})
		must(t, err) // what is not there is deleted
	}
	deletesOnly(t, api, box, "a/c")
	if got, err := read(t, b, "a/b"); err != nil || got != "kept" {
		t.Errorf("a/b holds %q, %v", got, err)
	}
}

func refusesToMake(t *testing.T, api *s3.Client, box, key *string) {
	ctx := t.Context()
	_, put := api.PutObject(ctx, &s3.PutObjectInput{Bucket: box, Key: key, Body: strings.NewReader("other")})
	_, copied := api.CopyObject(ctx, &s3.CopyObjectInput{Bucket: box, Key: key, CopySource: aws.String("box/a/b")})
	_, begun := api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: box, Key: key})
	for verb, err := range map[string]error{"put": put, "copy": copied, "upload": begun} {
		if codeOf(err) != "InvalidArgument" || !strings.Contains(err.Error(), "keeps objects in files") {
			t.Errorf("%s of %q: %v", verb, *key, err)
		}
	}
}

func findsNothing(t *testing.T, api *s3.Client, box, key *string) {
	ctx := t.Context()
	_, get := api.GetObject(ctx, &s3.GetObjectInput{Bucket: box, Key: key})
	_, head := api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: box, Key: key})
	_, from := api.CopyObject(ctx, &s3.CopyObjectInput{Bucket: box, Key: aws.String("copied"), CopySource: aws.String(url.QueryEscape("box/" + *key))})
	_, tags := api.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: box, Key: key})
	_, tag := api.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: box, Key: key,
		Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}})
	for verb, err := range map[string]error{"get": get, "copy from": from, "tags": tags, "tag": tag} {
		if codeOf(err) != "NoSuchKey" {
			t.Errorf("%s of %q: %v", verb, *key, err)
		}
	}
	if codeOf(head) != "NotFound" {
		t.Errorf("head of %q: %v", *key, head)
	}
}

// deletesOnly deletes one object and, in the same request, keys that are none.
func deletesOnly(t *testing.T, api *s3.Client, box *string, key string) {
	_, err := api.PutObject(t.Context(), &s3.PutObjectInput{Bucket: box, Key: &key})
	must(t, err)
	objects := []types.ObjectIdentifier{{Key: &key}}
	for _, odd := range oddKeys {
		objects = append(objects, types.ObjectIdentifier{Key: &odd})
	}
	out, err := api.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: box, Delete: &types.Delete{Objects: objects}})
	must(t, err)
	if len(out.Deleted) != len(objects) || len(out.Errors) != 0 {
		t.Errorf("deleted %d of %d, %v", len(out.Deleted), len(objects), out.Errors)
	}
	if _, err := api.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: box, Key: &key}); codeOf(err) != "NotFound" {
		t.Errorf("%s is still there: %v", key, err)
	}
}

func TestKeysOfDirectoriesAreObjects(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	api, box, marker := sdk(e.url, keyID, secret, http.DefaultClient), aws.String("box"), aws.String("a/")
	_, err := api.PutObject(t.Context(), &s3.PutObjectInput{Bucket: box, Key: marker})
	must(t, err)
	must(t, client(t, e, keyID, secret).Bucket("box", object.Options{}).Put(t.Context(), "a/b", []byte("x")))
	_, err = api.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: box, Key: marker})
	must(t, err)
	out, err := api.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: box})
	must(t, err)
	if len(out.Contents) != 2 || *out.Contents[0].Key != "a/" || *out.Contents[1].Key != "a/b" {
		t.Errorf("listed %v", out.Contents)
	}
	_, err = api.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: box, Key: marker})
	must(t, err)
}

func TestObjectsOfTheLongestNamesAreReplaced(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	b := client(t, e, keyID, secret).Bucket("box", noOptions)
	key := strings.Repeat("k", 255) // what a file system gives a name
	for _, body := range []string{"first", "second"} {
		must(t, b.Put(t.Context(), key, []byte(body)))
		if got, err := read(t, b, key); err != nil || got != body {
			t.Errorf("%q, %v", got, err)
		}
	}
}
