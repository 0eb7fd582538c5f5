package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/s3serve"
	"github.com/batholith/batholith/internal/sigv4"
)

// otherID is a second account; eve is its key.
const otherID = "111111111111"

var eve = s3serve.Account{AccessKeyID: "AKEVE", Secret: "eve-secret", Identity: sigv4.Identity{Account: otherID, Principal: "eve"}}

// two are the clients of two accounts of one server. The bucket ours belongs to the first, theirs to the second; each has the object k.
func two(t *testing.T) (e endpoint, ours, theirs *s3.Client) {
	t.Helper()
	e = serve(t, t.TempDir(), eve)
	ours, theirs = sdk(e.url, keyID, secret, http.DefaultClient), sdk(e.url, eve.AccessKeyID, eve.Secret, http.DefaultClient)
	for name, api := range map[string]*s3.Client{"ours": ours, "theirs": theirs} {
		_, err := api.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name})
		must(t, err)
		_, err = api.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: aws.String("k"), Body: strings.NewReader(name)})
		must(t, err)
	}
	return e, ours, theirs
}

// visits are calls on a bucket that exists and has the object k. Each reads, changes or reveals something.
func visits(ctx context.Context, api *s3.Client, bucket string) map[string]error {
	name, key, errs := aws.String(bucket), aws.String("k"), map[string]error{}
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::%s/x"}]}`, bucket)
	_, errs["HeadBucket"] = api.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: name})
	_, errs["GetBucketLocation"] = api.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: name})
	_, errs["GetBucketAcl"] = api.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: name})
	_, errs["GetBucketVersioning"] = api.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: name})
	_, errs["GetBucketLogging"] = api.GetBucketLogging(ctx, &s3.GetBucketLoggingInput{Bucket: name})
	_, errs["PutBucketPolicy"] = api.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: name, Policy: &policy})
	_, errs["GetBucketPolicy"] = api.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: name})
	_, errs["DeleteBucketPolicy"] = api.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: name})
	_, errs["PutBucketTagging"] = api.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: name, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: key, Value: key}}}})
	_, errs["ListObjects"] = api.ListObjects(ctx, &s3.ListObjectsInput{Bucket: name})
	_, errs["ListObjectsV2"] = api.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: name})
	_, errs["ListObjectVersions"] = api.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: name})
	_, errs["ListMultipartUploads"] = api.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: name})
	_, errs["GetObject"] = api.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: key})
	_, errs["HeadObject"] = api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: name, Key: key})
	_, errs["GetObjectAttributes"] = api.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: name, Key: key, ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesEtag}})
	_, errs["GetObjectTagging"] = api.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: name, Key: key})
	_, errs["GetObjectAcl"] = api.GetObjectAcl(ctx, &s3.GetObjectAclInput{Bucket: name, Key: key})
	_, errs["PutObject"] = api.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: aws.String("new"), Body: strings.NewReader("x")})
	_, errs["PutObjectTagging"] = api.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: name, Key: key, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: key, Value: key}}}})
	_, errs["PutObjectAcl"] = api.PutObjectAcl(ctx, &s3.PutObjectAclInput{Bucket: name, Key: key, ACL: types.ObjectCannedACLPrivate})
	_, errs["CreateMultipartUpload"] = api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: name, Key: aws.String("up")})
	_, errs["DeleteObject"] = api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: name, Key: aws.String("none")})
	_, errs["DeleteObjects"] = api.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: name, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("none")}}}})
	return errs
}

func TestABucketKeepsToItsAccount(t *testing.T) {
	e, ours, theirs := two(t)
	ctx := t.Context()
	for verb, err := range visits(ctx, ours, "ours") {
		if err != nil {
			t.Errorf("%s in one's own bucket: %v", verb, err)
		}
	}
	for verb, err := range visits(ctx, theirs, "ours") {
		if code := codeOf(err); code != "AccessDenied" && !(strings.HasPrefix(verb, "Head") && code == "Forbidden") {
			t.Errorf("%s in the bucket of another account: %v", verb, err)
		}
	}
	key := aws.String("k")
	up, err := ours.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("ours"), Key: key})
	must(t, err)
	for verb, f := range map[string]func() error{
		"copy from": func() error {
			_, err := theirs.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("theirs"), Key: aws.String("stolen"), CopySource: aws.String("ours/k")})
			return err
		},
		"copy to": func() error {
			_, err := theirs.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("ours"), Key: aws.String("planted"), CopySource: aws.String("theirs/k")})
			return err
		},
		"upload a part": func() error {
			_, err := theirs.UploadPart(ctx, &s3.UploadPartInput{Bucket: aws.String("ours"), Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
			return err
		},
		"copy a part": func() error {
			mine, err := theirs.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("theirs"), Key: key})
			must(t, err)
			_, err = theirs.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: aws.String("theirs"), Key: key, UploadId: mine.UploadId, PartNumber: aws.Int32(1), CopySource: aws.String("ours/k")})
			return err
		},
		"list parts": func() error {
			_, err := theirs.ListParts(ctx, &s3.ListPartsInput{Bucket: aws.String("ours"), Key: key, UploadId: up.UploadId})
			return err
		},
		"abort": func() error {
			_, err := theirs.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: aws.String("ours"), Key: key, UploadId: up.UploadId})
			return err
		},
		"delete the object": func() error {
			_, err := theirs.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("ours"), Key: key})
			return err
		},
		"delete the bucket": func() error {
			_, err := theirs.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("ours")})
			return err
		},
	} {
		if code := codeOf(f()); code != "AccessDenied" {
			t.Errorf("%s across accounts: %q", verb, code)
		}
	}
	signed, err := s3.NewPresignClient(theirs).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("ours"), Key: key})
	must(t, err)
	if status, body := get(t, signed.URL); status != http.StatusForbidden || !strings.Contains(body, "AccessDenied") {
		t.Errorf("a presigned URL of another account: %d %s", status, body)
	}
	if status, body := form(t, e, eve, "ours"); status != http.StatusForbidden || !strings.Contains(body, "AccessDenied") {
		t.Errorf("a form of another account: %d %s", status, body)
	}
	if status, body := form(t, e, eve, "theirs"); status != http.StatusNoContent {
		t.Errorf("a form of the account itself: %d %s", status, body)
	}
	out, err := ours.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("ours"), Key: key})
	must(t, err)
	if text, _ := io.ReadAll(out.Body); string(text) != "ours" {
		t.Errorf("the object is %q now", text)
	}
}

// get is a request without keys.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(body)
}

// form uploads by a form that the key signed.
func form(t *testing.T, e endpoint, key s3serve.Account, bucket string) (int, string) {
	t.Helper()
	post, err := s3.NewPresignClient(sdk(e.url, key.AccessKeyID, key.Secret, http.DefaultClient)).PresignPostObject(t.Context(),
		&s3.PutObjectInput{Bucket: &bucket, Key: aws.String("by-form")})
	must(t, err)
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, value := range post.Values {
		must(t, w.WriteField(name, value))
	}
	file, err := w.CreateFormFile("file", "f")
	must(t, err)
	_, err = io.WriteString(file, "by form")
	must(t, err)
	must(t, w.Close())
	resp, err := http.Post(post.URL, w.FormDataContentType(), &body)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(text)
}

func TestAnAccountListsItsBucketsOnly(t *testing.T) {
	_, ours, theirs := two(t)
	for want, api := range map[string]*s3.Client{"ours": ours, "theirs": theirs} {
		out, err := api.ListBuckets(t.Context(), &s3.ListBucketsInput{})
		must(t, err)
		if len(out.Buckets) != 1 || *out.Buckets[0].Name != want {
			t.Errorf("%s lists %d buckets", want, len(out.Buckets))
		}
		if owner := map[string]string{"ours": accountID, "theirs": otherID}[want]; aws.ToString(out.Owner.ID) != owner {
			t.Errorf("the owner of %s is %q", want, aws.ToString(out.Owner.ID))
		}
	}
}

func TestANameBelongsToTheAccountThatTookIt(t *testing.T) {
	_, ours, theirs := two(t)
	for _, c := range []struct {
		api        *s3.Client
		name, want string
	}{{ours, "ours", ""}, {theirs, "ours", "BucketAlreadyExists"}, {ours, "theirs", "BucketAlreadyExists"}, {theirs, "theirs", ""}} {
		_, err := c.api.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &c.name})
		if codeOf(err) != c.want {
			t.Errorf("creating %s again: %v, want %q", c.name, err, c.want)
		}
	}
	_, err := theirs.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: aws.String("none")})
	if codeOf(err) != "NoSuchBucket" {
		t.Errorf("a bucket that nobody has: %v", err)
	}
}

func TestTheExpectedOwnerIsComparedWithTheTrueOne(t *testing.T) {
	e, ours, theirs := two(t)
	for _, c := range []struct {
		api                    *s3.Client
		bucket, expected, want string
	}{{ours, "ours", accountID, ""}, {ours, "ours", otherID, "AccessDenied"}, {theirs, "theirs", otherID, ""}, {theirs, "theirs", accountID, "AccessDenied"}, {theirs, "ours", accountID, "AccessDenied"}} {
		_, err := c.api.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &c.bucket, Key: aws.String("k"), ExpectedBucketOwner: &c.expected})
		if codeOf(err) != c.want {
			t.Errorf("%s expected of %s: %v, want %q", c.bucket, c.expected, err, c.want)
		}
	}
	for _, c := range []struct {
		key           s3serve.Account
		bucket, owner string
		want          error
	}{{key: eve, bucket: "theirs", owner: otherID}, {key: eve, bucket: "theirs", owner: accountID, want: batholith.ErrAccessDenied},
		{key: eve, bucket: "ours", owner: "", want: batholith.ErrAccessDenied}, {key: eve, bucket: "ours", owner: accountID, want: batholith.ErrAccessDenied}} {
		over := client(t, e, c.key.AccessKeyID, c.key.Secret).Bucket(c.bucket, object.Options{Owner: c.owner})
		for way, b := range map[string]blob.Bucket{"over HTTP": over, "near": e.server.Near(c.key.AccessKeyID, c.bucket, c.owner, "", over)} {
			_, head := b.Head(t.Context(), "k")
			listed := error(nil)
			for _, err := range b.List(t.Context(), "") {
				listed = err
			}
			_, read := b.Read(t.Context(), "k", "", 0, 4)
			for verb, err := range map[string]error{"head": head, "list": listed, "read": read, "put": b.Put(t.Context(), "p", []byte("x")), "delete": b.Delete(t.Context(), "p")} {
				if !errors.Is(err, c.want) {
					t.Errorf("%s %s of %s, expected of %q: %v, want %v", verb, way, c.bucket, c.owner, err, c.want)
				}
			}
		}
	}
}

func TestABucketIsNotOpenedToOtherAccounts(t *testing.T) {
	e, ours, theirs := two(t)
	ctx, name := t.Context(), aws.String("ours")
	for _, principal := range []string{`"*"`, `{"AWS":["*"]}`, `{"AWS":["` + keyID + `","` + otherID + `"]}`, `{"AWS":"AKEVE"}`, `{"AWS":"AKNOBODY"}`} {
		_, err := ours.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: name, Policy: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"s3:*","Resource":["arn:aws:s3:::ours","arn:aws:s3:::ours/*"]}]}`)})
		must(t, err)
		if _, err := theirs.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: aws.String("k")}); codeOf(err) != "AccessDenied" {
			t.Errorf("with a policy for %s another account reads: %v", principal, err)
		}
		if status, _ := get(t, e.url+"/ours/k"); status != http.StatusForbidden {
			t.Errorf("with a policy for %s everybody reads: %d", principal, status)
		}
	}
	var err error
	_, err = ours.PutBucketOwnershipControls(ctx, &s3.PutBucketOwnershipControlsInput{Bucket: name,
		OwnershipControls: &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{ObjectOwnership: types.ObjectOwnershipObjectWriter}}}})
	must(t, err)
	for what, in := range map[string]*s3.PutBucketAclInput{"public": {Bucket: name, ACL: types.BucketCannedACLPublicRead}, "another account": {Bucket: name, GrantRead: aws.String("id=" + otherID)}} {
		if _, err := ours.PutBucketAcl(ctx, in); codeOf(err) != "AccessDenied" {
			t.Errorf("an ACL for %s: %v", what, err)
		}
	}
	_, err = ours.PutBucketAcl(ctx, &s3.PutBucketAclInput{Bucket: name, ACL: types.BucketCannedACLPrivate})
	must(t, err)
	_, err = ours.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("open"), ACL: types.BucketCannedACLPublicReadWrite, ObjectOwnership: types.ObjectOwnershipObjectWriter})
	if codeOf(err) != "AccessDenied" {
		t.Errorf("a bucket that is made for everybody: %v", err)
	}
}

// Before buckets had accounts, the owner of each was the account that was configured when it was made.
func TestBucketsFromBeforeBelongToTheConfiguredAccount(t *testing.T) {
	dir := t.TempDir()
	const former = "222222222222"
	before, err := s3serve.New(s3serve.Options{Dir: dir, Region: region, Owner: former})
	must(t, err)
	must(t, before.EnsureBucket("old"))
	must(t, before.Close())
	must(t, os.Remove(filepath.Join(dir, "owners"))) // as it was
	e := serve(t, dir, eve)
	for key, want := range map[string]error{keyID: nil, eve.AccessKeyID: batholith.ErrAccessDenied} {
		b := client(t, e, key, map[string]string{keyID: secret, eve.AccessKeyID: eve.Secret}[key]).Bucket("old", object.Options{})
		if err := b.Put(t.Context(), "k", []byte("x")); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", key, err, want)
		}
	}
	e.stop()
	e = serveWith(t, s3serve.Options{Dir: dir, Accounts: []s3serve.Account{eve}}) // again, with the mark
	must(t, client(t, e, keyID, secret).Bucket("old", object.Options{Owner: accountID}).Put(t.Context(), "k", []byte("y")))
}
