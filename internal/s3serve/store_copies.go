package s3serve

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// Operations that copy an object to another, or to a part.

// CopyObject copies an object with its metadata and tags, and makes the copy durable. A copy to
// itself must change something (S3: CopyObject).
func (s *store) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	from, err := s.source(ctx, in.CopySource)
	if err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	bucket, itself := *in.Bucket, from.bucket == *in.Bucket && from.key == *in.Key
	switch {
	case !itself || in.MetadataDirective == types.MetadataDirectiveReplace || wishOf(ctx) != wish{}:
	case in.StorageClass == "":
		return s3response.CopyObjectOutput{}, s3err.GetAPIError(s3err.ErrInvalidCopyDest)
	default:
		return s.inClass(ctx, in)
	}
	out, err := placed(s, ctx, "CopyObject", bucket, *in.Key, func(path string) (s3response.CopyObjectOutput, error) {
		if in.TaggingDirective != types.TaggingDirectiveReplace {
			if err := s.mayCopyTags(ctx, from, bucket, *in.Key); err != nil {
				return s3response.CopyObjectOutput{}, err
			}
		}
		in.CopySourceIfModifiedSince, in.CopySourceIfUnmodifiedSince = second(in.CopySourceIfModifiedSince), second(in.CopySourceIfUnmodifiedSince)
		in.Bucket, in.CopySource, in.ContentEncoding = &path, &from.path, kept(in.ContentEncoding)
		var ours map[string]string
		if in.TaggingDirective == types.TaggingDirectiveReplace {
			if in.Tagging, ours, err = split(in.Tagging); err != nil {
				return s3response.CopyObjectOutput{}, err
			}
		} else if itself { // the gateway would read the tags only after it has replaced the object
			if tags, err := s.posix.GetObjectTagging(ctx, path, *in.Key, ""); err == nil && len(tags) > 0 {
				ours = tags
			}
		}
		left := s.meta.leaving(path, *in.Key)
		w, recrypts, err := s.recrypts(ctx, from, bucket, *in.Key, itself)
		if err != nil {
			return s3response.CopyObjectOutput{}, err
		}
		var out s3response.CopyObjectOutput
		if recrypts {
			out, err = s.recopy(ctx, path, in, from, w)
		} else {
			out, err = s.posix.CopyObject(ctx, in)
		}
		left()
		if err == nil && ours != nil {
			err = s.posix.PutObjectTagging(ctx, path, *in.Key, "", ours)
		}
		if err == nil {
			err = s.names.appeared(bucket, *in.Key)
		}
		return out, err
	})
	return out, s.missing(ctx, "GetObject", from.bucket, from.key, err)
}

// mayCopyTags returns an error unless the signer may read the tags of a copy's source, if it has any, and set those of
// the copy (S3: CopyObject).
func (s *store) mayCopyTags(ctx context.Context, from copied, bucket, key string) error {
	switch _, err := s.meta.RetrieveAttribute(nil, s.path(from.bucket), from.key, tagsAttribute); {
	case isAbsent(err):
		return nil
	case err != nil:
		return fmt.Errorf("read the tags of a copy's source: %w", err)
	}
	if err := s.ask(ctx, act{operation: "GetObjectTagging", bucket: from.bucket, key: from.key}); err != nil {
		return err
	}
	return s.ask(ctx, act{operation: "PutObjectTagging", bucket: bucket, key: key})
}

// inClass handles a copy of an object to itself that changes only the storage class. There is
// one class, so nothing changes.
func (s *store) inClass(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	head, err := s.HeadObject(ctx, &s3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key, IfMatch: in.CopySourceIfMatch, IfUnmodifiedSince: in.CopySourceIfUnmodifiedSince})
	if err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	return s3response.CopyObjectOutput{CopyObjectResult: &s3response.CopyObjectResult{ETag: head.ETag, LastModified: head.LastModified}}, nil
}

// UploadPartCopy copies a range of an object to a part of an upload.
func (s *store) UploadPartCopy(ctx context.Context, in *s3.UploadPartCopyInput) (s3response.CopyPartResult, error) {
	from, err := s.source(ctx, in.CopySource)
	if err != nil {
		return s3response.CopyPartResult{}, err
	}
	out, err := placed(s, ctx, "UploadPartCopy", *in.Bucket, *in.Key, ofUpload(*in.UploadId, func(path string) (s3response.CopyPartResult, error) {
		at := *in
		at.Bucket, at.CopySource = &path, &from.path
		at.CopySourceIfModifiedSince, at.CopySourceIfUnmodifiedSince = second(in.CopySourceIfModifiedSince), second(in.CopySourceIfUnmodifiedSince)
		out, err := s.copyFrom(ctx, path, &at, from)
		if err == nil {
			err = s.partAppeared(*in.Bucket, *in.Key, *in.UploadId, *in.PartNumber)
		}
		return out, err
	}))
	return out, s.missing(ctx, "GetObject", from.bucket, from.key, err)
}

// copied is the source of a copy.
type copied struct {
	bucket, key string
	path        string // in the form that the posix storage understands
}

// source checks the source of a copy and builds its path. The posix storage takes the text
// before the first slash for the bucket, so it cannot be an absolute path. It can be "..": from
// any current directory up to the root and down again.
func (s *store) source(ctx context.Context, header *string) (copied, error) {
	bucket, key, version, err := backend.ParseCopySource(*header)
	if err != nil {
		return copied{}, err
	}
	_, cannot := unfit(key)
	switch {
	case !utils.IsValidBucketName(bucket):
		return copied{}, s3err.GetBucketErr(s3err.ErrInvalidBucketName, bucket)
	case cannot:
		return copied{}, s3err.GetAPIError(s3err.ErrNoSuchKey)
	}
	if err := s.permit(ctx, "GetObject", bucket); err != nil {
		return copied{}, err
	}
	more := also("GetObject", version, func(string) string { return "" })
	if err := s.ask(ctx, act{operation: "GetObject", bucket: bucket, key: key, more: more}); err != nil {
		return copied{}, err
	}
	// unfit judges the text of the key. Only the file system can say the rest; the gateway would answer its error with InternalError.
	if _, err := os.Stat(filepath.Join(s.path(bucket), filepath.FromSlash(key))); isNoName(err) {
		return copied{}, s.missing(ctx, "GetObject", bucket, key, s3err.GetAPIError(s3err.ErrNoSuchKey))
	}
	path := strings.Repeat("../", deepest) + strings.TrimLeft(filepath.ToSlash(s.path(bucket)), "/") + "/" + key
	if version = *only(&version); version != "" {
		path += "?versionId=" + version
	}
	return copied{bucket, key, url.QueryEscape(path)}, nil
}

// deepest is the maximum depth of the current directory. Further ".." at the root have no
// effect.
const deepest = 64
