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
	if got := oldSignature("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", http.MethodGet, target, nil, "1175139620"); got != "NpgCjnDzrM+WFzoENXmpNDUsSn8=" {
		t.Errorf("got %s", got)
	}
}

// (S3: Signing and authenticating REST requests, the examples of requests with an Authorization header.)
func TestOldSignatureInHeadersIsAmazons(t *testing.T) {
	for _, example := range []struct {
		method, host, target, date, want string
		header                           http.Header
	}{
		{"GET", "awsexamplebucket1.us-west-1.s3.amazonaws.com", "/photos/puppy.jpg", "Tue, 27 Mar 2007 19:36:42 +0000", "qgk2+6Sv9/oM7G3qLEjTH1a1l1g=", nil},
		{"PUT", "awsexamplebucket1.s3.us-west-1.amazonaws.com", "/photos/puppy.jpg", "Tue, 27 Mar 2007 21:15:45 +0000", "iqRzw+ileNPu1fhspnRs8nOjjIA=",
			http.Header{"Content-Type": {"image/jpeg"}}},
		{"GET", "awsexamplebucket1.s3.us-west-1.amazonaws.com", "/?prefix=photos&max-keys=50&marker=puppy", "Tue, 27 Mar 2007 19:42:41 +0000", "m0WP8eCtspQl5Ahe6L1SozdX9YA=", nil},
		{"GET", "awsexamplebucket1.s3.us-west-1.amazonaws.com", "/?acl", "Tue, 27 Mar 2007 19:44:46 +0000", "82ZHiFIjc+WbcwFKGUVEQspPn+0=", nil},
	} {
		target, err := resolve(example.host, example.target)
		if err != nil {
			t.Fatal(err)
		}
		target.byHost, target.bucket = true, "awsexamplebucket1"
		if got := oldSignature("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", example.method, target, example.header, example.date); got != example.want {
			t.Errorf("%s %s: got %s, want %s", example.method, example.target, got, example.want)
		}
	}
}

func TestOldSignatureCoversWhatMatters(t *testing.T) {
	sign := func(secret, method, uri string, header http.Header) string {
		target, err := resolve("127.0.0.1:4601", uri)
		if err != nil {
			t.Fatal(err)
		}
		expires, _ := target.value("Expires")
		return oldSignature(secret, method, target, header, expires)
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
