package upstream

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// AWS are the keys and the region of a backend with the protocol bedrock. Without keys and
// profile, the keys are those of the AWS default chain: environment, shared files, container,
// instance.
type AWS struct {
	Region                       string // "": that of the URL; else us-east-1
	Profile                      string // of the shared files ~/.aws/config and ~/.aws/credentials
	AccessKeyID, SecretAccessKey string
	SessionToken                 string
	// File is a file of credentials in the form of ~/.aws/credentials, in place of the shared files.
	File string
}

// String shows no secret.
func (a AWS) String() string {
	return fmt.Sprintf("%q %q %q %q %x", a.Region, a.Profile, a.File, a.AccessKeyID, sha256.Sum256([]byte(a.SecretAccessKey+"\n"+a.SessionToken)))
}

// runtimeURL returns the address of Bedrock's runtime in a region.
func runtimeURL(region string) string { return "https://bedrock-runtime." + region + ".amazonaws.com" }

// regionOf returns the region in the name of one of Amazon's hosts, or "":
// bedrock-runtime.us-east-1.amazonaws.com, bedrock-runtime-fips.us-gov-west-1.amazonaws.com, or
// of an interface endpoint vpce-1-2.bedrock-runtime.us-east-1.vpce.amazonaws.com.
func regionOf(host string) string {
	_, rest, ok := strings.Cut(host, "bedrock-runtime")
	if !ok {
		return ""
	}
	rest = strings.TrimPrefix(rest, "-fips")
	region, _, _ := strings.Cut(strings.TrimPrefix(rest, "."), ".")
	return region
}

// signing is the state of a backend with the protocol bedrock.
type signing struct {
	keys   aws.CredentialsProvider
	region string
	signer *v4.Signer
}

// newSigning reads the settings and the shared files. It asks no server: keys of a container or an
// instance are fetched when the first request is signed.
func newSigning(o Options, host string) (*signing, error) {
	s := &signing{region: o.AWS.Region, signer: v4.NewSigner()}
	if s.region == "" {
		s.region = regionOf(host)
	}
	if s.region == "" {
		s.region = "us-east-1"
	}
	if o.AWS.AccessKeyID != "" {
		s.keys = credentials.NewStaticCredentialsProvider(o.AWS.AccessKeyID, o.AWS.SecretAccessKey, o.AWS.SessionToken)
		return s, nil
	}
	options := []func(*config.LoadOptions) error{config.WithRegion(s.region), config.WithSharedConfigProfile(o.AWS.Profile)}
	if o.AWS.File != "" {
		options = append(options, config.WithSharedCredentialsFiles([]string{o.AWS.File}), config.WithSharedConfigFiles(nil))
	}
	c, err := config.LoadDefaultConfig(context.Background(), options...)
	if err != nil {
		return nil, fmt.Errorf("read the AWS keys of backend %s: %w", host, err)
	}
	s.keys = c.Credentials
	return s, nil
}

// unsigned is a request for which there are no keys.
type unsigned struct{ err error }

func (e *unsigned) Error() string { return "there are no AWS keys" }
func (e *unsigned) Unwrap() error { return e.err }

// emptyHash is the SHA-256 of no bytes.
var emptyHash = hex.EncodeToString(sha256.New().Sum(nil))

// sigV4 signs a request (AWS: Signature Version 4). With a Bedrock API key, the key is sent
// instead. The clock is that of the server, as far as an answer has told it.
func sigV4(b *Backend, req *http.Request, body []byte) error {
	if b.signing == nil {
		return bearer(b, req, body)
	}
	keys, err := b.signing.keys.Retrieve(req.Context())
	if err != nil {
		if req.Context().Err() != nil {
			return context.Cause(req.Context())
		}
		return &unsigned{err}
	}
	hash := emptyHash
	if req.GetBody != nil {
		if hash, err = hashOf(req); err != nil {
			return err
		}
	}
	now := time.Now().Add(time.Duration(b.skew.Load()))
	return b.signing.signer.SignHTTP(req.Context(), keys, req, hash, "bedrock", b.signing.region, now)
}

// hashOf is the hash of the request's body as it is sent. Media that come from a bucket are read
// for it once more.
func hashOf(req *http.Request) (string, error) {
	r, err := req.GetBody()
	if err != nil {
		return "", err
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// skewNames are the names of errors that a wrong clock causes (AWS: common errors).
var skewNames = []string{"InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired", "RequestTimeTooSkewed", "AuthFailure", "InvalidSignature"}

// leastSkew is the smallest difference of the clocks that explains a refusal. AWS allows five
// minutes.
const leastSkew = 4 * time.Minute

// retimed reports whether a request was refused because this machine's clock is wrong, and sets
// the difference, so that the same request is accepted when it is signed again.
func retimed(b *Backend, resp *http.Response, said said) bool {
	if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusBadRequest || !said.names(skewNames...) {
		return false
	}
	there, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return false
	}
	skew := time.Until(there)
	if (skew - time.Duration(b.skew.Load())).Abs() < leastSkew {
		return false
	}
	b.skew.Store(int64(skew))
	return true
}

// withMetrics adds the token counts of the headers to an answer of InvokeModel, in a member that
// package dialect takes out again.
func withMetrics(req *http.Request, resp *http.Response, body []byte) []byte {
	if !strings.HasSuffix(req.URL.Path, "/invoke") {
		return body
	}
	in, err := strconv.ParseUint(resp.Header.Get("X-Amzn-Bedrock-Input-Token-Count"), 10, 63)
	if err != nil {
		return body
	}
	out, _ := strconv.ParseUint(resp.Header.Get("X-Amzn-Bedrock-Output-Token-Count"), 10, 63)
	body = bytes.TrimRight(body, " \t\r\n")
	if len(body) < len(`{"a":1}`) || body[len(body)-1] != '}' {
		return body
	}
	return fmt.Appendf(body[:len(body)-1], `,"%s":{"inputTokenCount":%d,"outputTokenCount":%d}}`, dialect.MetricsMember, in, out)
}

// errorType returns the name of an AWS error, from its header or its body:
// "ThrottlingException:http://…", "com.amazon.coral#ThrottlingException".
func errorType(h http.Header, inBody string) string {
	name, _, _ := strings.Cut(h.Get("X-Amzn-Errortype"), ":")
	name = cmp.Or(name, inBody)
	return name[strings.LastIndexByte(name, '#')+1:]
}

// noKeys is the failure of a request that could not be signed.
func (b *Backend) noKeys() *batholith.Failure {
	return failure(batholith.FailureMisconfigured, "give the backend access_key_id and secret_access_key_env, or a profile, or give this process the keys of the AWS default chain",
		"there are no AWS keys for %s", b.host)
}
