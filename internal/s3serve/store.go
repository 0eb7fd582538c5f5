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

	"github.com/batholith/batholith/internal/kms"
)

const (
	copyLimit  = 5 << 30   // largest object that one copy request accepts (S3: CopyObject, 5 GiB)
	copyBuffer = 256 << 10 // buffer of a request that receives bytes
)

// store is the storage that the gateway's HTTP side calls. It checks each call against the
// signer's buckets, passes it to the gateway's posix storage, and makes its effect durable
// before it returns. Methods are in store_buckets.go, store_objects.go, store_copies.go and
// store_uploads.go.
//
// The posix storage treats a bucket's name as a path relative to the current directory, and
// would change the current directory of the whole process. So it gets absolute paths instead of
// names, and results get their names back.
type store struct {
	posix    *posix.Posix
	meta     durableMeta
	names    *names
	accounts *accounts
	log      *slog.Logger
	buckets  string // directory of all buckets, an absolute path
	region   string

	authorizer Authorizer // nil: everything is allowed within an account

	keys *kms.Ring // nil: nothing is encrypted

	seed       maphash.Seed   // for the index in completing
	completing [64]sync.Mutex // locks by hash of the upload id: completions and aborts of an upload run one after the other
}

var _ backend.Backend = (*store)(nil)

// openStore opens the posix storage and repairs what a crash left.
func openStore(buckets, sidecar string, metaFiles bool, accounts *accounts, log *slog.Logger, d disk) (*store, error) {
	meta, err := openMeta(buckets, sidecar, metaFiles, d)
	if err != nil {
		return nil, err
	}
	s := &store{meta: meta, names: newNames(d, buckets), accounts: accounts, log: log, buckets: buckets, seed: maphash.MakeSeed()}
	if s.posix, err = posix.New(".", meta, options()); err != nil { // "." so that the storage does not change the current directory
		return nil, fmt.Errorf("open the S3 directory %s: %w", buckets, err)
	}
	if err := errors.Join(s.names.rooted(), s.recoverUploads(), s.meta.sweep(), s.adopt()); err != nil {
		s.close()
		return nil, fmt.Errorf("open the S3 directory %s: %w", buckets, err)
	}
	return s, nil
}

// options configures the gateway's posix storage.
func options() posix.PosixOpts {
	o := posix.PosixOpts{
		CopyObjectThreshold: copyLimit,
		ForceNoObjLockFile:  true, // no other process uses the directory
		IOBufferSize:        copyBuffer,
		// Unnamed files would be linked into the bucket as .KEY.sgwtmp.N to replace an object.
		// If the process died before the second step, they would stay and be listed as objects.
		// Named temporary files are below .sgwtmp, where recoverUploads removes them.
		ForceNoTmpFile: true,
	}
	o.SetNewDirPerm(0o700)
	o.SetNewFilePerm(0o600)
	return o
}

func (s *store) close() { s.posix.Shutdown() }

// signer returns the access key that signed the request, or "". The gateway stores it in each
// request's context.
func signer(ctx context.Context) string {
	account, _ := ctx.Value("account").(auth.Account)
	if account.Access != "" {
		prove(ctx)
	}
	return account.Access
}

// path returns what the posix storage gets as the name of a bucket.
func (s *store) path(bucket string) string { return filepath.Join(s.buckets, bucket) }

// call runs f with the bucket's path, after three checks: the signer may use the bucket, the
// bucket is the one in the request's address, and the request's document was received
// completely.
func call[R any](s *store, ctx context.Context, verb, bucket string, f func(path string) (R, error)) (out R, err error) {
	if err := s.permit(ctx, verb, bucket); err != nil {
		return out, err
	}
	if a := addressOf(ctx); a != nil && a.bucket != bucket {
		s.log.Error("embedded S3: a request was routed to another bucket than it named, and refused", "verb", verb)
		return out, s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	if err := whole(ctx); err != nil {
		return out, err
	}
	switch verb {
	case "GetBucketAcl": // which the gateway asks for every request, to see whether there is such a bucket
		if err := s.allowed(ctx); err != nil {
			return out, err
		}
		allow(ctx)
	case "CreateBucket":
		if err := s.allowed(ctx); err != nil {
			return out, err
		}
		fallthrough
	default:
		if err := refuseUnrouted(addressOf(ctx)); err != nil {
			return out, err
		}
		if !asked(ctx, verb) {
			s.log.Error("embedded S3: a request was routed to another operation than it is, and refused", "verb", verb)
			return out, s3err.GetAPIError(s3err.ErrAccessDenied)
		}
	}
	out, err = f(s.path(bucket))
	return out, s.explain(verb, err)
}

// exec is call for methods without a result.
func (s *store) exec(ctx context.Context, verb, bucket string, f func(path string) error) error {
	_, err := call(s, ctx, verb, bucket, func(path string) (struct{}, error) { return struct{}{}, f(path) })
	return err
}

// explain makes an error fit for the client. An error that is not an S3 error is logged here,
// and the client sees only InternalError.
func (s *store) explain(verb string, err error) error {
	var named s3err.BucketError
	var answer s3err.S3Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return refusal(http.StatusServiceUnavailable, "ServiceUnavailable", "The request was cancelled. Send it again.")
	case errors.As(err, &named):
		named.BucketName = filepath.Base(named.BucketName)
		return named
	case errors.As(err, &answer):
		return err
	}
	s.log.Error("embedded S3: request failed", "verb", verb, "error", err)
	return s3err.GetAPIError(s3err.ErrInternalError)
}

// ensureBucket creates a bucket for this process. It belongs to the configured account.
func (s *store) ensureBucket(ctx context.Context, name string) error {
	path := s.path(name)
	acl, err := json.Marshal(auth.ACL{Owner: s.accounts.owner})
	if err != nil {
		return fmt.Errorf("make bucket %s: %w", name, err)
	}
	err = s.posix.CreateBucket(ownedBy(ctx, s.accounts.owner), &s3.CreateBucketInput{Bucket: &path,
		ObjectOwnership:           types.ObjectOwnershipBucketOwnerEnforced,
		CreateBucketConfiguration: &types.CreateBucketConfiguration{}}, acl)
	if _, serr := os.Stat(path); serr == nil && err != nil {
		err = nil // the bucket exists
	}
	if err == nil {
		err = s.names.appeared(name, "")
	}
	if err != nil {
		return fmt.Errorf("make bucket %s: %w", name, err)
	}
	if owner, err := s.ownerOf(ctx, name); err == nil && owner != s.accounts.owner {
		s.log.Warn("a bucket that the service uses belongs to another account, so only keys of that account can use it", "bucket", name, "owner", owner, "account", s.accounts.owner)
	}
	return nil
}

// String returns the name of the storage.
func (s *store) String() string { return "Batholith" }

// Shutdown does nothing: the gateway calls it, but the server closes the store itself.
func (s *store) Shutdown() {}

// NormalizeObjectKey returns the canonical form of a key.
func (s *store) NormalizeObjectKey(bucket, key string) string {
	return s.posix.NormalizeObjectKey(bucket, key)
}
