package engine

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object"
)

// Role is a role with the keys that its jobs reach the S3 with. Without keys they use those of the process. An ARN with wildcards stands for
// every role that it matches (batholith.MatchRole).
type Role struct {
	ARN                          string
	AccessKeyID, SecretAccessKey string
	// Assume is the role that is assumed at a token service, in a session for each job; nil: the keys above are used. Without ARN it is the
	// job's role. Places sets the name of the session and its source.
	Assume *object.Role
}

// Places opens the buckets of jobs with the rights of their roles. It is safe for concurrent use.
type Places struct {
	rights atomic.Pointer[rights]
	routes routes // of jobs with a vpcConfig

	// Near makes a bucket that is reached within this process of one that is reached over HTTP by the access key; nil: there is no such way.
	// It is set before the first job is opened. With it, the S3 is inside the process, and no network is asked about it.
	Near func(accessKeyID, bucket, owner, kmsKey string, far blob.Bucket) blob.Bucket

	// Watch returns a bucket that does what b does, and tells how long its calls take. nil: nobody wants to know. It is set before the first
	// job is opened.
	Watch func(b blob.Bucket) blob.Bucket

	// Networks are what the vpcConfig of a job may name. They are set before the first job is opened.
	Networks Networks
}

// rights are what the settings say of roles. They are replaced as a whole.
type rights struct {
	entries  []string          // ARNs of roles; some may hold wildcards
	roles    map[string]access // by entry
	sessions *sessions         // of roles that are assumed
	media    []object.Folder   // from which bodies may name objects, beside the folder of the job's input
}

// access is how the S3 is reached with a role's keys.
type access struct {
	client   *object.Client // nil for a role that is assumed
	key      string         // access key id
	standing *object.Standing
	base     object.Config // with which the role is assumed
	assume   *object.Role
	said     string // equal for equal rights; holds no secret
}

// NewPlaces makes a client for every role. base is how the process itself reaches the S3; the role own has the same rights. media are folders
// from which bodies may name objects, beside the folder of the job's input.
func NewPlaces(base object.Config, own string, roles []Role, media ...object.Folder) (*Places, error) {
	var err error
	if base.HTTPClient, err = base.Client(); err != nil {
		return nil, err
	}
	if base, err = base.WithKeys(); err != nil {
		return nil, err
	}
	to := &rights{roles: map[string]access{}, sessions: &sessions{}, media: media}
	for _, r := range append([]Role{{ARN: own}}, roles...) {
		as := access{key: base.AccessKeyID, base: base, assume: r.Assume, standing: &object.Standing{}}
		if r.AccessKeyID != "" {
			as.key = r.AccessKeyID
			as.base.AccessKeyID, as.base.SecretAccessKey, as.base.SessionToken, as.base.Credentials = r.AccessKeyID, r.SecretAccessKey, "", nil
		}
		as.base.Standing = as.standing
		if r.Assume == nil {
			if as.client, err = object.New(as.base); err != nil {
				return nil, fmt.Errorf("role %s: %w", r.ARN, err)
			}
		}
		secret := sha256.Sum256(fmt.Appendf(nil, "%q %q %+v", as.key, r.SecretAccessKey, r.Assume))
		as.said = fmt.Sprintf("%x %v", secret, media)
		to.entries = append(to.entries, r.ARN)
		to.roles[r.ARN] = as
	}
	p := &Places{}
	p.rights.Store(to)
	return p, nil
}

// Replace takes the roles and media of other from now on. Buckets that were opened before keep theirs; see Access. A role whose rights are the
// same keeps what is known of it.
func (p *Places) Replace(other *Places) {
	now, to := p.rights.Load(), *other.rights.Load()
	to.roles = maps.Clone(to.roles)
	for entry, as := range to.roles {
		if was, ok := now.roles[entry]; ok && was.said == as.said {
			to.roles[entry] = was
		}
	}
	p.rights.Store(&to)
}

// Access is equal for a job as long as its role has the same rights. It is Options.Access.
func (p *Places) Access(j batholith.Job) string {
	as, ok := p.access(j.RoleARN)
	if !ok {
		return ""
	}
	return as.said
}

// Media are the folders from which bodies may name objects.
func (p *Places) Media() []object.Folder { return p.rights.Load().media }

// access is how a role reaches the S3; ok is false for a role that is not known.
func (p *Places) access(arn string) (as access, ok bool) {
	now := p.rights.Load()
	entry, _ := batholith.RoleOf(now.entries, arn)
	as, ok = now.roles[entry]
	return as, ok
}

// Known tells whether a job may name the role. No role has a name with a wildcard.
func (p *Places) Known(arn string) bool {
	_, ok := p.access(arn)
	return ok && !strings.Contains(arn, "*")
}

// Client reaches the S3 with the rights of a role, or of an entry of the settings. It is nil for one that is not known, and for an entry with
// a wildcard whose roles are assumed under their own names.
func (p *Places) Client(arn string) *object.Client {
	as, ok := p.access(arn)
	if !ok || as.assume == nil {
		return as.client
	}
	if as.assume.ARN == "" && strings.Contains(arn, "*") {
		return nil
	}
	client, err := as.session(batholith.Job{Request: batholith.Request{RoleARN: arn}})
	if err != nil {
		return nil
	}
	return client
}

// Open opens a job's buckets as its role. A role that is not known is batholith.ErrAccessDenied.
func (p *Places) Open(_ context.Context, j batholith.Job) (blob.Place, error) {
	as, ok := p.access(j.RoleARN)
	if !ok {
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
	through, err := p.Networks.of(j)
	if err != nil {
		return blob.Place{}, fmt.Errorf("%w: %w", err, batholith.ErrAccessDenied)
	}
	if through != nil && p.Near == nil {
		if as, err = p.routes.over(as, through); err != nil {
			return blob.Place{}, err
		}
	}
	if as.assume != nil {
		if as.client, err = p.rights.Load().sessions.of(j, as.session); err != nil {
			return blob.Place{}, fmt.Errorf("role %s: %w", j.RoleARN, err)
		}
	}
	folders := append([]object.Folder{object.FolderOf(in, inKey)}, p.Media()...)
	return blob.Place{
		Media: func(uri, owner string) (blob.Bucket, string, string) {
			bucket, key, why := object.Media(uri, folders)
			if why != "" {
				return nil, "", why
			}
			if owner == "" && bucket == in {
				owner = j.Input.Owner
			}
			return p.bucket(as, bucket, object.Options{Owner: owner}), key, ""
		},
		Input:    p.bucket(as, in, object.Options{Owner: j.Input.Owner}),
		Output:   p.bucket(as, out, object.Options{Owner: j.Output.Owner, KMSKeyID: j.KMSKeyID}),
		InputKey: inKey,
		Prefix:   object.Below(outKey) + j.ID + "/",
		Renew:    as.client.Renew,
		Allowed:  as.standing.Allowed,
	}, nil
}

// Bucket opens a bucket with the rights of a role, without a job. ok is false for a role that is not known.
func (p *Places) Bucket(arn, name string) (b blob.Bucket, ok bool) {
	as, ok := p.access(arn)
	if !ok {
		return nil, false
	}
	if as.client = p.Client(arn); as.client == nil {
		return nil, false
	}
	return p.bucket(as, name, object.Options{}), true
}

func (p *Places) bucket(as access, name string, o object.Options) blob.Bucket {
	var b blob.Bucket = as.client.Bucket(name, o)
	if p.Near != nil {
		b = p.Near(as.key, name, o.Owner, o.KMSKeyID, b)
	}
	if p.Watch != nil {
		b = p.Watch(b)
	}
	return b
}
