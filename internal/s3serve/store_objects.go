package s3serve

import (
	"bufio"
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// What is asked of objects. What makes one is synced by durableMeta and names.

func (s *store) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	return call(s, ctx, "PutObject", *in.Bucket, func() (s3response.PutObjectOutput, error) {
		out, err := s.posix.PutObject(ctx, in)
		if err == nil {
			err = s.names.appeared(*in.Bucket, *in.Key)
		}
		return out, err
	})
}

func (s *store) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	if err := s.mayCopy(ctx, in.CopySource); err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	return call(s, ctx, "CopyObject", *in.Bucket, func() (s3response.CopyObjectOutput, error) {
		out, err := s.posix.CopyObject(ctx, in)
		if err == nil {
			err = s.names.appeared(*in.Bucket, *in.Key)
		}
		return out, err
	})
}

// mayCopy checks the bucket that a copy reads from.
func (s *store) mayCopy(ctx context.Context, source *string) error {
	bucket, _, _, err := backend.ParseCopySource(*source)
	if err != nil {
		return err
	}
	if !s.accounts.may(signer(ctx), bucket) {
		return s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	return nil
}

func (s *store) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	return call(s, ctx, "DeleteObject", *in.Bucket, func() (*s3.DeleteObjectOutput, error) {
		s.names.forget(*in.Bucket, *in.Key)
		out, err := s.posix.DeleteObject(ctx, in)
		if err == nil {
			err = s.names.vanished(*in.Bucket, *in.Key)
		}
		return out, err
	})
}

func (s *store) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	return call(s, ctx, "DeleteObjects", *in.Bucket, func() (s3response.DeleteResult, error) {
		keys := make([]string, len(in.Delete.Objects))
		for i, o := range in.Delete.Objects {
			keys[i] = *o.Key
			s.names.forget(*in.Bucket, *o.Key)
		}
		out, err := s.posix.DeleteObjects(ctx, in)
		if err == nil {
			err = s.names.allVanished(*in.Bucket, keys)
		}
		return out, err
	})
}

func (s *store) SelectObjectContent(ctx context.Context, in *s3.SelectObjectContentInput) func(w *bufio.Writer) {
	return s.posix.SelectObjectContent(ctx, in) // which the gateway does not have; it says so
}

func (s *store) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	return call(s, ctx, "HeadObject", *in.Bucket, func() (*s3.HeadObjectOutput, error) { return s.posix.HeadObject(ctx, in) })
}

func (s *store) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	return call(s, ctx, "GetObject", *in.Bucket, func() (*s3.GetObjectOutput, error) { return s.posix.GetObject(ctx, in) })
}

func (s *store) GetObjectAcl(ctx context.Context, in *s3.GetObjectAclInput) (*s3.GetObjectAclOutput, error) {
	return call(s, ctx, "GetObjectAcl", *in.Bucket, func() (*s3.GetObjectAclOutput, error) { return s.posix.GetObjectAcl(ctx, in) })
}

func (s *store) PutObjectAcl(ctx context.Context, in *s3.PutObjectAclInput) error {
	return s.exec(ctx, "PutObjectAcl", *in.Bucket, func() error { return s.posix.PutObjectAcl(ctx, in) })
}

func (s *store) GetObjectAttributes(ctx context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	return call(s, ctx, "GetObjectAttributes", *in.Bucket, func() (s3response.GetObjectAttributesResponse, error) { return s.posix.GetObjectAttributes(ctx, in) })
}

func (s *store) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	return call(s, ctx, "ListObjects", *in.Bucket, func() (s3response.ListObjectsResult, error) { return s.posix.ListObjects(ctx, in) })
}

func (s *store) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	return call(s, ctx, "ListObjectsV2", *in.Bucket, func() (s3response.ListObjectsV2Result, error) { return s.posix.ListObjectsV2(ctx, in) })
}

func (s *store) ListObjectVersions(ctx context.Context, in *s3.ListObjectVersionsInput) (s3response.ListVersionsResult, error) {
	return call(s, ctx, "ListObjectVersions", *in.Bucket, func() (s3response.ListVersionsResult, error) { return s.posix.ListObjectVersions(ctx, in) })
}

func (s *store) RestoreObject(ctx context.Context, in *s3.RestoreObjectInput) error {
	return s.exec(ctx, "RestoreObject", *in.Bucket, func() error { return s.posix.RestoreObject(ctx, in) })
}

func (s *store) GetObjectTagging(ctx context.Context, bucket, key, version string) (map[string]string, error) {
	return call(s, ctx, "GetObjectTagging", bucket, func() (map[string]string, error) { return s.posix.GetObjectTagging(ctx, bucket, key, version) })
}

func (s *store) PutObjectTagging(ctx context.Context, bucket, key, version string, tags map[string]string) error {
	return s.exec(ctx, "PutObjectTagging", bucket, func() error { return s.posix.PutObjectTagging(ctx, bucket, key, version, tags) })
}

func (s *store) DeleteObjectTagging(ctx context.Context, bucket, key, version string) error {
	return s.exec(ctx, "DeleteObjectTagging", bucket, func() error { return s.posix.DeleteObjectTagging(ctx, bucket, key, version) })
}

func (s *store) PutObjectRetention(ctx context.Context, bucket, key, version string, retention []byte) error {
	return s.exec(ctx, "PutObjectRetention", bucket, func() error { return s.posix.PutObjectRetention(ctx, bucket, key, version, retention) })
}

func (s *store) GetObjectRetention(ctx context.Context, bucket, key, version string) ([]byte, error) {
	return call(s, ctx, "GetObjectRetention", bucket, func() ([]byte, error) { return s.posix.GetObjectRetention(ctx, bucket, key, version) })
}

func (s *store) PutObjectLegalHold(ctx context.Context, bucket, key, version string, on bool) error {
	return s.exec(ctx, "PutObjectLegalHold", bucket, func() error { return s.posix.PutObjectLegalHold(ctx, bucket, key, version, on) })
}

func (s *store) GetObjectLegalHold(ctx context.Context, bucket, key, version string) (*bool, error) {
	return call(s, ctx, "GetObjectLegalHold", bucket, func() (*bool, error) { return s.posix.GetObjectLegalHold(ctx, bucket, key, version) })
}
