package s3serve

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// Operations on buckets. Attributes of buckets are synced when they are stored.

// ListBuckets returns the buckets of the signer's account that it may use, sorted by name. ContinuationToken is
// the last name on a page.
func (s *store) ListBuckets(ctx context.Context, in s3response.ListBucketsInput) (s3response.ListAllMyBucketsResult, error) {
	who, ok := s.acting(ctx)
	out := s3response.ListAllMyBucketsResult{Owner: s3response.CanonicalUser{ID: who.Identity.Account}, Prefix: in.Prefix}
	if !ok {
		return out, s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	if err := s.ask(ctx, act{operation: "ListBuckets"}); err != nil {
		return out, err
	}
	all, err := os.ReadDir(s.buckets)
	if err != nil {
		return out, s.explain("ListBuckets", err)
	}
	for _, e := range all {
		if !s.lists(ctx, e, in) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return out, s.explain("ListBuckets", err)
		}
		if n := len(out.Buckets.Bucket); in.MaxBuckets > 0 && n == int(in.MaxBuckets) {
			out.ContinuationToken = out.Buckets.Bucket[n-1].Name
			break
		}
		out.Buckets.Bucket = append(out.Buckets.Bucket, s3response.ListAllMyBucketsEntry{Name: e.Name(), CreationDate: info.ModTime()})
	}
	return out, nil
}

// lists reports whether a directory is a bucket that belongs into the list.
func (s *store) lists(ctx context.Context, e fs.DirEntry, in s3response.ListBucketsInput) bool {
	return e.IsDir() && strings.HasPrefix(e.Name(), in.Prefix) && e.Name() > in.ContinuationToken &&
		utils.IsValidBucketName(e.Name()) && s.permit(ctx, "ListBuckets", e.Name()) == nil
}

// ListBucketsAndOwners belongs to the gateway's administration API, which is not served.
func (s *store) ListBucketsAndOwners(context.Context) ([]s3response.Bucket, error) {
	return nil, errManaged()
}

// CreateBucket implements S3's CreateBucket. The bucket belongs to the signer's account. A name that another
// account has is BucketAlreadyExists.
func (s *store) CreateBucket(ctx context.Context, in *s3.CreateBucketInput, acl []byte) error {
	return s.exec(ctx, "CreateBucket", *in.Bucket, func(path string) error {
		who, _ := s.acting(ctx)
		owner := who.Identity.Account
		acl, err := aclFor(owner, acl, s.accounts.owner)
		if err != nil {
			return err
		}
		at := *in
		at.Bucket = &path
		err = s.posix.CreateBucket(ownedBy(ctx, owner), &at, acl)
		if s.region == oldestRegion && errors.Is(err, s3err.GetAPIError(s3err.ErrBucketAlreadyOwnedByYou)) {
			return nil
		}
		if err != nil {
			return err
		}
		return s.names.appeared(*in.Bucket, "")
	})
}

// oldestRegion is the region in which creating an own bucket again succeeds (S3: CreateBucket,
// BucketAlreadyOwnedByYou).
const oldestRegion = "us-east-1"

// DeleteBucket removes an empty bucket durably.
func (s *store) DeleteBucket(ctx context.Context, bucket string) error {
	return s.exec(ctx, "DeleteBucket", bucket, func(path string) error {
		s.names.forgetAll()
		left := s.meta.leaving(path, "")
		err := s.posix.DeleteBucket(ctx, path)
		left()
		if err != nil {
			return err
		}
		return s.names.vanished(bucket, "")
	})
}

// GetBucketCors is called before authentication. It reveals nothing that a browser could not
// find out.
func (s *store) GetBucketCors(ctx context.Context, bucket string) ([]byte, error) {
	cors, err := s.posix.GetBucketCors(ctx, s.path(bucket))
	return cors, s.explain("GetBucketCors", err)
}

// HeadBucket returns an error if the bucket is missing or not allowed.
func (s *store) HeadBucket(ctx context.Context, in *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
	return call(s, ctx, "HeadBucket", *in.Bucket, func(path string) (*s3.HeadBucketOutput, error) {
		at := *in
		at.Bucket = &path
		return s.posix.HeadBucket(ctx, &at)
	})
}

// GetBucketAcl is called once for every request, right after its signature was verified. It is
// also called without a signer for a CORS preflight, which GetBucketCors answers.
func (s *store) GetBucketAcl(ctx context.Context, in *s3.GetBucketAclInput) ([]byte, error) {
	if request, ok := ctx.(*fasthttp.RequestCtx); ok && request.IsOptions() {
		path := s.path(*in.Bucket)
		acl, err := s.posix.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: &path})
		return acl, s.explain("GetBucketAcl", err)
	}
	return call(s, ctx, "GetBucketAcl", *in.Bucket, func(path string) ([]byte, error) {
		amend(ctx)
		acl, err := s.aclOfBucket(ctx, *in.Bucket)
		if err != nil {
			return nil, err
		}
		return json.Marshal(acl)
	})
}

// PutBucketAcl stores the bucket's ACL, which may give rights to its owner only.
func (s *store) PutBucketAcl(ctx context.Context, bucket string, acl []byte) error {
	return s.exec(ctx, "PutBucketAcl", bucket, func(path string) error {
		owner, err := s.ownerOf(ctx, bucket)
		if err == nil {
			acl, err = aclFor(owner, acl, owner)
		}
		if err != nil {
			return err
		}
		return s.posix.PutBucketAcl(ctx, path, acl)
	})
}

// PutBucketVersioning passes to the posix storage, which rejects it: there are no versions.
func (s *store) PutBucketVersioning(ctx context.Context, bucket string, status types.BucketVersioningStatus) error {
	return s.exec(ctx, "PutBucketVersioning", bucket, func(path string) error {
		err := s.posix.PutBucketVersioning(ctx, path, status)
		if errors.Is(err, s3err.GetAPIError(s3err.ErrVersioningNotConfigured)) {
			return errLacks("versions of objects")
		}
		return err
	})
}

// GetBucketVersioning implements S3's GetBucketVersioning.
func (s *store) GetBucketVersioning(ctx context.Context, bucket string) (s3response.GetBucketVersioningOutput, error) {
	return call(s, ctx, "GetBucketVersioning", bucket, func(path string) (s3response.GetBucketVersioningOutput, error) {
		return s.posix.GetBucketVersioning(ctx, path)
	})
}

// PutBucketPolicy stores the bucket's policy, at most mostPolicy bytes.
func (s *store) PutBucketPolicy(ctx context.Context, bucket string, policy []byte) error {
	return s.exec(ctx, "PutBucketPolicy", bucket, func(path string) error { return s.posix.PutBucketPolicy(ctx, path, policy) })
}

// GetBucketPolicy returns the bucket's policy.
func (s *store) GetBucketPolicy(ctx context.Context, bucket string) ([]byte, error) {
	return call(s, ctx, "GetBucketPolicy", bucket, func(path string) ([]byte, error) { return s.posix.GetBucketPolicy(ctx, path) })
}

// DeleteBucketPolicy removes the bucket's policy.
func (s *store) DeleteBucketPolicy(ctx context.Context, bucket string) error {
	return s.exec(ctx, "DeleteBucketPolicy", bucket, func(path string) error { return s.posix.DeleteBucketPolicy(ctx, path) })
}

// PutBucketOwnershipControls stores who owns uploaded objects (S3: object ownership).
func (s *store) PutBucketOwnershipControls(ctx context.Context, bucket string, ownership types.ObjectOwnership) error {
	return s.exec(ctx, "PutBucketOwnershipControls", bucket, func(path string) error { return s.posix.PutBucketOwnershipControls(ctx, path, ownership) })
}

// GetBucketOwnershipControls returns who owns uploaded objects.
func (s *store) GetBucketOwnershipControls(ctx context.Context, bucket string) (types.ObjectOwnership, error) {
	return call(s, ctx, "GetBucketOwnershipControls", bucket, func(path string) (types.ObjectOwnership, error) { return s.posix.GetBucketOwnershipControls(ctx, path) })
}

// DeleteBucketOwnershipControls removes the setting.
func (s *store) DeleteBucketOwnershipControls(ctx context.Context, bucket string) error {
	return s.exec(ctx, "DeleteBucketOwnershipControls", bucket, func(path string) error { return s.posix.DeleteBucketOwnershipControls(ctx, path) })
}

// PutBucketCors stores the bucket's CORS rules, at most mostCORS bytes.
func (s *store) PutBucketCors(ctx context.Context, bucket string, cors []byte) error {
	return s.exec(ctx, "PutBucketCors", bucket, func(path string) error { return s.posix.PutBucketCors(ctx, path, cors) })
}

// DeleteBucketCors removes the bucket's CORS rules.
func (s *store) DeleteBucketCors(ctx context.Context, bucket string) error {
	return s.exec(ctx, "DeleteBucketCors", bucket, func(path string) error { return s.posix.DeleteBucketCors(ctx, path) })
}

// PutBucketWebsite stores the bucket's website configuration, which has no effect here.
func (s *store) PutBucketWebsite(ctx context.Context, bucket string, website []byte) error {
	return s.exec(ctx, "PutBucketWebsite", bucket, func(path string) error { return s.posix.PutBucketWebsite(ctx, path, website) })
}

// GetBucketWebsite returns the stored website configuration.
func (s *store) GetBucketWebsite(ctx context.Context, bucket string) ([]byte, error) {
	return call(s, ctx, "GetBucketWebsite", bucket, func(path string) ([]byte, error) { return s.posix.GetBucketWebsite(ctx, path) })
}

// DeleteBucketWebsite removes the website configuration.
func (s *store) DeleteBucketWebsite(ctx context.Context, bucket string) error {
	return s.exec(ctx, "DeleteBucketWebsite", bucket, func(path string) error { return s.posix.DeleteBucketWebsite(ctx, path) })
}

// GetBucketTagging returns the bucket's tags.
func (s *store) GetBucketTagging(ctx context.Context, bucket string) (map[string]string, error) {
	return call(s, ctx, "GetBucketTagging", bucket, func(path string) (map[string]string, error) { return s.posix.GetBucketTagging(ctx, path) })
}

// PutBucketTagging stores the bucket's tags by S3's limits (see tagSet).
func (s *store) PutBucketTagging(ctx context.Context, bucket string, tags map[string]string) error {
	return s.exec(ctx, "PutBucketTagging", bucket, func(path string) error {
		tags, err := sent(ctx, tags)
		if err != nil {
			return err
		}
		return s.posix.PutBucketTagging(ctx, path, tags)
	})
}

// DeleteBucketTagging removes the bucket's tags.
func (s *store) DeleteBucketTagging(ctx context.Context, bucket string) error {
	return s.exec(ctx, "DeleteBucketTagging", bucket, func(path string) error { return s.posix.DeleteBucketTagging(ctx, path) })
}

// PutObjectLockConfiguration stores the bucket's object lock settings.
func (s *store) PutObjectLockConfiguration(ctx context.Context, bucket string, config []byte) error {
	return s.exec(ctx, "PutObjectLockConfiguration", bucket, func(path string) error { return s.posix.PutObjectLockConfiguration(ctx, path, config) })
}

// GetObjectLockConfiguration returns the bucket's object lock settings.
func (s *store) GetObjectLockConfiguration(ctx context.Context, bucket string) ([]byte, error) {
	return call(s, ctx, "GetObjectLockConfiguration", bucket, func(path string) ([]byte, error) { return s.posix.GetObjectLockConfiguration(ctx, path) })
}

// ChangeBucketOwner belongs to the gateway's administration API, which is not served.
func (s *store) ChangeBucketOwner(context.Context, string, string) error { return errManaged() }
