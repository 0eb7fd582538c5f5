package s3serve

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// Copies that the gateway's storage cannot do. Of encrypted objects it would copy the ciphertext;
// here the source is decrypted, and encrypted anew with a data key of the copy's own. Of objects
// that are directories it would copy the bytes of the directory.

// recrypts reports whether a copy is done here, and how the copy is to be encrypted: as the
// request wishes, or else as the bucket's default says, or else as the source is. While there
// are keys, every copy of bytes is done here, since the source may become an encrypted object
// at any time. Copies from and to directories are always done here.
func (s *store) recrypts(ctx context.Context, from copied, bucket, key string, metadataOnly bool) (w wish, ours bool, err error) {
	source, err := s.sealed(s.path(from.bucket), from.key)
	if err != nil {
		return wish{}, false, s.keyError(err)
	}
	if w = wishOf(ctx); w.algorithm == "" {
		if w, err = s.defaultWish(bucket); err != nil {
			return wish{}, false, err
		}
	}
	if w.algorithm == "" && source != nil {
		w = wish{algorithm: source.Algorithm, key: source.Key, context: source.Context}
	}
	return w, w.algorithm != "" || source != nil || s.keys != nil && !metadataOnly || isDirectory(from.key) || isDirectory(key), nil
}

// silent is ctx without its answer, for a step of a request that must not write into that.
func silent(ctx context.Context) context.Context { return context.WithValue(ctx, silentKey{}, true) }

type silentKey struct{}

// recopy is CopyObject of the gateway's storage.
func (s *store) recopy(ctx context.Context, path string, in s3response.CopyObjectInput, from copied, w wish) (out s3response.CopyObjectOutput, err error) {
	at := s.path(from.bucket)
	if err := s.ownedBy(ctx, at, in.ExpectedSourceBucketOwner); err != nil {
		return out, err
	}
	source, err := s.get(silent(ctx), at, &s3.GetObjectInput{Bucket: &at, Key: &from.key, Range: aws.String(""), VersionId: aws.String(""),
		IfMatch: in.CopySourceIfMatch, IfNoneMatch: in.CopySourceIfNoneMatch, IfModifiedSince: in.CopySourceIfModifiedSince, IfUnmodifiedSince: in.CopySourceIfUnmodifiedSince})
	if err != nil {
		return out, err
	}
	defer closeBody(source)
	if aws.ToInt64(source.ContentLength) > copyLimit {
		return out, s3err.GetCopySourceObjectTooLargeErr(copyLimit)
	}
	algorithm := in.ChecksumAlgorithm
	if algorithm == "" {
		algorithm = s.meta.checksums(at, from.key).Algorithm
	}
	tags, terr := s.meta.RetrieveAttribute(nil, at, from.key, tagsAttribute)
	put := s3response.PutObjectInput{Bucket: &path, Key: in.Key, Body: bodyOf(source), ContentLength: source.ContentLength, ChecksumAlgorithm: algorithm,
		ContentType: source.ContentType, ContentEncoding: source.ContentEncoding, ContentDisposition: source.ContentDisposition,
		ContentLanguage: source.ContentLanguage, CacheControl: source.CacheControl, Expires: source.ExpiresString, Metadata: source.Metadata,
		WebsiteRedirectLocation: in.WebsiteRedirectLocation, ObjectLockRetainUntilDate: in.ObjectLockRetainUntilDate,
		ObjectLockMode: in.ObjectLockMode, ObjectLockLegalHoldStatus: in.ObjectLockLegalHoldStatus}
	if in.MetadataDirective == types.MetadataDirectiveReplace {
		put.ContentType, put.ContentEncoding, put.ContentDisposition, put.ContentLanguage = in.ContentType, in.ContentEncoding, in.ContentDisposition, in.ContentLanguage
		put.CacheControl, put.Expires, put.Metadata = in.CacheControl, in.Expires, in.Metadata
	}
	if in.TaggingDirective == types.TaggingDirectiveReplace {
		put.Tagging = in.Tagging
	}
	sl, err := s.sealingFor(ctx, nameOf(path), *in.Key, w)
	if err != nil {
		return out, err
	}
	made, err := s.write(ctx, path, put, sl)
	if err == nil && in.TaggingDirective != types.TaggingDirectiveReplace && terr == nil {
		err = s.meta.StoreAttribute(nil, path, *in.Key, tagsAttribute, tags)
	}
	if err != nil {
		return out, err
	}
	info, err := os.Stat(filepath.Join(path, filepath.FromSlash(*in.Key)))
	if err != nil {
		return out, fmt.Errorf("look at the copy: %w", err)
	}
	result := &s3response.CopyObjectResult{ETag: &made.ETag, LastModified: aws.Time(info.ModTime()), ChecksumType: made.ChecksumType}
	giveSums(result, &made)
	return s3response.CopyObjectOutput{CopyObjectResult: result, VersionId: &made.VersionID, CopySourceVersionId: aws.String("")}, nil
}

// write is PutObject of the gateway's storage, encrypted unless sl is nil.
func (s *store) write(ctx context.Context, path string, in s3response.PutObjectInput, sl *sealing) (s3response.PutObjectOutput, error) {
	if sl != nil {
		return s.putSealed(ctx, path, in, sl)
	}
	out, err := s.posix.PutObject(ctx, in)
	if err == nil && isDirectory(*in.Key) {
		err = s.meta.replaceDirectory(path, *in.Key, func(attribute string) bool { return setBy(in, attribute) })
	}
	return out, err
}

// bodyOf is the body of an answer. For a directory, the gateway's storage answers without one.
func bodyOf(out *s3.GetObjectOutput) io.Reader {
	if out.Body == nil {
		return http.NoBody
	}
	return out.Body
}

// isDirectory reports whether the object of a key is a directory, which has attributes and no bytes.
func isDirectory(key string) bool { return strings.HasSuffix(key, "/") }

// giveSums copies the checksums of one answer to another, both given by their addresses.
func giveSums(to, from any) {
	for _, name := range checksumNames {
		if a, b := sumIn(to, name), sumIn(from, name); a != nil && b != nil {
			*a = *b
		}
	}
}

// ownedBy refuses a copy whose source is in a bucket of another owner than the request expects.
func (s *store) ownedBy(ctx context.Context, path string, owner *string) error {
	if aws.ToString(owner) == "" {
		return nil
	}
	text, err := s.posix.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: &path})
	if err != nil {
		return err
	}
	if acl, err := auth.ParseACL(text); err != nil || acl.Owner != *owner {
		return s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	return nil
}

// copyPart is UploadPartCopy of the gateway's storage, to an encrypted upload or from an
// encrypted object. e is nil if the upload is not encrypted.
func (s *store) copyPart(ctx context.Context, path string, in *s3.UploadPartCopyInput, from copied, e *envelope) (out s3response.CopyPartResult, err error) {
	at := s.path(from.bucket)
	if err := s.ownedBy(ctx, at, in.ExpectedSourceBucketOwner); err != nil {
		return out, err
	}
	head, err := s.head(silent(ctx), at, &s3.HeadObjectInput{Bucket: &at, Key: &from.key, Range: aws.String(""), VersionId: aws.String(""),
		IfMatch: in.CopySourceIfMatch, IfNoneMatch: in.CopySourceIfNoneMatch, IfModifiedSince: in.CopySourceIfModifiedSince, IfUnmodifiedSince: in.CopySourceIfUnmodifiedSince})
	if err != nil {
		return out, err
	}
	start, length, err := backend.ParseCopySourceRange(aws.ToInt64(head.ContentLength), aws.ToString(in.CopySourceRange))
	switch {
	case err != nil:
		return out, err
	case length > copyLimit:
		return out, s3err.GetCopySourceObjectTooLargeErr(copyLimit)
	}
	part := ""
	if length > 0 {
		part = fmt.Sprintf("bytes=%d-%d", start, start+length-1)
	}
	source, err := s.get(silent(ctx), at, &s3.GetObjectInput{Bucket: &at, Key: &from.key, Range: &part, VersionId: aws.String(""), IfMatch: aws.String(bare(head.ETag))})
	if err != nil {
		return out, err
	}
	defer closeBody(source)
	upload := &s3.UploadPartInput{Bucket: &path, Key: in.Key, UploadId: in.UploadId, PartNumber: in.PartNumber, ContentLength: &length, Body: bodyOf(source)}
	if algorithm := s.meta.checksums(path, uploadDir(*in.Key, *in.UploadId)).Algorithm; algorithm != "" {
		hashed, err := utils.NewHashReader(upload.Body, "", utils.HashType(strings.ToLower(string(algorithm))))
		if err != nil {
			return out, fmt.Errorf("sum up a part: %w", err)
		}
		upload.Body = summing{hashed}
	}
	made, err := s.writePart(ctx, path, upload, e)
	if err != nil {
		return out, err
	}
	info, err := os.Stat(filepath.Join(path, uploadDir(*in.Key, *in.UploadId), fmt.Sprint(*in.PartNumber)))
	if err != nil {
		return out, fmt.Errorf("look at the copy: %w", err)
	}
	out = s3response.CopyPartResult{ETag: made.ETag, LastModified: info.ModTime()}
	giveSums(&out, made)
	return out, nil
}

// summing is a body with the checksum of what was read.
type summing struct{ *utils.HashReader }

func (s summing) Algorithm() string { return string(s.Type()) }
func (s summing) Checksum() string  { return s.Sum() }

var _ middlewares.ChecksumReader = summing{}

// writePart is UploadPart of the gateway's storage, encrypted unless e is nil.
func (s *store) writePart(ctx context.Context, path string, in *s3.UploadPartInput, e *envelope) (*s3.UploadPartOutput, error) {
	if e == nil {
		return s.posix.UploadPart(ctx, in)
	}
	return s.uploadSealed(ctx, path, in, *e)
}

// copyFrom copies into a part: in the gateway's storage, if neither the object nor the upload
// is encrypted.
func (s *store) copyFrom(ctx context.Context, path string, in *s3.UploadPartCopyInput, from copied) (s3response.CopyPartResult, error) {
	e, err := s.sealOf(path, *in.Key, *in.UploadId)
	if err != nil {
		return s3response.CopyPartResult{}, err
	}
	source, err := s.sealed(s.path(from.bucket), from.key)
	switch {
	case err != nil:
		return s3response.CopyPartResult{}, s.keyError(err)
	case e != nil || source != nil || isDirectory(from.key):
		return s.copyPart(ctx, path, in, from, e)
	}
	out, err := s.posix.UploadPartCopy(ctx, in)
	if err == nil {
		if after, aerr := s.sealed(s.path(from.bucket), from.key); after != nil || aerr != nil { // perhaps the part has ciphertext of it
			return out, errReplaced()
		}
	}
	return out, err
}
