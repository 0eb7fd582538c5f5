package object

import (
	"fmt"
	"strings"
)

// ParseURI splits s3://bucket/key. The key may be empty; it is everything after the slash,
// unchanged.
func ParseURI(s string) (bucket, key string, err error) {
	rest, ok := strings.CutPrefix(s, "s3://")
	if !ok {
		return "", "", fmt.Errorf("%q is not an S3 URI (s3://bucket/key)", s)
	}
	bucket, key, _ = strings.Cut(rest, "/")
	if bucket == "" {
		return "", "", fmt.Errorf("%q names no bucket (s3://bucket/key)", s)
	}
	return bucket, key, nil
}

// uri returns the URI of an object for messages, or of a bucket if key is empty.
func uri(bucket, key string) string { return "s3://" + bucket + "/" + key }

// Below returns the prefix of all keys below key: it ends in a slash unless key is empty.
func Below(key string) string {
	if key == "" || strings.HasSuffix(key, "/") {
		return key
	}
	return key + "/"
}
