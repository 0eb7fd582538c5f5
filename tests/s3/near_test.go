package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/object/objecttest"
	"github.com/batholith/batholith/internal/s3serve"
	"github.com/batholith/batholith/internal/sigv4"
)

// far counts the calls that go over HTTP.
type far struct {
	blob.Bucket
	calls *atomic.Int64
}

func (f far) Put(ctx context.Context, key string, body []byte) error {
	f.calls.Add(1)
	return f.Bucket.Put(ctx, key, body)
}

func (f far) Head(ctx context.Context, key string) (batholith.Object, error) {
	f.calls.Add(1)
	return f.Bucket.Head(ctx, key)
}

func (f far) Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error) {
	f.calls.Add(1)
	return f.Bucket.Read(ctx, key, etag, offset, n)
}

func (f far) Delete(ctx context.Context, keys ...string) error {
	f.calls.Add(1)
	return f.Bucket.Delete(ctx, keys...)
}

func (f far) List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error] {
	f.calls.Add(1)
	return f.Bucket.List(ctx, prefix)
}

func (f far) ListUploads(ctx context.Context, prefix string) iter.Seq2[batholith.Upload, error] {
	f.calls.Add(1)
	return f.Bucket.ListUploads(ctx, prefix)
}

// near is a bucket as the process that embeds the server reaches it.
func near(t *testing.T, e endpoint, id, secret, name string) (blob.Bucket, *atomic.Int64) {
	t.Helper()
	calls := &atomic.Int64{}
	return e.server.Near(id, name, accountID, "", far{client(t, e, id, secret).Bucket(name, object.Options{Owner: accountID}), calls}), calls
}

func TestANearBucketKeepsTheLawOfABucket(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]bool{"attributes": false, "files": true} {
		t.Run(name, func(t *testing.T) {
			e := serveWith(t, s3serve.Options{Dir: t.TempDir(), MetaFiles: files})
			n := 0
			objecttest.Run(t, func(t *testing.T) objecttest.Bucket {
				n++
				name := fmt.Sprintf("law-%d", n)
				must(t, e.server.EnsureBucket(name))
				b, _ := near(t, e, keyID, secret, name)
				return b
			})
			absent, _ := near(t, e, keyID, secret, "absent-bucket")
			objecttest.RunRemote(t, absent)
		})
	}
}

// What a job does with small objects is not sent to the process's own listener, and both ways show the same.
func TestANearBucketIsTheBucket(t *testing.T) {
	e := serve(t, t.TempDir())
	if err := e.server.EnsureBucket("box"); err != nil {
		t.Fatal(err)
	}
	b, calls := near(t, e, keyID, secret, "box")
	over := client(t, e, keyID, secret).Bucket("box", object.Options{})
	body := bytes.Repeat([]byte("0123456789"), 100_000)
	for key, text := range map[string][]byte{"a/small": body[:100], "a/large": body, "a/empty": nil} {
		if err := b.Put(t.Context(), key, text); err != nil {
			t.Fatal(err)
		}
		got, err := b.Head(t.Context(), key)
		want, werr := over.Head(t.Context(), key)
		if err != nil || werr != nil {
			t.Fatal(err, werr)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s near (-over HTTP +near):\n%s", key, diff)
		}
		if len(text) > 0 {
			if got := readRange(t, b, key, want.ETag, int64(len(text))); !bytes.Equal(got, text) {
				t.Errorf("%s: %d bytes", key, len(got))
			}
			if got := readRange(t, b, key, want.ETag, 10); !bytes.Equal(got, text[:10]) {
				t.Errorf("%s: a range %q", key, got)
			}
		}
	}
	if diff := cmp.Diff(keysOf(t, over), keysOf(t, b)); diff != "" {
		t.Errorf("a list (-over HTTP +near):\n%s", diff)
	}
	for u, err := range b.ListUploads(t.Context(), "a/") {
		t.Errorf("%v, %v", u, err)
	}
	if err := b.Delete(t.Context(), "a/small", "a/large", "a/empty", "a/none"); err != nil {
		t.Fatal(err)
	}
	if left := keysOf(t, over); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if n := calls.Load(); n > 0 {
		t.Errorf("%d calls went over HTTP", n)
	}
}

func readRange(t *testing.T, b blob.Bucket, key, etag string, n int64) []byte {
	t.Helper()
	body, err := b.Read(t.Context(), key, etag, 0, n)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	all, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func keysOf(t *testing.T, b blob.Bucket) (all []string) {
	t.Helper()
	for o, err := range b.List(t.Context(), "a/") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o.Key)
	}
	return all
}

// A key reaches near what it reaches over HTTP, and is told what it is told there.
func TestANearBucketRefusesWhatTheServerRefuses(t *testing.T) {
	e := serve(t, t.TempDir(), s3serve.Account{AccessKeyID: "NARROW", Secret: "narrow-secret", Buckets: []string{"mine"}})
	for _, name := range []string{"mine", "theirs"} {
		if err := e.server.EnsureBucket(name); err != nil {
			t.Fatal(err)
		}
	}
	theirs, _ := near(t, e, "NARROW", "narrow-secret", "theirs")
	mine, _ := near(t, e, "NARROW", "narrow-secret", "mine")
	if err := mine.Put(t.Context(), "k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := theirs.Put(t.Context(), "k", []byte("x")); !errors.Is(err, batholith.ErrAccessDenied) {
		t.Errorf("put into another's bucket: %v", err)
	}
	if _, err := theirs.Head(t.Context(), "k"); !errors.Is(err, batholith.ErrAccessDenied) {
		t.Errorf("head in another's bucket: %v", err)
	}
	if err := mine.Put(t.Context(), "a/../../theirs/k", []byte("x")); err == nil {
		t.Error("a key that leaves the bucket is taken")
	}
	for _, o := range []struct {
		owner     string
		encrypted bool
		want      error
	}{{"999999999999", false, batholith.ErrAccessDenied}, {accountID, true, batholith.ErrRefused}} {
		kms := map[bool]string{true: "key"}[o.encrypted]
		b := e.server.Near(keyID, "mine", o.owner, kms, client(t, e, keyID, secret).Bucket("mine", object.Options{Owner: o.owner, KMSKeyID: kms}))
		if err := b.Put(t.Context(), "k", []byte("x")); !errors.Is(err, o.want) {
			t.Errorf("owner %s, encrypted %v: %v", o.owner, o.encrypted, err)
		}
	}
	unknown, _ := near(t, e, "NOBODY", "nothing", "mine")
	if err := unknown.Put(t.Context(), "k", []byte("x")); !errors.Is(err, batholith.ErrAccessDenied) {
		t.Errorf("a key that nobody has: %v", err)
	}
}

// A bucket belongs to the account that the server had when the bucket was made, near as over HTTP.
func TestANearBucketKeepsItsOwner(t *testing.T) {
	const former = "111111111111"
	dir := t.TempDir()
	before, err := s3serve.New(s3serve.Options{Dir: dir, Region: region, Owner: former})
	must(t, err)
	must(t, before.EnsureBucket("old"))
	must(t, before.Close())
	e := serve(t, dir, s3serve.Account{AccessKeyID: "AKFORMER", Secret: "former-secret", Identity: sigv4.Identity{Account: former}})
	for owner, want := range map[string]error{"": nil, former: nil, accountID: batholith.ErrAccessDenied} {
		over := client(t, e, "AKFORMER", "former-secret").Bucket("old", object.Options{Owner: owner})
		calls := &atomic.Int64{}
		b := e.server.Near("AKFORMER", "old", owner, "", far{over, calls})
		for way, b := range map[string]blob.Bucket{"HTTP": over, "near": b} {
			if err := b.Put(t.Context(), "k", []byte("x")); !errors.Is(err, want) {
				t.Errorf("%s, owner %q: %v; want %v", way, owner, err, want)
			}
			if _, err := b.Head(t.Context(), "k"); !errors.Is(err, want) {
				t.Errorf("%s, owner %q: %v; want %v", way, owner, err, want)
			}
		}
		if (calls.Load() == 0) != (want == nil) {
			t.Errorf("owner %q: %d calls went over HTTP", owner, calls.Load())
		}
	}
}

// An object that is locked stays, whichever way it is asked for.
func TestANearBucketKeepsLockedObjects(t *testing.T) {
	e := serve(t, t.TempDir())
	api := client(t, e, keyID, secret).API()
	if _, err := api.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("locked"), ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	b, calls := near(t, e, keyID, secret, "locked")
	if err := b.Put(t.Context(), "k", []byte("first")); err != nil {
		t.Fatal(err)
	}
	if _, err := api.PutObjectLegalHold(t.Context(), &s3.PutObjectLegalHoldInput{Bucket: aws.String("locked"), Key: aws.String("k"),
		LegalHold: &types.ObjectLockLegalHold{Status: types.ObjectLockLegalHoldStatusOn}}); err != nil {
		t.Fatal(err)
	}
	before := calls.Load()
	put, deleted := b.Put(t.Context(), "k", []byte("second")), b.Delete(t.Context(), "k")
	if calls.Load() != before+2 {
		t.Errorf("%d calls went over HTTP, where locks are looked at; want 2", calls.Load()-before)
	}
	if got := readRange(t, b, "k", "", 5); string(got) != "first" {
		t.Errorf("the locked object is %q now (%v, %v)", got, put, deleted)
	}
}
