package sigv4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

var alice = Identity{Account: "000000000000", Principal: "alice", Groups: []string{"team"}}

func verifier(now time.Time) *Verifier {
	ring := NewRing(
		[]AccessKey{
			{ID: "AKALICE", Secret: "wonderland", Identity: alice},
			{ID: "ASIASESSION", Secret: "wonderland", SessionToken: "today", Identity: alice},
			{ID: "AK/with/slash", Secret: "wonderland", Identity: alice},
		},
		[]APIKey{{Key: "bedrock-test-key", Identity: alice}})
	return New("us-east-1", "bedrock", ring, func() time.Time { return now })
}

// call is a request that a client is about to sign.
type call struct {
	method, target, body string
	header               map[string]string
	key, token           string
	secret               string
	region, service      string
	at                   time.Time
	send                 func(*http.Request) // what happens to it between client and server
}

// received signs c as an SDK does and returns it as the server reads it.
func received(t *testing.T, c call) (*http.Request, []byte) {
	t.Helper()
	r, err := http.NewRequest(c.method, "http://127.0.0.1:4600"+c.target, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range c.header {
		r.Header.Set(k, v)
	}
	sum := sha256.Sum256([]byte(c.body))
	creds := aws.Credentials{AccessKeyID: or(c.key, "AKALICE"), SecretAccessKey: or(c.secret, "wonderland"), SessionToken: c.token}
	at := c.at
	if at.IsZero() {
		at = noon
	}
	err = v4.NewSigner().SignHTTP(context.Background(), creds, r, hex.EncodeToString(sum[:]), or(c.service, "bedrock"), or(c.region, "us-east-1"), at)
	if err != nil {
		t.Fatal(err)
	}
	if c.send != nil {
		c.send(r)
	}
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	got := readRequest(t, wire.Bytes())
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got, body
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

const (
	getByARN  = "/model-invocation-job/arn%3Aaws%3Abedrock%3Aus-east-1%3A000000000000%3Amodel-invocation-job%2Fabcdefghijkl"
	listQuery = "/model-invocation-jobs?submitTimeAfter=2026-01-02T03%3A04%3A05.678000Z&maxResults=5&nameContains=a%20b&sortOrder="
)

func TestASignatureOfAnyClientIsVerified(t *testing.T) {
	json := map[string]string{"Content-Type": "application/json"}
	for name, c := range map[string]call{
		"create":                         {method: "POST", target: "/model-invocation-job", body: `{"jobName":"a"}`, header: json},
		"get by an escaped ARN":          {method: "GET", target: getByARN},
		"stop by an escaped ARN":         {method: "POST", target: getByARN + "/stop"},
		"get by an ARN with a raw slash": {method: "GET", target: "/model-invocation-job/arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abcdefghijkl"},
		"list with a query":              {method: "GET", target: listQuery},
		"header of many spaces":          {method: "GET", target: "/model-invocation-jobs", header: map[string]string{"X-Amz-User-Agent": "a   b  "}},
		"content hash": {method: "POST", target: "/tagResource", body: `{}`,
			header: map[string]string{"X-Amz-Content-Sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}},
		"session":              {method: "GET", target: "/model-invocation-jobs", key: "ASIASESSION", token: "today"},
		"key with a slash":     {method: "GET", target: "/model-invocation-jobs", key: "AK/with/slash"},
		"clock 5 minutes slow": {method: "GET", target: "/model-invocation-jobs", at: noon.Add(-Skew)},
		"clock 5 minutes fast": {method: "GET", target: "/model-invocation-jobs", at: noon.Add(Skew)},
		"a header that was not signed": {method: "GET", target: "/model-invocation-jobs",
			send: func(r *http.Request) { r.Header.Set("X-Amzn-Trace-Id", "Root=1") }},
	} {
		t.Run(name, func(t *testing.T) {
			r, body := received(t, c)
			before := r.Header.Clone()
			if verified, err := verifier(noon).Admit(r); verified || err != nil {
				t.Errorf("its head alone: verified %v, %v", verified, err)
			}
			who, err := verifier(noon).Verify(r, body)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(alice, who); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(before, r.Header); d != "" {
				t.Error("the request was changed:", d)
			}
		})
	}
}

// botocore signs content-type, host and x-amz-date only: neither the length nor anything that the SDK for Go adds.
func TestOnlyTheListedHeadersCount(t *testing.T) {
	r, _ := received(t, call{method: "POST", target: "/tagResource", header: map[string]string{"Content-Type": "application/json"}})
	body := []byte(`{"resourceARN":"x"}`)
	sum := sha256.Sum256(body)
	r.Header.Del("Authorization")
	s := r.Clone(context.Background())
	s.Header = http.Header{"Content-Type": {"application/json"}}
	s.ContentLength = 0
	creds := aws.Credentials{AccessKeyID: "AKALICE", SecretAccessKey: "wonderland"}
	if err := v4.NewSigner().SignHTTP(context.Background(), creds, s, hex.EncodeToString(sum[:]), "bedrock", "us-east-1", noon); err != nil {
		t.Fatal(err)
	}
	header := s.Header.Get("Authorization")
	if !strings.Contains(header, "SignedHeaders=content-type;host;x-amz-date,") {
		t.Fatalf("not the header set of botocore: %s", header)
	}
	r.Header.Set("Authorization", header)
	r.Header.Set("User-Agent", "Boto3/1.43")
	r.ContentLength = int64(len(body))
	if _, err := verifier(noon).Verify(r, body); err != nil {
		t.Error(err)
	}
}

func TestSignedUserAgentIsRecognised(t *testing.T) {
	r := httptest.NewRequest("GET", "/model-invocation-jobs", nil)
	r.Header.Set("User-Agent", "old/1")
	r.Header.Set("X-Amz-Date", noon.Format(amzDate))
	v := verifier(noon)
	key, _ := v.keys.AccessKey("AKALICE")
	a := authorization{key: key.ID, date: "20260102", region: "us-east-1", service: "bedrock", headers: []string{"host", "user-agent", "x-amz-date"}}
	sum := sha256.Sum256(nil)
	signed := v.sign(r, 0, hex.EncodeToString(sum[:]), key, a, noon)
	r.Header.Set("User-Agent", "other/1")
	if v.sign(r, 0, hex.EncodeToString(sum[:]), key, a, noon) == signed {
		t.Error("a signed user agent does not count")
	}
}

func TestForgeriesAreRefused(t *testing.T) {
	auth := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
		}
	}
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, c := range map[string]struct {
		call
		code, says string
		body       string // received in place of what was sent
	}{
		"another secret":                 {call: call{secret: "x"}, code: CodeInvalid, says: "does not match"},
		"unknown key":                    {call: call{key: "AKNOBODY"}, code: CodeUnrecognized},
		"another region":                 {call: call{region: "eu-west-1"}, code: CodeInvalid, says: "Credential should be scoped to a valid region"},
		"another service":                {call: call{service: "s3"}, code: CodeInvalid, says: "Credential should be scoped to correct service"},
		"slow clock":                     {call: call{at: noon.Add(-Skew - time.Second)}, code: CodeInvalid, says: "Signature expired: 20260102T115459Z is now earlier than 20260102T115500Z"},
		"fast clock":                     {call: call{at: noon.Add(Skew + time.Second)}, code: CodeInvalid, says: "Signature not yet current"},
		"another body":                   {body: `{"jobName":"b"}`, code: CodeInvalid, says: "does not match"},
		"another path":                   {call: call{send: func(r *http.Request) { r.URL.Path = "/tagResource" }}, code: CodeInvalid, says: "does not match"},
		"another query":                  {call: call{send: func(r *http.Request) { r.URL.RawQuery = "a=b" }}, code: CodeInvalid, says: "does not match"},
		"another method":                 {call: call{send: func(r *http.Request) { r.Method = "PUT" }}, code: CodeInvalid, says: "does not match"},
		"another host":                   {call: call{send: func(r *http.Request) { r.Host = "elsewhere" }}, code: CodeInvalid, says: "does not match"},
		"another content type":           {call: call{send: set("Content-Type", "text/plain")}, code: CodeInvalid, says: "does not match"},
		"another date":                   {call: call{send: set("X-Amz-Date", "20260102T120001Z")}, code: CodeInvalid, says: "does not match"},
		"date of another day":            {call: call{send: set("X-Amz-Date", "20260103T120000Z")}, code: CodeInvalid, says: "does not match YYYYMMDD"},
		"no date":                        {call: call{send: func(r *http.Request) { r.Header.Del("X-Amz-Date") }}, code: CodeIncomplete, says: "X-Amz-Date"},
		"short date":                     {call: call{send: set("X-Amz-Date", "2026")}, code: CodeIncomplete, says: "X-Amz-Date"},
		"host not signed":                {call: call{send: auth("host;", "")}, code: CodeIncomplete, says: "'host'"},
		"date not signed":                {call: call{send: auth(";x-amz-date", "")}, code: CodeIncomplete, says: "'x-amz-date'"},
		"cut signature":                  {call: call{send: func(r *http.Request) { a := r.Header.Get("Authorization"); r.Header.Set("Authorization", a[:len(a)-1]) }}, code: CodeInvalid},
		"no signature":                   {call: call{send: auth("Signature=", "Sig=")}, code: CodeIncomplete, says: "'Signature'"},
		"short scope":                    {call: call{send: auth("/us-east-1", "")}, code: CodeIncomplete, says: "Credential"},
		"another terminator":             {call: call{send: auth("aws4_request", "aws5_request")}, code: CodeIncomplete, says: "Credential"},
		"another algorithm":              {call: call{send: auth("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")}, code: CodeIncomplete},
		"nothing":                        {call: call{send: func(r *http.Request) { r.Header.Del("Authorization") }}, code: CodeMissing},
		"presigned":                      {call: call{send: func(r *http.Request) { r.Header.Del("Authorization"); r.URL.RawQuery = "X-Amz-Signature=a" }}, code: CodeMissing, says: "Presigned"},
		"unsigned payload":               {call: call{header: map[string]string{"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"}}, code: CodeInvalid, says: "x-amz-content-sha256"},
		"two dates":                      {call: call{send: func(r *http.Request) { r.Header.Add("X-Amz-Date", "20260102T120001Z") }}, code: CodeIncomplete, says: "more than one"},
		"two signatures":                 {call: call{send: func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }}, code: CodeIncomplete, says: "more than one"},
		"a signature and an API key":     {call: call{send: func(r *http.Request) { r.Header.Add("Authorization", "Bearer bedrock-test-key") }}, code: CodeIncomplete, says: "more than one"},
		"session without its token":      {call: call{key: "ASIASESSION"}, code: CodeUnrecognized},
		"session with another token":     {call: call{key: "ASIASESSION", token: "yesterday"}, code: CodeUnrecognized},
		"token with a key that has none": {call: call{token: "today"}, code: CodeUnrecognized},
	} {
		t.Run(name, func(t *testing.T) {
			c.method, c.target, c.call.body = "POST", "/model-invocation-job", `{"jobName":"a"}`
			if c.header == nil {
				c.header = map[string]string{"Content-Type": "application/json"}
			}
			r, body := received(t, c.call)
			if c.body != "" {
				body = []byte(c.body)
			}
			who, err := verifier(noon).Verify(r, body)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, %v", who, err)
			}
			if e.Code != c.code || !strings.Contains(e.Message, c.says) {
				t.Errorf("got %s: %s", e.Code, e.Message)
			}
			if d := cmp.Diff(Identity{}, who); d != "" {
				t.Error("an identity beside an error:", d)
			}
			if strings.Contains(e.Message, "wonderland") || strings.Contains(e.Message, "today") {
				t.Errorf("a secret in %q", e.Message)
			}
		})
	}
}

// A header that lacks several parts is told by the same one at each request.
func TestAnUnreadableHeaderIsToldByItsFirstMissingPart(t *testing.T) {
	for header, part := range map[string]string{"": "Credential", "SignedHeaders=host": "Credential", "Credential=a/b/c/d/aws4_request": "SignedHeaders", "Credential=a, SignedHeaders=host": "Signature"} {
		for range 20 {
			if _, err := parseAuthorization(header); err == nil || !strings.Contains(err.Error(), "'"+part+"'") {
				t.Errorf("%q: %v, want %s", header, err, part)
			}
		}
	}
}

func TestBearerKeys(t *testing.T) {
	for header, code := range map[string]string{
		"Bearer bedrock-test-key":  "",
		"bearer bedrock-test-key":  "",
		"Bearer bedrock-test-key2": CodeUnrecognized,
		"Bearer bedrock-test-ke":   CodeUnrecognized,
		"Bearer":                   CodeUnrecognized,
		"Basic YWxpY2U6d29uZGVy":   CodeIncomplete,
	} {
		r := httptest.NewRequest("GET", "/model-invocation-jobs", nil)
		r.Header.Set("Authorization", header)
		who, err := verifier(noon).Verify(r, nil)
		var e *Error
		if got := errors.As(err, &e); got != (code != "") || (got && e.Code != code) {
			t.Errorf("%s: %v", header, err)
		}
		if code == "" && who.Principal != "alice" {
			t.Errorf("%s: %v", header, who)
		}
	}
}

// Admit looks at the head only, so it must refuse nobody whom Verify would take, and verify nobody by a signature.
func TestAdmitRefusesAsVerifyDoesWhateverTheBody(t *testing.T) {
	for header, verified := range map[string]bool{"Bearer bedrock-test-key": true, "Bearer nobody": false, "Basic x": false, "": false} {
		r := httptest.NewRequest("GET", "/model-invocation-jobs", nil)
		r.Header.Set("Authorization", header)
		got, err := verifier(noon).Admit(r)
		_, want := verifier(noon).Verify(r, nil)
		if got != verified || (err == nil) != verified || !cmp.Equal(err, want) {
			t.Errorf("%q: verified %v, %v; Verify says %v", header, got, err, want)
		}
	}
	for name, c := range map[string]call{
		"an unknown key":  {key: "AKNOBODY"},
		"another region":  {region: "eu-west-9"},
		"another service": {service: "s3"},
		"a late clock":    {at: noon.Add(-Skew - time.Second)},
	} {
		c.method, c.target = "GET", "/model-invocation-jobs"
		r, body := received(t, c)
		_, err := verifier(noon).Admit(r)
		if _, want := verifier(noon).Verify(r, body); err == nil || !cmp.Equal(err, want) {
			t.Errorf("%s: %v; Verify says %v", name, err, want)
		}
	}
}

func FuzzAuthorizationHeader(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKALICE/20260102/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=00")
	f.Add("AWS4-HMAC-SHA256 Credential=AKALICE/20260102/us-east-1/bedrock/aws4_request,SignedHeaders=host;;content-length,Signature=")
	f.Add("AWS4-HMAC-SHA256 Credential=////,SignedHeaders=host")
	f.Add("Bearer bedrock-test-kex")
	f.Fuzz(func(t *testing.T, header string) {
		if strings.Contains(header, "bedrock-test-key") {
			return // the right key, which is not to be refused
		}
		r := httptest.NewRequest("POST", "/model-invocation-job", nil)
		r.Header = http.Header{"Authorization": {header}, "X-Amz-Date": {"20260102T120000Z"}}
		who, err := verifier(noon).Verify(r, []byte("{}"))
		var e *Error
		if !errors.As(err, &e) || !slices.Contains([]int{400, 403}, e.Status) || who.Principal != "" {
			t.Fatalf("%q: %v, %v", header, who, err)
		}
	})
}

// withSessions is a ring whose temporary keys are those of a function.
type withSessions struct {
	*Ring
	session func(id, token string) (AccessKey, error)
}

func (w withSessions) Session(id, token string) (AccessKey, error) { return w.session(id, token) }

func TestTemporaryKeysAreTakenWithTheirToken(t *testing.T) {
	bob := Identity{Account: "111111111111", Principal: "arn:aws:sts::111111111111:assumed-role/r/bob"}
	keys := func(id, token string) (AccessKey, error) {
		switch {
		case id == "ASIAOLD":
			return AccessKey{}, ErrExpired
		case id != "ASIABOB" || token != "bobs":
			return AccessKey{}, ErrNoSession
		}
		return AccessKey{ID: id, Secret: "wonderland", SessionToken: token, Identity: bob}, nil
	}
	v := New("us-east-1", "bedrock", withSessions{verifier(noon).keys.(*Ring), keys}, func() time.Time { return noon })
	for name, c := range map[string]struct {
		call
		code string
	}{
		"its token":       {call{key: "ASIABOB", token: "bobs"}, ""},
		"another token":   {call{key: "ASIABOB", token: "eves"}, CodeUnrecognized},
		"no token":        {call{key: "ASIABOB"}, CodeUnrecognized},
		"another secret":  {call{key: "ASIABOB", token: "bobs", secret: "x"}, CodeInvalid},
		"after its end":   {call{key: "ASIAOLD", token: "bobs"}, CodeExpired},
		"a permanent key": {call{key: "AKALICE", token: "bobs"}, CodeUnrecognized},
	} {
		c.method, c.target = "GET", "/model-invocation-jobs"
		r, body := received(t, c.call)
		who, err := v.Verify(r, body)
		var refused *Error
		if errors.As(err, &refused) != (c.code != "") || refused != nil && refused.Code != c.code || err == nil && who.Principal != bob.Principal {
			t.Errorf("%s: %v, %v; want %q", name, who, err, c.code)
		}
	}
}

// changing are keys that a reload replaces.
type changing struct{ *Ring }

func TestASecretCountsFromItsChangeOn(t *testing.T) {
	ring := func(secret string) *Ring {
		return NewRing([]AccessKey{{ID: "AKALICE", Secret: secret, Identity: alice}}, nil)
	}
	keys := &changing{ring("old")}
	v := New("us-east-1", "bedrock", keys, func() time.Time { return noon })
	check := func(secret string, right bool) {
		t.Helper()
		r, body := received(t, call{method: "GET", target: "/model-invocation-jobs", secret: secret})
		if _, err := v.Verify(r, body); (err == nil) != right {
			t.Errorf("the secret %q: %v", secret, err)
		}
	}
	check("old", true)
	keys.Ring = ring("new")
	check("old", false)
	check("new", true)
}
