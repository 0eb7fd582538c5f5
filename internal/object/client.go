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

// Config says where an S3 is and who asks.
type Config struct {
	Endpoint  string // base URL; "" is Amazon's own for the region
	Region    string
	PathStyle bool // bucket in the path rather than in the host name
	// UploadsByPrefix says that the server lists uploads by any prefix, as Amazon's does. Of others that is found out by further requests.
	UploadsByPrefix bool

	AccessKeyID, SecretAccessKey, SessionToken string
	// Credentials replaces the static keys. With neither, the AWS default credential chain is asked.
	Credentials aws.CredentialsProvider
	// Profile is the AWS profile whose keys the default chain takes, before those of the environment; "" = that of AWS_PROFILE.
	Profile string
	// CABundle is a PEM file with the authorities that are believed; "" = those of AWS_CA_BUNDLE, the profile or the system ([Authorities]).
	CABundle string

	// Unsigned leaves the bytes of objects out of the signature, for a way on which nobody can change them. Without it they are hashed twice,
	// here and by the server.
	Unsigned bool

	// HTTPClient carries the requests; nil makes one as [NewHTTPClient] does. Clients for several roles should share one,
	// so that they share its idle connections.
	HTTPClient *http.Client
}

// Client speaks to one S3 as one principal. It is safe for concurrent use and holds nothing but connections, and the marks of uploads.
type Client struct {
	api      *s3.Client
	region   string
	byPrefix bool
	marks    marks
}

// Attempts of one request and the longest pause between two. Callers repeat whole verbs; this only smooths over a torn
// connection or a moment of 503.
const (
	maxAttempts = 3
	maxBackoff  = 2 * time.Second
)

// New makes a client. It sends nothing, except that the default credential chain may be read from files.
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
		HTTPClient:   answers{client},
		Retryer:      keys.retryer(),
	}
	if c.Unsigned {
		o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	}
	if c.Endpoint != "" {
		o.BaseEndpoint = aws.String(c.Endpoint)
	}
	// Many an S3 refuses the trailing checksums that are the rule on Amazon's.
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	if c.amazon() {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenSupported
	}
	return &Client{api: s3.New(o), region: c.Region, byPrefix: c.UploadsByPrefix || c.amazon()}, nil
}

// API is the SDK's client, for requests that this package does not have.
func (c *Client) API() *s3.Client { return c.api }

// amazon tells whether the endpoint is one of Amazon's.
func (c Config) amazon() bool {
	return c.Endpoint == "" || strings.Contains(c.Endpoint, ".amazonaws.com")
}

// keys are those of the configuration, or of the default chain.
func (c Config) keys() (*keys, error) {
	switch {
	case c.Credentials != nil:
		return &keys{provider: c.Credentials}, nil
	case c.AccessKeyID != "":
		return &keys{provider: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)}, nil
	}
	return defaultKeys(c.Region, c.Profile)
}

// NewHTTPClient makes an HTTP client fit for many S3 requests at once: it keeps enough idle connections, leaves bodies
// compressed as they are stored, and follows no redirect, since a signature holds for one host only. Servers must have certificates
// of roots; nil is the system's.
func NewHTTPClient(roots *x509.CertPool) *http.Client {
	c := newHTTPClient(http.ProxyFromEnvironment, (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext)
	if roots != nil {
		c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return c
}

// NewHTTPClientOver is NewHTTPClient whose connections all are what dial returns, whatever host a request names.
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

// CreateBucket makes a bucket. It is no error when the bucket is the caller's already.
func (c *Client) CreateBucket(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, limit(0))
	defer cancel()
	in := &s3.CreateBucketInput{Bucket: &name}
	if c.region != "us-east-1" { // S3: us-east-1 must not be named
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(c.region)}
	}
	_, err := c.api.CreateBucket(ctx, in)
	if code(err) == "BucketAlreadyOwnedByYou" {
		return nil
	}
	return explain(err, "create bucket", name, "")
}

// Exists tells whether a bucket is there and may be used.
func (c *Client) Exists(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, limit(0))
	defer cancel()
	_, err := c.api.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &name})
	if status(err) == http.StatusNotFound {
		return false, nil
	}
	return err == nil, explain(err, "find bucket", name, "")
}

// limit is how long a verb that carries n bytes may take, its few attempts included: a minute, and a second for each 512 KiB.
func limit(n int64) time.Duration {
	return time.Minute + time.Duration(n>>19)*time.Second
}
