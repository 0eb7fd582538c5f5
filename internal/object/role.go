package object

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Role is a role that a token service (STS) issues keys for, and the circumstances of one session
// of it.
type Role struct {
	ARN         string
	ExternalID  string // "": none
	SessionName string // appears in the audit log of the role's owner; 2 to 64 of [A-Za-z0-9_=,.@-]

	// Endpoint is the URL of the token service. "": the root of Config.Endpoint, where MinIO and
	// Ceph have theirs, or Amazon's for the region.
	Endpoint string
	// Region that requests to the token service are signed for. "": the one in Amazon's host
	// name, else that of the S3.
	Region string

	// AccessKeyID and SecretAccessKey sign the request. "": the keys of the Config.
	AccessKeyID, SecretAccessKey string

	// SourceAccount and SourceARN say on whose behalf the role is assumed (aws:SourceAccount and
	// aws:SourceArn in a trust policy). "": they are not sent. Amazon takes them from its own
	// services only, and ignores others'.
	SourceAccount, SourceARN string
}

// sessionTime is the duration of a session. Every token service grants an hour unless it is
// configured otherwise, and Amazon no more to a session that assumes another role.
const sessionTime = time.Hour

// Assume returns c with the keys of a session of role r. The session begins with the first
// request that needs its keys, is renewed before it expires, and is shared by all clients made
// from the result. Assume sends no request. If the role may not be assumed, requests return
// batholith.ErrRoleDenied.
func (c Config) Assume(r Role) (Config, error) {
	base := &keys{provider: credentials.NewStaticCredentialsProvider(r.AccessKeyID, r.SecretAccessKey, "")}
	var err error
	if r.AccessKeyID == "" {
		if base, err = c.keys(); err != nil {
			return Config{}, err
		}
	}
	if c.HTTPClient, err = c.Client(); err != nil {
		return Config{}, err
	}
	o := sts.Options{Region: c.Region, Credentials: base, HTTPClient: answers{Client: c.HTTPClient}, Retryer: base.retryer()}
	if r.Endpoint == "" && !c.amazon() {
		r.Endpoint = root(c.Endpoint)
	}
	if r.Endpoint != "" {
		o.BaseEndpoint = aws.String(r.Endpoint)
	}
	o.Region = r.region(c.Region)
	for header, value := range map[string]string{"X-Amz-Source-Account": r.SourceAccount, "X-Amz-Source-Arn": r.SourceARN} {
		if value != "" {
			o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue(header, value))
		}
	}
	c.AccessKeyID, c.SecretAccessKey, c.SessionToken = "", "", ""
	client := sts.New(o)
	c.Credentials = newSession(func(ctx context.Context) (aws.Credentials, error) {
		issued, err := r.assume(ctx, client)
		if err != nil {
			from, _ := base.Retrieve(ctx) // without them there is an error already
			return aws.Credentials{}, &assumeError{r, from.SessionToken != "", err}
		}
		return issued, nil
	})
	return c, nil
}

// assume makes one call of the token service.
func (r Role) assume(ctx context.Context, client *sts.Client) (aws.Credentials, error) {
	in := &sts.AssumeRoleInput{RoleArn: &r.ARN, RoleSessionName: &r.SessionName, DurationSeconds: aws.Int32(int32(sessionTime / time.Second))}
	if r.ExternalID != "" {
		in.ExternalId = &r.ExternalID
	}
	out, err := client.AssumeRole(ctx, in)
	if err != nil {
		return aws.Credentials{}, err
	}
	issued := out.Credentials
	if issued == nil || aws.ToString(issued.AccessKeyId) == "" || aws.ToString(issued.SecretAccessKey) == "" {
		return aws.Credentials{}, errNoSession
	}
	expires := time.Now().Add(sessionTime)
	if issued.Expiration != nil {
		expires = *issued.Expiration
	}
	return aws.Credentials{AccessKeyID: *issued.AccessKeyId, SecretAccessKey: *issued.SecretAccessKey, SessionToken: aws.ToString(issued.SessionToken),
		Source: "AssumeRole", CanExpire: true, Expires: expires}, nil
}

// region returns the region to sign for. Amazon's global endpoint is in us-east-1.
func (r Role) region(usual string) string {
	if r.Region != "" {
		return r.Region
	}
	at, err := url.Parse(r.Endpoint)
	if err != nil || !strings.Contains(at.Hostname(), ".amazonaws.com") {
		return usual
	}
	switch part := strings.Split(at.Hostname(), "."); {
	case at.Hostname() == "sts.amazonaws.com":
		return "us-east-1"
	case len(part) > 3 && strings.HasPrefix(part[0], "sts"): // sts.REGION.amazonaws.com
		return part[1]
	}
	return usual
}

// root returns a URL without its path.
func root(endpoint string) string {
	at, err := url.Parse(endpoint)
	if err != nil {
		return endpoint
	}
	return (&url.URL{Scheme: at.Scheme, Host: at.Host}).String()
}
