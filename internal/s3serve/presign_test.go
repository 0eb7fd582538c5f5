package s3serve

import (
	"net/http"
	"testing"
)

// The example is Amazon's own, with the key that belongs to it.
// (S3: Signing and authenticating REST requests, query string request authentication.)
func TestOldSignatureIsAmazons(t *testing.T) {
	target, err := resolve("s3.amazonaws.com", "/johnsmith/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires=1175139620")
	if err != nil {
		t.Fatal(err)
	}
	if got := oldSignature("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", http.MethodGet, target, nil); got != "NpgCjnDzrM+WFzoENXmpNDUsSn8=" {
		t.Errorf("got %s", got)
	}
}

func TestOldSignatureCoversWhatMatters(t *testing.T) {
	sign := func(secret, method, uri string, header http.Header) string {
		target, err := resolve("127.0.0.1:4601", uri)
		if err != nil {
			t.Fatal(err)
		}
		return oldSignature(secret, method, target, header)
	}
	base := sign("s", "GET", "/b/k?Expires=1&uploadId=7", nil)
	for name, other := range map[string]string{
		"secret": sign("t", "GET", "/b/k?Expires=1&uploadId=7", nil), "method": sign("s", "PUT", "/b/k?Expires=1&uploadId=7", nil),
		"key": sign("s", "GET", "/b/l?Expires=1&uploadId=7", nil), "expiry": sign("s", "GET", "/b/k?Expires=2&uploadId=7", nil),
		"upload": sign("s", "GET", "/b/k?Expires=1&uploadId=8", nil),
		"header": sign("s", "GET", "/b/k?Expires=1&uploadId=7", http.Header{"X-Amz-Acl": {"public-read"}}),
	} {
		if other == base {
			t.Errorf("the signature does not cover the %s", name)
		}
	}
	if same := sign("s", "GET", "/b/k?Expires=1&uploadId=7&AWSAccessKeyId=x&Signature=y", http.Header{"Accept": {"*/*"}}); same != base {
		t.Error("the signature covers what it must not")
	}
}
