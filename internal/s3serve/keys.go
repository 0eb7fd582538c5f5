package s3serve

import (
	"context"
	"fmt"
	"strings"

	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3err"
)

// unfit returns the first segment that makes a key impossible to store: the key would have no
// path, the path of another key, or a path among the gateway's own files. A trailing slash is
// not a segment: the key is that of a directory, which is an object too.
func unfit(key string) (segment string, found bool) {
	for part := range strings.SplitSeq(strings.TrimSuffix(key, "/"), "/") {
		switch part {
		case "", ".", "..", posix.MetaTmpDir:
			return part, true
		}
		if strings.ContainsRune(part, 0) { // file systems end a name at a NUL
			return part, true
		}
	}
	return "", false
}

// refuseUnfit returns the error for a request that would create an object with such a key, or
// nil.
func refuseUnfit(key string) error {
	segment, found := unfit(key)
	if !found {
		return nil
	}
	why := fmt.Sprintf("has the segment %q", segment)
	switch {
	case segment == "" && strings.HasPrefix(key, "/"):
		why = "begins with a slash"
	case segment == "":
		why = "has an empty segment (two slashes in a row)"
	}
	return s3err.InvalidArgumentError{ArgumentName: "key", ArgumentValue: key,
		Description: "The key " + why + ". The embedded S3 keeps objects in files and their keys as paths, in which this segment cannot be kept."}
}

// isNamed rejects a key that differs from the one in the request's address. A form has its key
// in its fields.
func (s *store) isNamed(ctx context.Context, verb, key string) error {
	if a := addressOf(ctx); a == nil || a.key == key || a.key == "" && isFormUpload(ctx) {
		return nil
	}
	s.log.Error("embedded S3: a request was routed to another key than it named, and refused", "verb", verb)
	return s3err.GetAPIError(s3err.ErrAccessDenied)
}

// placed is call for methods that create an object: it rejects unfit keys.
func placed[R any](s *store, ctx context.Context, verb, bucket, key string, f func(path string) (R, error)) (R, error) {
	return call(s, ctx, verb, bucket, func(path string) (R, error) {
		err := refuseUnfit(key)
		if err == nil {
			err = s.isNamed(ctx, verb, key)
		}
		if err != nil {
			var none R
			return none, err
		}
		return f(path)
	})
}

// found is call for methods on an existing object: an unfit key is NoSuchKey.
func found[R any](s *store, ctx context.Context, verb, bucket, key string, f func(path string) (R, error)) (R, error) {
	out, err := call(s, ctx, verb, bucket, func(path string) (R, error) {
		err := s.isNamed(ctx, verb, key)
		if _, cannot := unfit(key); cannot {
			err = s3err.GetAPIError(s3err.ErrNoSuchKey)
		}
		if err != nil {
			var none R
			return none, err
		}
		return f(path)
	})
	return out, s.missing(ctx, verb, bucket, key, err)
}

// change is found for methods without a result.
func (s *store) change(ctx context.Context, verb, bucket, key string, f func(path string) error) error {
	_, err := found(s, ctx, verb, bucket, key, func(path string) (struct{}, error) { return struct{}{}, f(path) })
	return err
}
