package object

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Role is an IAM role that a token service (STS) can issue keys for.
type Role struct {
	ARN         string
	ExternalID  string // "": none
	SessionName string // appears in the audit log of the role's owner
	Endpoint    string // of the token service; "": Amazon's endpoint for the region
}

// Assume returns c with the keys of role r. The keys in c are used to request the role's
// temporary keys from the token service, which are renewed before they expire. Assume sends no
// request. If the role may not be assumed, the first request that needs its keys returns
// batholith.ErrAccessDenied.
func (c Config) Assume(r Role) (Config, error) {
	base, err := c.keys()
	if err != nil {
		return Config{}, err
	}
	if c.HTTPClient, err = c.Client(); err != nil {
		return Config{}, err
	}
	o := sts.Options{Region: c.Region, Credentials: base, HTTPClient: c.HTTPClient, Retryer: base.retryer()}
	if r.Endpoint != "" {
		o.BaseEndpoint = aws.String(r.Endpoint)
	}
	provider := stscreds.NewAssumeRoleProvider(sts.New(o), r.ARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = r.SessionName
		if r.ExternalID != "" {
			o.ExternalID = aws.String(r.ExternalID)
		}
	})
	c.AccessKeyID, c.SecretAccessKey, c.SessionToken = "", "", ""
	c.Credentials = aws.NewCredentialsCache(provider)
	return c, nil
}
