package s3serve

import (
	"bufio"
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/s3response"
)

// What is asked of objects. What makes one is synced by durableMeta and names.

func (s *store) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	bucket := *in.Bucket
	return call(s, ctx, "PutObject", bucket, func(path string) (s3response.PutObjectOutput, error) {
		in.Bucket = &path
		out, err := s.posix.PutObject(ctx, in)
		if err == nil {
			err = s.names.appeared(bucket, *in.Key)
		}
		return out, err
	})
}

func (s *store) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	return call(s, ctx, "DeleteObject", *in.Bucket, func(path string) (*s3.DeleteObjectOutput, error) {
		s.names.forget(*in.Bucket, *in.Key)
		at := *in
		at.Bucket = &path
		out, err := s.posix.DeleteObject(ctx, &at)
		if err == nil {
			err = s.names.vanished(*in.Bucket, *in.Key)
		}
		return out, err
	})
}

func (s *store) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	return call(s, ctx, "DeleteObjects", *in.Bucket, func(path string) (s3response.DeleteResult, error) {
		keys := make([]string, len(in.Delete.Objects))
		for i, o := range in.Delete.Objects {
			keys[i] = *o.Key
			s.names.forget(*in.Bucket, *o.Key)
		}
		at := *in
		at.Bucket = &path
		out, err := s.posix.DeleteObjects(ctx, &at)
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
	return call(s, ctx, "HeadObject", *in.Bucket, func(path string) (*s3.HeadObjectOutput, error) {
		at := *in
		at.Bucket = &path
		return s.posix.HeadObject(ctx, &at)
	})
}

func (s *store) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	return call(s, ctx, "GetObject", *in.Bucket, func(path string) (*s3.GetObjectOutput, error) {
		at := *in
		at.Bucket = &path
		return s.posix.GetObject(ctx, &at)
	})
}

func (s *store) GetObjectAcl(ctx context.Context, in *s3.GetObjectAclInput) (*s3.GetObjectAclOutput, error) {
	return call(s, ctx, "GetObjectAcl", *in.Bucket, func(path string) (*s3.GetObjectAclOutput, error) {
		at := *in
		at.Bucket = &path
		return s.posix.GetObjectAcl(ctx, &at)
	})
}

func (s *store) PutObjectAcl(ctx context.Context, in *s3.PutObjectAclInput) error {
	return s.exec(ctx, "PutObjectAcl", *in.Bucket, func(path string) error {
		at := *in
		at.Bucket = &path
		return s.posix.PutObjectAcl(ctx, &at)
	})
}

func (s *store) GetObjectAttributes(ctx context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	return call(s, ctx, "GetObjectAttributes", *in.Bucket, func(path string) (s3response.GetObjectAttributesResponse, error) {
		at := *in
		at.Bucket = &path
		return s.posix.GetObjectAttributes(ctx, &at)
	})
}

func (s *store) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	return call(s, ctx, "ListObjects", *in.Bucket, func(path string) (s3response.ListObjectsResult, error) {
		at := *in
		at.Bucket = &path
		out, err := s.posix.ListObjects(ctx, &at)
		out.Name = in.Bucket
		return out, err
	})
}

func (s *store) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	return call(s, ctx, "ListObjectsV2", *in.Bucket, func(path string) (s3response.ListObjectsV2Result, error) {
		at := *in
		at.Bucket = &path
		out, err := s.posix.ListObjectsV2(ctx, &at)
		out.Name = in.Bucket
		return out, err
	})
}

func (s *store) ListObjectVersions(ctx context.Context, in *s3.ListObjectVersionsInput) (s3response.ListVersionsResult, error) {
	return call(s, ctx, "ListObjectVersions", *in.Bucket, func(path string) (s3response.ListVersionsResult, error) {
		at := *in
		at.Bucket = &path
		out, err := s.posix.ListObjectVersions(ctx, &at)
		out.Name = in.Bucket
		return out, err
	})
}

func (s *store) RestoreObject(ctx context.Context, in *s3.RestoreObjectInput) error {
	return s.exec(ctx, "RestoreObject", *in.Bucket, func(path string) error {
		at := *in
		at.Bucket = &path
		return s.posix.RestoreObject(ctx, &at)
	})
}

func (s *store) GetObjectTagging(ctx context.Context, bucket, key, version string) (map[string]string, error) {
	return call(s, ctx, "GetObjectTagging", bucket, func(path string) (map[string]string, error) { return s.posix.GetObjectTagging(ctx, path, key, version) })
}

func (s *store) PutObjectTagging(ctx context.Context, bucket, key, version string, tags map[string]string) error {
	return s.exec(ctx, "PutObjectTagging", bucket, func(path string) error { return s.posix.PutObjectTagging(ctx, path, key, version, tags) })
}

func (s *store) DeleteObjectTagging(ctx context.Context, bucket, key, version string) error {
	return s.exec(ctx, "DeleteObjectTagging", bucket, func(path string) error { return s.posix.DeleteObjectTagging(ctx, path, key, version) })
}

func (s *store) PutObjectRetention(ctx context.Context, bucket, key, version string, retention []byte) error {
	return s.exec(ctx, "PutObjectRetention", bucket, func(path string) error { return s.posix.PutObjectRetention(ctx, path, key, version, retention) })
}

func (s *store) GetObjectRetention(ctx context.Context, bucket, key, version string) ([]byte, error) {
	return call(s, ctx, "GetObjectRetention", bucket, func(path string) ([]byte, error) { return s.posix.GetObjectRetention(ctx, path, key, version) })
}

func (s *store) PutObjectLegalHold(ctx context.Context, bucket, key, version string, on bool) error {
	return s.exec(ctx, "PutObjectLegalHold", bucket, func(path string) error { return s.posix.PutObjectLegalHold(ctx, path, key, version, on) })
}

func (s *store) GetObjectLegalHold(ctx context.Context, bucket, key, version string) (*bool, error) {
	return call(s, ctx, "GetObjectLegalHold", bucket, func(path string) (*bool, error) { return s.posix.GetObjectLegalHold(ctx, path, key, version) })
}
