package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/object"
)

// places opens the buckets of jobs with the rights of their roles.
type places struct {
	roles map[string]*object.Client // by ARN
}

// newPlaces makes a client for every role: base is how the S3 is reached by the process itself, which is also what the role
// "batholith" of the account may do.
func newPlaces(c *config.Config, base object.Config) (*places, error) {
	if base.HTTPClient == nil {
		base.HTTPClient = object.NewHTTPClient()
	}
	own, err := object.New(base)
	if err != nil {
		return nil, err
	}
	p := &places{roles: map[string]*object.Client{c.DefaultRole(): own}}
	for _, r := range c.Roles {
		as := base
		if r.AccessKeyID != "" {
			as.AccessKeyID, as.SecretAccessKey, as.SessionToken, as.Credentials = r.AccessKeyID, r.SecretAccessKey, "", nil
		}
		client, err := object.New(as)
		if err != nil {
			return nil, fmt.Errorf("role %s: %w", r.ARN, err)
		}
		p.roles[r.ARN] = client
	}
	return p, nil
}

// Known tells whether a job may name the role.
func (p *places) Known(arn string) bool { return p.roles[arn] != nil }

// open opens a job's buckets as its role.
func (p *places) open(_ context.Context, j batholith.Job) (blob.Place, error) {
	client := p.roles[j.RoleARN]
	if client == nil {
		return blob.Place{}, fmt.Errorf("role %s is not configured here: %w", j.RoleARN, batholith.ErrAccessDenied)
	}
	in, inKey, err := object.ParseURI(j.Input.URI)
	if err != nil {
		return blob.Place{}, err
	}
	out, outKey, err := object.ParseURI(j.Output.URI)
	if err != nil {
		return blob.Place{}, err
	}
	return blob.Place{
		Input:    client.Bucket(in, object.Options{Owner: j.Input.Owner}),
		Output:   client.Bucket(out, object.Options{Owner: j.Output.Owner, KMSKeyID: j.KMSKeyID}),
		InputKey: inKey,
		Prefix:   below(outKey) + j.ID + "/",
	}, nil
}

// below is a key as the beginning of keys under it.
func below(key string) string {
	if key == "" || strings.HasSuffix(key, "/") {
		return key
	}
	return key + "/"
}
