package s3serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3err"
)

const (
	copyLimit  = 5 << 30   // largest object that one copy request takes (S3: CopyObject, 5 GiB)
	copyBuffer = 256 << 10 // memory of a request that takes bytes in
)

// store is the gateway's storage as the gateway's HTTP side sees it: each call is checked against the signer's buckets and has its
// effect on disk before it returns. Its methods are in store_buckets.go, store_objects.go and store_uploads.go.
//
// The gateway's storage takes a bucket's name for a path relative to the current directory, into which it would move the
// whole process. So it is given absolute paths for names, and what comes back is given its name again.
type store struct {
	posix    *posix.Posix
	meta     durableMeta
	names    *names
	accounts *accounts
	log      *slog.Logger
	buckets  string // directory of all buckets, absolute
	region   string

	seed       maphash.Seed
	completing [64]sync.Mutex // by upload: its completions and aborts run one after the other
}

var _ backend.Backend = (*store)(nil)

func openStore(buckets, sidecar string, metaFiles bool, accounts *accounts, log *slog.Logger, d disk) (*store, error) {
	meta, err := openMeta(buckets, sidecar, metaFiles, d)
	if err != nil {
		return nil, err
	}
	s := &store{meta: meta, names: newNames(d, buckets), accounts: accounts, log: log, buckets: buckets, seed: maphash.MakeSeed()}
	if s.posix, err = posix.New(".", meta, options()); err != nil { // "." so that it stays where we are
		return nil, fmt.Errorf("open the S3 directory %s: %w", buckets, err)
	}
	if err := errors.Join(s.names.rooted(), s.recoverUploads(), s.meta.sweep()); err != nil {
		s.close()
		return nil, fmt.Errorf("open the S3 directory %s: %w", buckets, err)
	}
	return s, nil
}

func options() posix.PosixOpts {
	o := posix.PosixOpts{
		CopyObjectThreshold: copyLimit,
		ForceNoObjLockFile:  true, // no other process works on the directory
		IOBufferSize:        copyBuffer,
		// Files without names would be linked into the bucket as .KEY.sgwtmp.N to replace an object, stay there if the process
		// dies before the second step, and be listed as objects. With names of their own, they lie where openStore clears up.
		ForceNoTmpFile: true,
	}
	o.SetNewDirPerm(0o700)
	o.SetNewFilePerm(0o600)
	return o
}

func (s *store) close() { s.posix.Shutdown() }

// signer is the access key that signed the request, "" when nobody did. The gateway puts it into each request's context.
func signer(ctx context.Context) string {
	account, _ := ctx.Value("account").(auth.Account)
	if account.Access != "" {
		prove(ctx)
	}
	return account.Access
}

// path is what the gateway's storage is told for the name of a bucket.
func (s *store) path(bucket string) string { return filepath.Join(s.buckets, bucket) }

// call runs f, with the bucket's path, for a request that touches the bucket: if its signer may, if it is the bucket of the
// request's address, and if the request's document came in whole.
func call[R any](s *store, ctx context.Context, verb, bucket string, f func(path string) (R, error)) (out R, err error) {
	switch a := addressOf(ctx); {
	case !s.accounts.may(signer(ctx), bucket):
		return out, s3err.GetAPIError(s3err.ErrAccessDenied)
	case a != nil && a.bucket != bucket:
		s.log.Error("embedded S3: a request was routed to another bucket than it named, and refused", "verb", verb)
		return out, s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	if err := whole(ctx); err != nil {
		return out, err
	}
	if verb == "GetBucketAcl" { // which the gateway asks for every request, to see whether there is such a bucket
		allow(ctx)
	} else if err := refuseUnrouted(addressOf(ctx)); err != nil {
		return out, err
	}
	out, err = f(s.path(bucket))
	return out, s.explain(verb, err)
}

// exec is call for what answers nothing but an error.
func (s *store) exec(ctx context.Context, verb, bucket string, f func(path string) error) error {
	_, err := call(s, ctx, verb, bucket, func(path string) (struct{}, error) { return struct{}{}, f(path) })
	return err
}

// explain makes an error fit for the client. One that is no answer of S3's is a fault of ours: it is logged here, and the
// client learns only that.
func (s *store) explain(verb string, err error) error {
	var named s3err.BucketError
	var answer s3err.S3Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return refusal(http.StatusServiceUnavailable, "ServiceUnavailable", "The request was called off.")
	case errors.As(err, &named):
		named.BucketName = filepath.Base(named.BucketName)
		return named
	case errors.As(err, &answer):
		return err
	}
	s.log.Error("embedded S3: request failed", "verb", verb, "error", err)
	return s3err.GetAPIError(s3err.ErrInternalError)
}

// ensureBucket makes a bucket, for no client.
func (s *store) ensureBucket(ctx context.Context, name string) error {
	owner, path := s.accounts.BucketOwner(), s.path(name)
	acl, err := json.Marshal(auth.ACL{Owner: owner.Access})
	if err != nil {
		return fmt.Errorf("make bucket %s: %w", name, err)
	}
	ctx = context.WithValue(ctx, "bucket-owner", owner) //nolint:staticcheck // the gateway's key
	err = s.posix.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &path,
		ObjectOwnership:           types.ObjectOwnershipBucketOwnerEnforced,
		CreateBucketConfiguration: &types.CreateBucketConfiguration{}}, acl)
	if _, serr := os.Stat(path); serr == nil && err != nil {
		err = nil // it was there
	}
	if err == nil {
		err = s.names.appeared(name, "")
	}
	if err != nil {
		return fmt.Errorf("make bucket %s: %w", name, err)
	}
	return nil
}

// String names the storage.
func (s *store) String() string { return "Batholith" }

// Shutdown is the gateway's; close does it.
func (s *store) Shutdown() {}

// NormalizeObjectKey gives a key its clean form.
func (s *store) NormalizeObjectKey(bucket, key string) string {
	return s.posix.NormalizeObjectKey(bucket, key)
}
