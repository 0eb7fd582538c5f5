package sdk_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/auth/bearer"
	"github.com/go-jose/go-jose/v4"

	"github.com/batholith/batholith/internal/certs/certstest"
	"github.com/batholith/batholith/internal/oidc/oidctest"
)

// private are the settings of a server whose listeners, issuer and model server all have certificates of a private authority.
const private = `
data: %[1]s
listen: 127.0.0.1:0
s3: {listen: "127.0.0.1:0"}
tls: {cert: %[2]s, key: %[3]s, ca: %[4]s}
credentials: [{access_key_id: AKTEST, secret_access_key: testsecret, principal: admin}]
oidc: {issuer: %[5]q, audience: batholith, prefix: "sso:", account_claim: acct, ca_file: %[4]s}
models:
  - id: anthropic.claude-3-haiku-20240307-v1:0
    backends: [{url: "%[6]s/quick/v1", model: quick, ca_file: %[4]s}]
`

// secured serves over TLS with a certificate of an authority until the test ends.
func secured(t *testing.T, a *certstest.Authority, h http.Handler) string {
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{a.Pair("127.0.0.1")}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// issuer is an OpenID Connect issuer.
type issuer struct {
	url    string
	signer crypto.Signer
}

func newIssuer(t *testing.T, a *certstest.Authority) *issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i, mux := &issuer{signer: key}, http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.url, "jwks_uri": i.url + "/keys"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	i.url = secured(t, a, mux)
	return i
}

// token signs the claims of alice, changed.
func (i *issuer) token(t *testing.T, change map[string]any) string {
	t.Helper()
	claims := map[string]any{"iss": i.url, "aud": "batholith", "sub": "alice", "acct": account, "exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range change {
		claims[name] = value
	}
	return oidctest.Sign(t, jose.ES256, i.signer, "k", claims)
}

// The holder of a token runs a job with the AWS SDK, and every connection is made with certificates of a private authority.
func TestATokenRunsAJobWhereEveryCertificateIsPrivate(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	authority := certstest.New(t)
	cert, key, ca := authority.Files(t.TempDir(), "127.0.0.1")
	users, data := newIssuer(t, authority), filepath.Join(t.TempDir(), "data")
	at := serveSettings(t, data, fmt.Appendf(nil, private, data, cert, key, ca, users.url, secured(t, authority, models(t))))
	if !strings.HasPrefix(at.Bedrock, "https://") {
		t.Fatalf("the server is at %s", at.Bedrock)
	}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.Pool}}}
	defer web.CloseIdleConnections()
	objects := s3.New(s3.Options{Region: region, BaseEndpoint: &at.S3, UsePathStyle: true, HTTPClient: web, Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, "")})
	as := func(token string) *bedrock.Client {
		return bedrock.New(bedrock.Options{Region: region, BaseEndpoint: &at.Bedrock, HTTPClient: web, RetryMaxAttempts: 1,
			BearerAuthTokenProvider: bearer.StaticTokenProvider{Token: bearer.Token{Value: token}}, AuthSchemePreference: []string{"httpBearerAuth"}})
	}
	const line = `{"recordId":"R1","modelInput":{"anthropic_version":"bedrock-2023-05-31","max_tokens":16,"messages":[{"role":"user","content":"Hi"}]}}` + "\n"
	for _, bucket := range []string{"in-bucket", "out-bucket"} {
		if _, err := objects.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := objects.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("in-bucket"), Key: aws.String("day/in.jsonl"), Body: strings.NewReader(line)}); err != nil {
		t.Fatal(err)
	}

	alice := as(users.token(t, nil))
	made, err := alice.CreateModelInvocationJob(ctx, (&story{}).job("private", quick))
	if err != nil {
		t.Fatal(err)
	}
	for {
		job, err := alice.GetModelInvocationJob(ctx, &bedrock.GetModelInvocationJobInput{JobIdentifier: made.JobArn})
		if err != nil {
			t.Fatal(err)
		}
		if job.Status == types.ModelInvocationJobStatusCompleted {
			break
		}
		if job.EndTime != nil {
			t.Fatalf("the job is %s: %s", job.Status, aws.ToString(job.Message))
		}
		select { // the server has no event to wait for
		case <-ctx.Done():
			t.Fatalf("the job is still %s", job.Status)
		case <-time.After(20 * time.Millisecond):
		}
	}
	id := (*made.JobArn)[strings.LastIndexByte(*made.JobArn, '/')+1:]
	out, err := objects.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("out-bucket"), Key: aws.String("results/" + id + "/in.jsonl.out")})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if answer, err := io.ReadAll(out.Body); err != nil || !strings.Contains(string(answer), "Good day.") {
		t.Errorf("the output is %q, %v", answer, err)
	}

	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ token, code string }{
		"another account":    {users.token(t, map[string]any{"acct": "111111111111"}), "ResourceNotFoundException"},
		"another audience":   {users.token(t, map[string]any{"aud": "other"}), "UnrecognizedClientException"},
		"an expired one":     {users.token(t, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), "ExpiredTokenException"},
		"a stranger's":       {(&issuer{users.url, stranger}).token(t, nil), "UnrecognizedClientException"},
		"alice's, once more": {users.token(t, nil), ""},
	} {
		_, err := as(c.token).GetModelInvocationJob(ctx, &bedrock.GetModelInvocationJobInput{JobIdentifier: made.JobArn})
		var refused smithy.APIError
		if code := ""; errors.As(err, &refused) {
			if code = refused.ErrorCode(); code != c.code {
				t.Errorf("%s: %v", name, err)
			}
		} else if err != nil || c.code != "" {
			t.Errorf("%s: %v, want %q", name, err, c.code)
		}
	}
}
