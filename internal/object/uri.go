package object

import (
	"fmt"
	"strings"
)

// ParseURI splits s3://bucket/key. The key may be empty and keeps every byte after the first slash.
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

// uri is how messages name an object, or a bucket when the key is empty.
func uri(bucket, key string) string { return "s3://" + bucket + "/" + key }

// Below is a key as the beginning of the keys under it.
func Below(key string) string {
	if key == "" || strings.HasSuffix(key, "/") {
		return key
	}
	return key + "/"
}
