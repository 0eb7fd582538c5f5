package s3serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3err"
)

// copyLimit is the largest object that one copy request takes (S3: CopyObject, 5 GiB).
const copyLimit = 5 << 30

// store is the gateway's storage as the gateway's HTTP side sees it: each call is checked against the signer's buckets, runs in
// the cage, and has its effect on disk before it returns. Its methods are in store_buckets.go, store_objects.go and
// store_uploads.go.
type store struct {
	posix    *posix.Posix
	meta     durableMeta
	cage     *cage
	names    *names
	accounts *accounts
	log      *slog.Logger

	seed       maphash.Seed
	completing [64]sync.Mutex // by upload: its completions run one after the other
}

var _ backend.Backend = (*store)(nil)

func openStore(buckets, sidecar string, metaFiles bool, accounts *accounts, log *slog.Logger, d disk) (*store, error) {
	meta, err := openMeta(buckets, sidecar, metaFiles, d)
	if err != nil {
		return nil, err
	}
	cage, err := newCage(buckets)
	if err != nil {
		return nil, err
	}
	s := &store{meta: meta, cage: cage, names: newNames(d, buckets), accounts: accounts, log: log, seed: maphash.MakeSeed()}
	cerr := cage.do(func() {
		if s.posix, err = posix.New(buckets, meta, options()); err == nil {
			err = s.recoverUploads()
		}
	})
	if err := errors.Join(cerr, err); err != nil {
		cage.close()
		return nil, fmt.Errorf("open the S3 directory %s: %w", buckets, err)
	}
	return s, nil
}

func options() posix.PosixOpts {
	o := posix.PosixOpts{
		CopyObjectThreshold: copyLimit,
		ForceNoObjLockFile:  true, // no other process works on the directory
		ValidateBucketNames: true,
	}
	o.SetNewDirPerm(0o700)
	o.SetNewFilePerm(0o600)
	return o
}

func (s *store) close() {
	s.cage.close()
	s.posix.Shutdown()
}

// signer is the access key that signed the request, "" when nobody did. The gateway puts it into each request's context.
func signer(ctx context.Context) string {
	account, _ := ctx.Value("account").(auth.Account)
	return account.Access
}

// call runs f for a request that touches a bucket.
func call[R any](s *store, ctx context.Context, verb, bucket string, f func() (R, error)) (R, error) {
	if !s.accounts.may(signer(ctx), bucket) {
		var none R
		return none, s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	return run(s, verb, f)
}

// run runs f in the cage. What is no answer of S3's is a fault of ours: it is logged here, and the client learns only that.
func run[R any](s *store, verb string, f func() (R, error)) (result R, err error) {
	if cerr := s.cage.do(func() { result, err = f() }); cerr != nil {
		err = cerr
	}
	var answer s3err.S3Error
	if err != nil && !errors.As(err, &answer) && !errors.Is(err, context.Canceled) {
		s.log.Error("embedded S3: request failed", "verb", verb, "error", err)
		err = s3err.GetAPIError(s3err.ErrInternalError)
	}
	return result, err
}

// exec is call for what answers nothing but an error.
func (s *store) exec(ctx context.Context, verb, bucket string, f func() error) error {
	_, err := call(s, ctx, verb, bucket, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// ensureBucket makes a bucket, for no client.
func (s *store) ensureBucket(ctx context.Context, name string) error {
	owner := s.accounts.BucketOwner()
	acl, err := json.Marshal(auth.ACL{Owner: owner.Access})
	if err != nil {
		return fmt.Errorf("make bucket %s: %w", name, err)
	}
	ctx = context.WithValue(ctx, "bucket-owner", owner) //nolint:staticcheck // the gateway's key
	cerr := s.cage.do(func() {
		err = s.posix.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name,
			ObjectOwnership:           types.ObjectOwnershipBucketOwnerEnforced,
			CreateBucketConfiguration: &types.CreateBucketConfiguration{}}, acl)
		if _, serr := os.Stat(name); serr == nil && err != nil {
			err = nil // it was there
		}
		if err == nil {
			err = s.names.appeared(name, "")
		}
	})
	if err := errors.Join(cerr, err); err != nil {
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
