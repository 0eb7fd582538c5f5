package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// overHTTP2 is a request as the SDK for JavaScript has sent it over HTTP/2.
func overHTTP2() *http.Request {
	r := httptest.NewRequest("POST", "http://127.0.0.1:43531/model/m/converse", strings.NewReader(`{"messages":[]}`))
	for name, value := range map[string]string{
		"Content-Type": "application/json", "X-Amz-User-Agent": "aws-sdk-js/3.1163.0", "Amz-Sdk-Invocation-Id": "f11f3a2d-aff0-4eed-989c-6b19b343df06",
		"Amz-Sdk-Request": "attempt=1; max=1", "X-Amz-Date": "20261130T122117Z",
		"X-Amz-Content-Sha256": "5e4ce7b36ba37b78a5d5f9fd08e6b7b54ba6879d651aa46ec9e1d6fa24ebe30a",
		"Authorization": "AWS4-HMAC-SHA256 Credential=A/20261130/us-east-1/bedrock/aws4_request, SignedHeaders=:authority;amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;" +
			"x-amz-content-sha256;x-amz-date;x-amz-user-agent, Signature=27c227ac4dc5206d4a982beabe74528f35f163227e5903ad499c156d08a93cb8",
	} {
		r.Header.Set(name, value)
	}
	return r
}

// keyA is a store with one key.
type keyA struct{}

func (keyA) AccessKey(string) (AccessKey, bool) { return AccessKey{ID: "A", Secret: "B"}, true }
func (keyA) Bearer(string) (Identity, bool)     { return Identity{}, false }

func TestHTTP2SignsTheAuthorityInThePlaceOfTheHost(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 21, 17, 0, time.UTC)
	verify := func(r *http.Request) error {
		_, err := New("us-east-1", "bedrock", keyA{}, func() time.Time { return at }).Verify(r, []byte(`{"messages":[]}`))
		return err
	}
	if err := verify(overHTTP2()); err != nil {
		t.Error(err)
	}
	for name, forge := range map[string]func(*http.Request){
		"host":   func(r *http.Request) { r.Host = "127.0.0.1:1" },
		"path":   func(r *http.Request) { r.URL.Path = "/model/n/converse" },
		"query":  func(r *http.Request) { r.URL.RawQuery = "a=b" },
		"method": func(r *http.Request) { r.Method = "PUT" },
		"header": func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
	} {
		r := overHTTP2()
		if forge(r); verify(r) == nil {
			t.Errorf("another %s is taken", name)
		}
	}
}

// TestTheTwoSignersAgree: for a request that signs the host, signAuthority computes what the SDK for Go does.
func TestTheTwoSignersAgree(t *testing.T) {
	v := verifier(noon)
	key, _ := v.keys.AccessKey("AKALICE")
	for _, target := range []string{"/", "/model-invocation-jobs?b=2&a=1&a=0&c=x%20y%2B", "/model/arn%3Aaws%3Abedrock%3A%3Amodel%2Fa/invoke", "/a b/ü", "/model/a:0/converse?x="} {
		r := httptest.NewRequest("POST", "http://h:1/", nil)
		if u, err := r.URL.Parse(target); err != nil {
			t.Fatal(err)
		} else {
			r.URL = u
		}
		r.Header.Set("X-Amz-Date", noon.Format(amzDate))
		r.Header.Add("X-Two", " a  b ")
		r.Header.Add("X-Two", "c")
		a := authorization{key: key.ID, date: "20260102", region: "us-east-1", service: "bedrock", headers: []string{"content-length", "host", "x-amz-date", "x-two"}}
		sum := sha256.Sum256([]byte("abc"))
		hash := hex.EncodeToString(sum[:])
		if theirs, ours := v.sign(r, 3, hash, key, a, noon), v.signAuthority(r, 3, hash, key, a, noon); theirs != ours || theirs == "" {
			t.Errorf("%s: %s by the SDK, %s here", target, theirs, ours)
		}
	}
}
