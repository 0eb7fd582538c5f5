package s3serve

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3response"
)

// What is asked of buckets. Their attributes are synced as they are stored.

func (s *store) ListBuckets(ctx context.Context, in s3response.ListBucketsInput) (s3response.ListAllMyBucketsResult, error) {
	out, err := run(s, "ListBuckets", func() (s3response.ListAllMyBucketsResult, error) { return s.posix.ListBuckets(ctx, in) })
	out.Buckets.Bucket = slices.DeleteFunc(out.Buckets.Bucket, func(b s3response.ListAllMyBucketsEntry) bool {
		return !s.accounts.may(signer(ctx), b.Name)
	})
	return out, err
}

func (s *store) ListBucketsAndOwners(ctx context.Context) ([]s3response.Bucket, error) {
	out, err := run(s, "ListBucketsAndOwners", func() ([]s3response.Bucket, error) { return s.posix.ListBucketsAndOwners(ctx) })
	return slices.DeleteFunc(out, func(b s3response.Bucket) bool { return !s.accounts.may(signer(ctx), b.Name) }), err
}

func (s *store) CreateBucket(ctx context.Context, in *s3.CreateBucketInput, acl []byte) error {
	return s.exec(ctx, "CreateBucket", *in.Bucket, func() error {
		if err := s.posix.CreateBucket(ctx, in, acl); err != nil {
			return err
		}
		return s.names.appeared(*in.Bucket, "")
	})
}

func (s *store) DeleteBucket(ctx context.Context, bucket string) error {
	return s.exec(ctx, "DeleteBucket", bucket, func() error {
		s.names.forgetAll()
		if err := s.posix.DeleteBucket(ctx, bucket); err != nil {
			return err
		}
		return s.names.vanished(bucket, "")
	})
}

// GetBucketCors is asked before it is known who asks, and tells nothing that a browser could not find out.
func (s *store) GetBucketCors(ctx context.Context, bucket string) ([]byte, error) {
	return run(s, "GetBucketCors", func() ([]byte, error) { return s.posix.GetBucketCors(ctx, bucket) })
}

func (s *store) HeadBucket(ctx context.Context, in *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
	return call(s, ctx, "HeadBucket", *in.Bucket, func() (*s3.HeadBucketOutput, error) { return s.posix.HeadBucket(ctx, in) })
}

func (s *store) GetBucketAcl(ctx context.Context, in *s3.GetBucketAclInput) ([]byte, error) {
	return call(s, ctx, "GetBucketAcl", *in.Bucket, func() ([]byte, error) { return s.posix.GetBucketAcl(ctx, in) })
}

func (s *store) PutBucketAcl(ctx context.Context, bucket string, acl []byte) error {
	return s.exec(ctx, "PutBucketAcl", bucket, func() error { return s.posix.PutBucketAcl(ctx, bucket, acl) })
}

func (s *store) PutBucketVersioning(ctx context.Context, bucket string, status types.BucketVersioningStatus) error {
	return s.exec(ctx, "PutBucketVersioning", bucket, func() error { return s.posix.PutBucketVersioning(ctx, bucket, status) })
}

func (s *store) GetBucketVersioning(ctx context.Context, bucket string) (s3response.GetBucketVersioningOutput, error) {
	return call(s, ctx, "GetBucketVersioning", bucket, func() (s3response.GetBucketVersioningOutput, error) { return s.posix.GetBucketVersioning(ctx, bucket) })
}

func (s *store) PutBucketPolicy(ctx context.Context, bucket string, policy []byte) error {
	return s.exec(ctx, "PutBucketPolicy", bucket, func() error { return s.posix.PutBucketPolicy(ctx, bucket, policy) })
}

func (s *store) GetBucketPolicy(ctx context.Context, bucket string) ([]byte, error) {
	return call(s, ctx, "GetBucketPolicy", bucket, func() ([]byte, error) { return s.posix.GetBucketPolicy(ctx, bucket) })
}

func (s *store) DeleteBucketPolicy(ctx context.Context, bucket string) error {
	return s.exec(ctx, "DeleteBucketPolicy", bucket, func() error { return s.posix.DeleteBucketPolicy(ctx, bucket) })
}

func (s *store) PutBucketOwnershipControls(ctx context.Context, bucket string, ownership types.ObjectOwnership) error {
	return s.exec(ctx, "PutBucketOwnershipControls", bucket, func() error { return s.posix.PutBucketOwnershipControls(ctx, bucket, ownership) })
}

func (s *store) GetBucketOwnershipControls(ctx context.Context, bucket string) (types.ObjectOwnership, error) {
	return call(s, ctx, "GetBucketOwnershipControls", bucket, func() (types.ObjectOwnership, error) { return s.posix.GetBucketOwnershipControls(ctx, bucket) })
}

func (s *store) DeleteBucketOwnershipControls(ctx context.Context, bucket string) error {
	return s.exec(ctx, "DeleteBucketOwnershipControls", bucket, func() error { return s.posix.DeleteBucketOwnershipControls(ctx, bucket) })
}

func (s *store) PutBucketCors(ctx context.Context, bucket string, cors []byte) error {
	return s.exec(ctx, "PutBucketCors", bucket, func() error { return s.posix.PutBucketCors(ctx, bucket, cors) })
}

func (s *store) DeleteBucketCors(ctx context.Context, bucket string) error {
	return s.exec(ctx, "DeleteBucketCors", bucket, func() error { return s.posix.DeleteBucketCors(ctx, bucket) })
}

func (s *store) PutBucketWebsite(ctx context.Context, bucket string, website []byte) error {
	return s.exec(ctx, "PutBucketWebsite", bucket, func() error { return s.posix.PutBucketWebsite(ctx, bucket, website) })
}

func (s *store) GetBucketWebsite(ctx context.Context, bucket string) ([]byte, error) {
	return call(s, ctx, "GetBucketWebsite", bucket, func() ([]byte, error) { return s.posix.GetBucketWebsite(ctx, bucket) })
}

func (s *store) DeleteBucketWebsite(ctx context.Context, bucket string) error {
	return s.exec(ctx, "DeleteBucketWebsite", bucket, func() error { return s.posix.DeleteBucketWebsite(ctx, bucket) })
}

func (s *store) GetBucketTagging(ctx context.Context, bucket string) (map[string]string, error) {
	return call(s, ctx, "GetBucketTagging", bucket, func() (map[string]string, error) { return s.posix.GetBucketTagging(ctx, bucket) })
}

func (s *store) PutBucketTagging(ctx context.Context, bucket string, tags map[string]string) error {
	return s.exec(ctx, "PutBucketTagging", bucket, func() error { return s.posix.PutBucketTagging(ctx, bucket, tags) })
}

func (s *store) DeleteBucketTagging(ctx context.Context, bucket string) error {
	return s.exec(ctx, "DeleteBucketTagging", bucket, func() error { return s.posix.DeleteBucketTagging(ctx, bucket) })
}

func (s *store) PutObjectLockConfiguration(ctx context.Context, bucket string, config []byte) error {
	return s.exec(ctx, "PutObjectLockConfiguration", bucket, func() error { return s.posix.PutObjectLockConfiguration(ctx, bucket, config) })
}

func (s *store) GetObjectLockConfiguration(ctx context.Context, bucket string) ([]byte, error) {
	return call(s, ctx, "GetObjectLockConfiguration", bucket, func() ([]byte, error) { return s.posix.GetObjectLockConfiguration(ctx, bucket) })
}

func (s *store) ChangeBucketOwner(ctx context.Context, bucket, owner string) error {
	return s.exec(ctx, "ChangeBucketOwner", bucket, func() error { return s.posix.ChangeBucketOwner(ctx, bucket, owner) })
}
