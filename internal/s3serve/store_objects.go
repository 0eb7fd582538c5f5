package s3serve

import (
	"bufio"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// Operations on objects. durableMeta and names make new objects durable.

// PutObject stores an object durably. The body must be complete: see object.
func (s *store) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	bucket := *in.Bucket
	return placed(s, ctx, "PutObject", bucket, *in.Key, func(path string) (s3response.PutObjectOutput, error) {
		w, err := s.formWish(ctx)
		if err != nil {
			return s3response.PutObjectOutput{}, err
		}
		sl, err := s.sealingFor(ctx, bucket, *in.Key, w)
		if err != nil {
			return s3response.PutObjectOutput{}, err
		}
		in.Bucket, in.Body, in.ContentEncoding = &path, object(ctx, in.Body, in.ContentLength), kept(in.ContentEncoding)
		if isDirectory(*in.Key) { // the gateway does not read the body of a directory
			if _, err := io.Copy(io.Discard, in.Body); err != nil {
				return s3response.PutObjectOutput{}, err
			}
		}
		theirs, ours, err := split(in.Tagging)
		if err != nil {
			return s3response.PutObjectOutput{}, err
		}
		in.Tagging = theirs
		left := s.meta.leaving(path, *in.Key)
		out, err := s.write(ctx, path, in, sl)
		left()
		if err == nil && ours != nil {
			err = s.posix.PutObjectTagging(ctx, path, *in.Key, "", ours)
		}
		if err == nil {
			err = s.names.appeared(bucket, *in.Key)
		}
		return out, err
	})
}

// setBy reports whether the gateway stored this attribute of a directory object.
func setBy(in s3response.PutObjectInput, attribute string) bool {
	switch attribute {
	case tagsAttribute:
		return aws.ToString(in.Tagging) != ""
	case "metadata":
		return len(in.Metadata) > 0
	case "website-redirect-location":
		return aws.ToString(in.WebsiteRedirectLocation) != ""
	}
	return false
}

// DeleteObject removes an object durably. A missing one is not an error (S3: DeleteObject).
func (s *store) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	return call(s, ctx, "DeleteObject", *in.Bucket, func(path string) (*s3.DeleteObjectOutput, error) {
		if _, cannot := unfit(*in.Key); cannot {
			return &s3.DeleteObjectOutput{}, nil // such an object cannot exist, which is not an error
		}
		s.names.forget(*in.Bucket, *in.Key)
		at := *in
		at.Bucket, at.IfMatchSize = &path, s.condition(path, *in.Key, in.IfMatchSize)
		left := s.meta.leaving(path, *in.Key)
		out, err := s.posix.DeleteObject(ctx, &at)
		left()
		if errors.Is(err, s3err.GetAPIError(s3err.ErrDirectoryNotEmpty)) {
			return &s3.DeleteObjectOutput{}, nil // a directory with files that is not an object; its files stay
		}
		if err == nil {
			err = s.names.vanished(*in.Bucket, *in.Key)
		}
		return out, err
	})
}

// DeleteObjects removes up to mostDeleted objects, with their conditions, and reports each.
func (s *store) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	return call(s, ctx, "DeleteObjects", *in.Bucket, func(path string) (s3response.DeleteResult, error) {
		if len(in.Delete.Objects) > mostDeleted {
			return s3response.DeleteResult{}, s3err.GetAPIError(s3err.ErrMalformedXML)
		}
		permitted, denied := s.mayDelete(ctx, *in.Bucket, in.Delete.Objects)
		there, none := parted(permitted)
		keys := make([]string, len(there))
		for i, o := range there {
			keys[i] = *o.Key
			s.names.forget(*in.Bucket, *o.Key)
		}
		defer s.meta.leaving(path, keys...)()
		wanted, _ := ctx.Value(deletionKey).(*deletion)
		var free, bound []types.ObjectIdentifier
		var conditions []deletedE
		for _, o := range there {
			if e := wanted.take(o); e.conditional() {
				bound, conditions = append(bound, o), append(conditions, e)
			} else {
				free = append(free, o)
			}
		}
		out, err := s.posix.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &path, Delete: &types.Delete{Objects: free}})
		if err != nil {
			return out, err
		}
		out.Error = slices.DeleteFunc(out.Error, func(e types.Error) bool {
			noObject := aws.ToString(e.Code) == "ErrDirectoryNotEmpty"
			if noObject {
				none = append(none, types.DeletedObject{Key: e.Key, VersionId: e.VersionId})
			}
			return noObject
		})
		each := s.deleteEach(ctx, path, bound, conditions)
		out.Deleted, out.Error = append(append(out.Deleted, each.Deleted...), none...), append(append(out.Error, each.Error...), denied...)
		if wanted.quiet() {
			out.Deleted = nil
		}
		return out, s.names.allVanished(*in.Bucket, keys)
	})
}

// mayDelete separates objects that the signer may delete from those that it may not, with their errors.
func (s *store) mayDelete(ctx context.Context, bucket string, objects []types.ObjectIdentifier) (permitted []types.ObjectIdentifier, denied []types.Error) {
	for _, o := range objects {
		a := act{operation: "DeleteObject", bucket: bucket, key: aws.ToString(o.Key)}
		if aws.ToString(o.VersionId) != "" {
			a.more = []string{"s3:DeleteObjectVersion"}
		}
		if err := s.ask(ctx, a); err != nil {
			denied = append(denied, s3err.ObjectDeleteError(o.Key, o.VersionId, err))
			continue
		}
		permitted = append(permitted, o)
	}
	return permitted, denied
}

// mostDeleted is the maximum number of keys in one request (S3: DeleteObjects).
const mostDeleted = 1000

// parted separates keys that can exist from keys that cannot.
func parted(objects []types.ObjectIdentifier) (there []types.ObjectIdentifier, none []types.DeletedObject) {
	for _, o := range objects {
		if _, cannot := unfit(aws.ToString(o.Key)); cannot {
			none = append(none, types.DeletedObject{Key: o.Key, VersionId: o.VersionId})
		} else {
			there = append(there, o)
		}
	}
	return there, none
}

// SelectObjectContent is not supported by the gateway, which answers so.
func (s *store) SelectObjectContent(ctx context.Context, in *s3.SelectObjectContentInput) func(w *bufio.Writer) {
	return s.posix.SelectObjectContent(ctx, in)
}

// HeadObject returns an object's metadata.
func (s *store) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	return found(s, ctx, "HeadObject", *in.Bucket, *in.Key, func(path string) (*s3.HeadObjectOutput, error) {
		at := *in
		at.VersionId = only(in.VersionId)
		at.Bucket, at.IfModifiedSince, at.IfUnmodifiedSince = &path, second(in.IfModifiedSince), second(in.IfUnmodifiedSince)
		out, err := s.head(ctx, path, &at)
		if err == nil && in.PartNumber != nil && in.ChecksumMode == types.ChecksumModeEnabled {
			s.meta.partSums(path, *in.Key).giveTyped(out, &out.ChecksumType, int(*in.PartNumber))
		}
		return out, s.unchanged(ctx, path, *in.Key, err)
	})
}

// only returns the version to read: "null", S3's name of the only version in a bucket without
// versioning, becomes "".
func only(version *string) *string {
	if aws.ToString(version) == "null" {
		return aws.String("")
	}
	return version
}

// GetObject opens an object or a range of it.
func (s *store) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	return found(s, ctx, "GetObject", *in.Bucket, *in.Key, func(path string) (*s3.GetObjectOutput, error) {
		at := *in
		at.VersionId = only(in.VersionId)
		at.Bucket, at.IfModifiedSince, at.IfUnmodifiedSince = &path, second(in.IfModifiedSince), second(in.IfUnmodifiedSince)
		out, err := s.get(ctx, path, &at)
		if err == nil && in.PartNumber != nil && in.ChecksumMode == types.ChecksumModeEnabled {
			s.meta.partSums(path, *in.Key).giveTyped(out, &out.ChecksumType, int(*in.PartNumber))
		}
		return out, s.unchanged(ctx, path, *in.Key, err)
	})
}

// GetObjectAttributes returns an object's size, ETag, checksums and parts.
func (s *store) GetObjectAttributes(ctx context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	return found(s, ctx, "GetObjectAttributes", *in.Bucket, *in.Key, func(path string) (s3response.GetObjectAttributesResponse, error) {
		at := *in
		at.Bucket, at.VersionId = &path, only(in.VersionId)
		out, err := s.posix.GetObjectAttributes(ctx, &at)
		if err == nil {
			if out.ObjectSize != nil {
				out.ObjectSize = aws.Int64(s.sizeOf(path, *in.Key, *out.ObjectSize))
			}
			s.describe(ctx, path, in, &out)
			err = s.mayReadAttributes(ctx, path, *in.Key, &out)
		}
		return out, err
	})
}

// ListObjects lists objects, version 1 of the API.
func (s *store) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	return call(s, ctx, "ListObjects", *in.Bucket, func(path string) (s3response.ListObjectsResult, error) {
		at := *in
		at.Bucket = &path
		escape, err := escaper(ctx)
		if err != nil {
			return s3response.ListObjectsResult{}, err
		}
		out, err := s.posix.ListObjects(ctx, &at)
		s.sizes(path, out.Contents)
		out.Name = in.Bucket
		if escape {
			out.EncodingType = types.EncodingTypeUrl
			escapeAll(out.Prefix, out.Marker, out.NextMarker, out.Delimiter)
			escapeKeys(out.Contents, out.CommonPrefixes)
		}
		return out, err
	})
}

// ListObjectsV2 lists objects.
func (s *store) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	return call(s, ctx, "ListObjectsV2", *in.Bucket, func(path string) (s3response.ListObjectsV2Result, error) {
		at := *in
		at.Bucket = &path
		escape, err := escaper(ctx)
		if err != nil {
			return s3response.ListObjectsV2Result{}, err
		}
		out, err := s.posix.ListObjectsV2(ctx, &at)
		s.sizes(path, out.Contents)
		out.Name = in.Bucket
		if escape {
			out.EncodingType = types.EncodingTypeUrl
			escapeAll(out.Prefix, out.StartAfter, out.Delimiter)
			escapeKeys(out.Contents, out.CommonPrefixes)
		}
		return out, err
	})
}

// ListObjectVersions lists objects; each has the version "null".
func (s *store) ListObjectVersions(ctx context.Context, in *s3.ListObjectVersionsInput) (s3response.ListVersionsResult, error) {
	return call(s, ctx, "ListObjectVersions", *in.Bucket, func(path string) (s3response.ListVersionsResult, error) {
		at := *in
		at.Bucket = &path
		escape, err := escaper(ctx)
		if err != nil {
			return s3response.ListVersionsResult{}, err
		}
		out, err := s.posix.ListObjectVersions(ctx, &at)
		for _, v := range out.Versions {
			if v.Size != nil && v.Key != nil {
				*v.Size = s.sizeOf(path, *v.Key, *v.Size)
			}
		}
		out.Name = in.Bucket
		if escape {
			out.EncodingType = types.EncodingTypeUrl
			escapeAll(out.Prefix, out.KeyMarker, out.NextKeyMarker, out.Delimiter)
			escapeKeys(nil, out.CommonPrefixes)
			for i := range out.Versions {
				escapeAll(out.Versions[i].Key)
			}
			for i := range out.DeleteMarkers {
				escapeAll(out.DeleteMarkers[i].Key)
			}
		}
		return out, err
	})
}

// RestoreObject passes to the posix storage. No object is archived.
func (s *store) RestoreObject(ctx context.Context, in *s3.RestoreObjectInput) error {
	return s.change(ctx, "RestoreObject", *in.Bucket, *in.Key, func(path string) error {
		at := *in
		at.Bucket = &path
		return s.posix.RestoreObject(ctx, &at)
	})
}

// GetObjectTagging returns an object's tags.
func (s *store) GetObjectTagging(ctx context.Context, bucket, key, version string) (map[string]string, error) {
	return found(s, ctx, "GetObjectTagging", bucket, key, func(path string) (map[string]string, error) {
		return s.posix.GetObjectTagging(ctx, path, key, *only(&version))
	})
}

// PutObjectTagging stores an object's tags by S3's limits (see tagSet).
func (s *store) PutObjectTagging(ctx context.Context, bucket, key, version string, tags map[string]string) error {
	return s.change(ctx, "PutObjectTagging", bucket, key, func(path string) error {
		tags, err := sent(ctx, tags)
		if err != nil {
			return err
		}
		return s.posix.PutObjectTagging(ctx, path, key, *only(&version), tags)
	})
}

// DeleteObjectTagging removes an object's tags.
func (s *store) DeleteObjectTagging(ctx context.Context, bucket, key, version string) error {
	return s.change(ctx, "DeleteObjectTagging", bucket, key, func(path string) error { return s.posix.DeleteObjectTagging(ctx, path, key, *only(&version)) })
}

// PutObjectRetention stores until when an object is locked.
func (s *store) PutObjectRetention(ctx context.Context, bucket, key, version string, retention []byte) error {
	return s.change(ctx, "PutObjectRetention", bucket, key, func(path string) error { return s.posix.PutObjectRetention(ctx, path, key, *only(&version), retention) })
}

// GetObjectRetention returns until when an object is locked.
func (s *store) GetObjectRetention(ctx context.Context, bucket, key, version string) ([]byte, error) {
	return found(s, ctx, "GetObjectRetention", bucket, key, func(path string) ([]byte, error) { return s.posix.GetObjectRetention(ctx, path, key, *only(&version)) })
}

// PutObjectLegalHold sets or clears an object's legal hold.
func (s *store) PutObjectLegalHold(ctx context.Context, bucket, key, version string, on bool) error {
	return s.change(ctx, "PutObjectLegalHold", bucket, key, func(path string) error { return s.posix.PutObjectLegalHold(ctx, path, key, *only(&version), on) })
}

// GetObjectLegalHold reports whether an object has a legal hold.
func (s *store) GetObjectLegalHold(ctx context.Context, bucket, key, version string) (*bool, error) {
	return found(s, ctx, "GetObjectLegalHold", bucket, key, func(path string) (*bool, error) { return s.posix.GetObjectLegalHold(ctx, path, key, *only(&version)) })
}
