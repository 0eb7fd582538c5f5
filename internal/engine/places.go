package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object"
)

// Role is a role with the keys that its jobs reach the S3 with. Without keys they use those of the process. An ARN with wildcards stands for
// every role that it matches (batholith.MatchRole).
type Role struct {
	ARN                          string
	AccessKeyID, SecretAccessKey string
}

// Places opens the buckets of jobs with the rights of their roles. It is safe for concurrent use.
type Places struct {
	entries []string          // ARNs of roles; some may hold wildcards
	roles   map[string]access // by entry

	// Near makes a bucket that is reached within this process of one that is reached over HTTP by the access key; nil: there is no such way.
	// It is set before the first job is opened.
	Near func(accessKeyID, bucket, owner, kmsKey string, far blob.Bucket) blob.Bucket
}

// access is a client of the S3 with a role's keys.
type access struct {
	client *object.Client
	key    string // access key id
}

// NewPlaces makes a client for every role. base is how the process itself reaches the S3; the role own has the same rights.
func NewPlaces(base object.Config, own string, roles []Role) (*Places, error) {
	var err error
	if base.HTTPClient, err = base.Client(); err != nil {
		return nil, err
	}
	client, err := object.New(base)
	if err != nil {
		return nil, err
	}
	p := &Places{entries: []string{own}, roles: map[string]access{own: {client, base.AccessKeyID}}}
	for _, r := range roles {
		as := base
		if r.AccessKeyID != "" {
			as.AccessKeyID, as.SecretAccessKey, as.SessionToken, as.Credentials = r.AccessKeyID, r.SecretAccessKey, "", nil
		}
		client, err := object.New(as)
		if err != nil {
			return nil, fmt.Errorf("role %s: %w", r.ARN, err)
		}
		p.entries = append(p.entries, r.ARN)
		p.roles[r.ARN] = access{client, as.AccessKeyID}
	}
	return p, nil
}

// access is how a role reaches the S3; without a client for a role that is not known.
func (p *Places) access(arn string) access {
	entry, _ := batholith.RoleOf(p.entries, arn)
	return p.roles[entry]
}

// Known tells whether a job may name the role. No role has a name with a wildcard.
func (p *Places) Known(arn string) bool {
	return !strings.Contains(arn, "*") && p.access(arn).client != nil
}

// Client reaches the S3 with the rights of a role, or of an entry of the settings; nil for one that is not known.
func (p *Places) Client(arn string) *object.Client { return p.access(arn).client }

// Open opens a job's buckets as its role. A role that is not known is batholith.ErrAccessDenied.
func (p *Places) Open(_ context.Context, j batholith.Job) (blob.Place, error) {
	as := p.access(j.RoleARN)
	if as.client == nil {
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
		Input:    p.bucket(as, in, object.Options{Owner: j.Input.Owner}),
		Output:   p.bucket(as, out, object.Options{Owner: j.Output.Owner, KMSKeyID: j.KMSKeyID}),
		InputKey: inKey,
		Prefix:   object.Below(outKey) + j.ID + "/",
	}, nil
}

func (p *Places) bucket(as access, name string, o object.Options) blob.Bucket {
	far := as.client.Bucket(name, o)
	if p.Near == nil {
		return far
	}
	return p.Near(as.key, name, o.Owner, o.KMSKeyID, far)
}
