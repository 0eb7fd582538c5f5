package object

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Config tells where an S3 is and which keys to use.
type Config struct {
	Endpoint  string // base URL; "": Amazon's endpoint for the region
	Region    string
	PathStyle bool // bucket in the path (http://host/bucket/key) instead of the host name
	// UploadsByPrefix means that the server lists uploads by any prefix, as Amazon does.
	// Otherwise extra requests find that out.
	UploadsByPrefix bool

	AccessKeyID, SecretAccessKey, SessionToken string
	// Credentials replaces the static keys. If neither is set, the AWS default credential chain
	// is used.
	Credentials aws.CredentialsProvider
	// Profile is the AWS profile whose keys the default chain uses, before those of the
	// environment; "": AWS_PROFILE.
	Profile string
	// CABundle is a PEM file of trusted authorities; "": AWS_CA_BUNDLE, the profile's
	// ca_bundle, or the system's. See [Authorities].
	CABundle string

	// Unsigned leaves the content of objects out of the signature. It saves hashing the content
	// at both ends. Use it only if nobody can change bytes on the way.
	Unsigned bool

	// Standing is told of every answer that shows that the keys may do something; nil: nobody is.
	// Clients of one role share one.
	Standing *Standing

	// HTTPClient sends the requests; nil: a client as from [NewHTTPClient]. Clients of several
	// roles should share one, so that they share idle connections.
	HTTPClient *http.Client
}

// Client sends requests to one S3 with the keys of one principal. It is safe for concurrent
// use.
type Client struct {
	api      *s3.Client
	region   string
	byPrefix bool
	marks    marks
	keys     *keys
}

// Retries of one HTTP request, for a broken connection or a short 503. Callers repeat whole
// method calls.
const (
	maxAttempts = 3
	maxBackoff  = 2 * time.Second
)

// New returns a client. It sends no request, but the default credential chain may read files.
func New(c Config) (*Client, error) {
	if c.Region == "" {
		return nil, fmt.Errorf("an S3 client needs a region")
	}
	keys, err := c.keys()
	if err != nil {
		return nil, err
	}
	client, err := c.Client()
	if err != nil {
		return nil, err
	}
	o := s3.Options{
		Region:       c.Region,
		UsePathStyle: c.PathStyle,
		Credentials:  keys,
		HTTPClient:   answers{client, c.Standing},
		Retryer:      keys.retryer(),
	}
	if c.Unsigned {
		o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	}
	if c.Endpoint != "" {
		o.BaseEndpoint = aws.String(c.Endpoint)
	}
	// Many S3 servers reject the trailing checksums that the SDK sends by default.
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	if c.amazon() {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenSupported
	}
	return &Client{api: s3.New(o), region: c.Region, byPrefix: c.UploadsByPrefix || c.amazon(), keys: keys}, nil
}

// Renew makes the next request get its keys anew, if they come from a token service, a profile or
// another source that may have others by now. It does so at most every 5 s.
func (c *Client) Renew() { c.keys.renew() }

// API returns the SDK's client, for requests that this package does not wrap.
func (c *Client) API() *s3.Client { return c.api }

// amazon reports whether the endpoint is Amazon's.
func (c Config) amazon() bool {
	return c.Endpoint == "" || strings.Contains(c.Endpoint, ".amazonaws.com")
}

// WithKeys returns c with its keys found: those of the default chain are loaded now, and clients
// made from the result share them.
func (c Config) WithKeys() (Config, error) {
	keys, err := c.keys()
	if err != nil {
		return Config{}, err
	}
	c.Credentials = keys
	return c, nil
}

// keys returns the configured keys, or those of the default chain.
func (c Config) keys() (*keys, error) {
	if found, ok := c.Credentials.(*keys); ok {
		return found, nil
	}
	switch {
	case c.Credentials != nil:
		return &keys{provider: c.Credentials}, nil
	case c.AccessKeyID != "":
		return &keys{provider: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)}, nil
	}
	return defaultKeys(c.Region, c.Profile)
}

// NewHTTPClient returns an HTTP client for many parallel S3 requests. It keeps up to 64 idle
// connections per host, does not decompress bodies, and follows no redirects, because a
// signature is valid for one host only. roots are the trusted authorities; nil: the system's.
func NewHTTPClient(roots *x509.CertPool) *http.Client {
	c := newHTTPClient(http.ProxyFromEnvironment, (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext)
	if roots != nil {
		c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return c
}

// NewHTTPClientOver is NewHTTPClient with all connections made by dial, whatever host a request
// names.
func NewHTTPClientOver(dial func(context.Context) (net.Conn, error)) *http.Client {
	return newHTTPClient(nil, func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) })
}

func newHTTPClient(proxy func(*http.Request) (*url.URL, error), dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 proxy,
			DialContext:           dial,
			TLSHandshakeTimeout:   10 * time.Second,
			ExpectContinueTimeout: time.Second,
			IdleConnTimeout:       90 * time.Second,
			MaxIdleConns:          256,
			MaxIdleConnsPerHost:   64,
			DisableCompression:    true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// CreateBucket creates a bucket. It is not an error if the caller owns the bucket already.
func (c *Client) CreateBucket(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, limit(0))
	defer cancel()
	in := &s3.CreateBucketInput{Bucket: &name}
	if c.region != "us-east-1" { // S3: CreateBucket must not name us-east-1
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(c.region)}
	}
	_, err := c.api.CreateBucket(ctx, in)
	if code(err) == "BucketAlreadyOwnedByYou" {
		return nil
	}
	return explain(err, "create bucket", name, "")
}

// Exists reports whether a bucket exists. An error means that it exists but cannot be used, or
// that the answer is unknown.
func (c *Client) Exists(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, limit(0))
	defer cancel()
	_, err := c.api.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &name})
	if status(err) == http.StatusNotFound {
		return false, nil
	}
	return err == nil, explain(err, "find bucket", name, "")
}

// limit returns the time limit of one method call that transfers n bytes, retries included: 60
// s + 1 s per 512 KiB.
func limit(n int64) time.Duration {
	return time.Minute + time.Duration(n>>19)*time.Second
}
