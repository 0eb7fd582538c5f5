package object

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Role is a role at a token service, to be assumed.
type Role struct {
	ARN         string
	ExternalID  string // "" = none
	SessionName string // shows in the audit log of whoever owns the role
	Endpoint    string // of the token service; "" is Amazon's own for the region
}

// Assume is c as the role: the keys in c ask the token service for the role's temporary ones, which are renewed as they run out.
// Nothing is sent before the first request needs them; that the role may not be assumed shows there, as batholith.ErrAccessDenied.
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
