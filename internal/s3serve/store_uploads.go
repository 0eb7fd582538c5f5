package s3serve

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// Operations on multipart uploads. The gateway stores an upload as a directory of parts in the
// bucket. A completion claims the upload by renaming the directory.

const (
	uploadsDir    = posix.MetaTmpMultipartDir
	claimedSuffix = ".inprogress" // the gateway's: <upload id>.<etag>.inprogress
)

// uploadDir returns the directory of an upload, below the bucket.
func uploadDir(key, id string) string {
	return path.Join(uploadsDir, fmt.Sprintf("%x", sha256.Sum256([]byte(key))), id)
}

// ofUpload calls f only if id has the syntax of an upload id. The gateway builds a path from
// whatever the client sends, and aborting an upload removes that directory.
func ofUpload[R any](id string, f func(path string) (R, error)) func(path string) (R, error) {
	if id != "" && strings.Trim(id, "0123456789abcdef-") == "" { // the gateway's ids are UUIDs
		return f
	}
	return func(string) (R, error) {
		var none R
		return none, s3err.GetNoSuchUploadErr(id)
	}
}

// CreateMultipartUpload starts an upload durably and returns its id.
func (s *store) CreateMultipartUpload(ctx context.Context, in s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	bucket := *in.Bucket
	return placed(s, ctx, "CreateMultipartUpload", bucket, *in.Key, func(path string) (s3response.InitiateMultipartUploadResult, error) {
		if err := hasName(path, *in.Key); err != nil {
			return s3response.InitiateMultipartUploadResult{}, err
		}
		in.Bucket, in.ContentEncoding = &path, kept(in.ContentEncoding)
		theirs, ours, err := split(in.Tagging)
		if err != nil {
			return s3response.InitiateMultipartUploadResult{}, err
		}
		in.Tagging = theirs
		sl, err := s.sealingFor(ctx, bucket, *in.Key, wishOf(ctx))
		if err != nil {
			return s3response.InitiateMultipartUploadResult{}, err
		}
		out, err := s.posix.CreateMultipartUpload(ctx, in)
		if err == nil && sl != nil {
			err = s.storeSeal(path, uploadDir(*in.Key, out.UploadId), sl.envelope)
		}
		if err == nil && ours != nil {
			err = s.tagUpload(path, uploadDir(*in.Key, out.UploadId), ours)
		}
		if err == nil {
			err = s.names.appeared(bucket, uploadDir(*in.Key, out.UploadId))
		}
		if err == nil && sl != nil {
			s.tellEncryption(ctx, sl.envelope, true)
		}
		out.Bucket = bucket
		return out, err
	})
}

// hasName returns KeyTooLongError, as for PutObject, for a key that no file can have. The gateway keeps an upload and its parts under a hash of
// the key, and would find it out only when the upload is completed.
func hasName(bucket, key string) error {
	longest := "" // the directories above it may not exist yet, so each name is looked up directly in the bucket
	for name := range strings.SplitSeq(key, "/") {
		if len(name) > len(longest) {
			longest = name
		}
	}
	if _, err := os.Lstat(filepath.Join(bucket, longest)); errors.Is(err, syscall.ENAMETOOLONG) {
		return s3err.GetKeyTooLongErr(int64(len(key)), longestKey)
	}
	return nil
}

// longestKey is S3's limit in bytes.
const longestKey = 1024

// tagUpload stores the tags for the object of an upload.
func (s *store) tagUpload(bucket, dir string, tags map[string]string) error {
	text, err := json.Marshal(tags)
	if err != nil {
		return err
	}
	return s.meta.StoreAttribute(nil, bucket, dir, tagsAttribute, text)
}

// UploadPart stores a part durably. The body must be complete: see object.
func (s *store) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	return placed(s, ctx, "UploadPart", *in.Bucket, *in.Key, ofUpload(*in.UploadId, func(path string) (*s3.UploadPartOutput, error) {
		at := *in
		at.Bucket, at.Body = &path, object(ctx, in.Body, in.ContentLength)
		e, err := s.sealOf(path, *in.Key, *in.UploadId)
		if err != nil {
			return nil, err
		}
		out, err := s.writePart(ctx, path, &at, e)
		if err == nil {
			err = s.partAppeared(*in.Bucket, *in.Key, *in.UploadId, *in.PartNumber)
		}
		return out, err
	}))
}

// partAppeared makes the name of a part durable.
func (s *store) partAppeared(bucket, key, id string, n int32) error {
	return s.names.appeared(bucket, path.Join(uploadDir(key, id), strconv.Itoa(int(n))))
}

// CompleteMultipartUpload creates the object. The gateway also returns success if another
// request is completing the upload, or if the upload is unknown and its key has an object. So
// completions and aborts of one upload run one after the other, and success is reported only if
// the object's metadata names this upload. The object is made durable first, then the removal
// of the upload: the client will not ask again, and a power failure must not bring the upload
// back.
func (s *store) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (out s3response.CompleteMultipartUploadResult, version string, err error) {
	key, id := *in.Key, *in.UploadId
	defer s.ending(id)()
	out, err = placed(s, ctx, "CompleteMultipartUpload", *in.Bucket, key, ofUpload(id, func(path string) (out s3response.CompleteMultipartUploadResult, err error) {
		if err := hasName(path, key); err != nil { // begun before uploads were refused at their beginning
			return out, err
		}
		s.names.forget(*in.Bucket, uploadDir(key, id))
		at := *in
		at.Bucket = &path
		e, err := s.sealOf(path, key, id)
		if err != nil {
			return out, err
		}
		var sums partSums
		if in.MultipartUpload != nil {
			var some bool
			if sums, some = s.meta.partSumsOf(path, uploadDir(key, id), id, in.MultipartUpload.Parts); some {
				defer s.meta.completing(sums)()
			}
		}
		left := s.meta.leaving(path, key, uploadDir(key, id))
		if e != nil && in.MultipartUpload != nil {
			out, version, err = s.completeSealed(ctx, path, &at, *e, sums)
		} else {
			out, version, err = s.posix.CompleteMultipartUpload(ctx, &at)
		}
		left()
		if err != nil {
			return out, err
		}
		out.Bucket = in.Bucket
		if !s.meta.madeBy(path, key, id, uploadOf) {
			return out, s3err.GetNoSuchUploadErr(id)
		}
		if err := s.names.appeared(*in.Bucket, key); err != nil {
			return out, err
		}
		return out, s.names.vanished(*in.Bucket, uploadDir(key, id))
	}))
	return out, version, err
}

// ending waits for other completions and aborts of the upload. The caller must call done
// afterwards.
func (s *store) ending(id string) (done func()) {
	lock := &s.completing[maphash.String(s.seed, id)%uint64(len(s.completing))]
	lock.Lock()
	return lock.Unlock
}

// uploadOf returns the upload id from the gateway's metadata of an object.
func uploadOf(value []byte) (string, error) {
	m, err := backend.UnmarshalMpUploadMetadata(value, false)
	return m.UploadID, err
}

// AbortMultipartUpload removes an upload. It waits for a running completion: the gateway would
// not find the upload, and the object would appear after the client was told that the upload is
// gone.
func (s *store) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput) error {
	defer s.ending(*in.UploadId)()
	_, err := call(s, ctx, "AbortMultipartUpload", *in.Bucket, ofUpload(*in.UploadId, func(path string) (struct{}, error) {
		dir := uploadDir(*in.Key, *in.UploadId)
		s.names.forget(*in.Bucket, dir)
		at := *in
		at.Bucket = &path
		left := s.meta.leaving(path, dir)
		err := s.posix.AbortMultipartUpload(ctx, &at)
		left()
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.names.vanished(*in.Bucket, dir)
	}))
	return err
}

// ListMultipartUploads lists unfinished uploads.
func (s *store) ListMultipartUploads(ctx context.Context, in *s3.ListMultipartUploadsInput) (s3response.ListMultipartUploadsResult, error) {
	return call(s, ctx, "ListMultipartUploads", *in.Bucket, func(path string) (s3response.ListMultipartUploadsResult, error) {
		at := *in
		at.Bucket = &path
		escape, err := escaper(ctx)
		if err != nil {
			return s3response.ListMultipartUploadsResult{}, err
		}
		out, err := s.posix.ListMultipartUploads(ctx, &at)
		out.Bucket = *in.Bucket
		if escape {
			out.EncodingType = string(types.EncodingTypeUrl)
			escapeAll(&out.Prefix, &out.KeyMarker, &out.NextKeyMarker, &out.Delimiter)
			for i := range out.Uploads {
				escapeAll(&out.Uploads[i].Key)
			}
			for i := range out.CommonPrefixes {
				escapeAll(&out.CommonPrefixes[i].Prefix)
			}
		}
		return out, err
	})
}

// ListParts lists the parts of an upload.
func (s *store) ListParts(ctx context.Context, in *s3.ListPartsInput) (s3response.ListPartsResult, error) {
	return call(s, ctx, "ListParts", *in.Bucket, ofUpload(*in.UploadId, func(path string) (s3response.ListPartsResult, error) {
		at := *in
		at.Bucket = &path
		out, err := s.posix.ListParts(ctx, &at)
		if err != nil {
			return out, err
		}
		e, err := s.sealOf(path, *in.Key, *in.UploadId)
		if e != nil {
			for i := range out.Parts {
				out.Parts[i].Size, _ = plainSize(out.Parts[i].Size - int64(partHead))
			}
		}
		out.Bucket = *in.Bucket
		return out, err
	}))
}

// recoverUploads runs before requests are served. It makes uploads available again that were
// being completed when the process died, and removes files that were being written.
func (s *store) recoverUploads() error {
	buckets, err := os.ReadDir(s.buckets)
	if err != nil {
		return err
	}
	for _, b := range buckets {
		if !b.IsDir() {
			continue
		}
		bucket := s.path(b.Name())
		if err := removeFiles(filepath.Join(bucket, posix.MetaTmpDir)); err != nil {
			return err
		}
		keys, err := entries(filepath.Join(bucket, uploadsDir))
		if err != nil {
			return err
		}
		for _, k := range keys {
			if err := s.recoverKey(bucket, path.Join(uploadsDir, k.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// recoverKey restores the claimed uploads of one key. bucket is a path.
func (s *store) recoverKey(bucket, dir string) error {
	if err := removeFiles(filepath.Join(bucket, dir)); err != nil {
		return err
	}
	uploads, err := os.ReadDir(filepath.Join(bucket, dir))
	if err != nil {
		return err
	}
	for _, u := range uploads {
		id, _, _ := strings.Cut(u.Name(), ".")
		if !strings.HasSuffix(u.Name(), claimedSuffix) {
			continue
		}
		from, to := path.Join(dir, u.Name()), path.Join(dir, id)
		if err := s.meta.RenameObject(bucket, from, to); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(bucket, from), filepath.Join(bucket, to)); err != nil {
			return err
		}
	}
	return s.meta.disk.path(filepath.Join(bucket, dir))
}

// removeFiles removes the files of a directory, but not its subdirectories.
func removeFiles(dir string) error {
	all, err := entries(dir)
	if err != nil {
		return err
	}
	for _, e := range all {
		if e.IsDir() {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// entries returns the entries of a directory; none if it does not exist.
func entries(dir string) ([]os.DirEntry, error) {
	all, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return all, err
}
