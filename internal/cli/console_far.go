package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/audit"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/console"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/sigv4"
)

// Callers of the API have no keys for an external S3. The console reads there with the role of a job, and stores the file of a new job with the
// role that the caller names (decision 50). Both roles are ones that jobs use anyway, and what is reached is narrower than what they reach:
//
//	read    the output of one job, below its own folder     the caller may get the job, and s3:ListBucket or s3:GetObject on the bucket
//	write   one object that does not exist yet              the caller may pass the role, and s3:PutObject and s3:GetObject on the bucket

// farTime bounds a small request; an upload has 1 s more for each 512 KiB.
const farTime = 30 * time.Second

// consoleFar reaches an external S3 for the console.
type consoleFar struct{ s *service }

// far is one visitor's use of a role.
type far struct {
	s    *service
	who  sigv4.Identity
	from *http.Request // the browser's
	role string
}

// Output implements console.Far.
func (c consoleFar) Output(ctx context.Context, who sigv4.Identity, r *http.Request, id string) (console.Output, error) {
	j, err := c.s.store.Job(ctx, who.Account, id)
	if err != nil {
		return nil, err
	}
	place, err := c.s.places.Open(ctx, j)
	if err != nil {
		return nil, err
	}
	return farOutput{far{c.s, who, r, j.RoleARN}, place}, nil
}

// Roles implements console.Far.
func (c consoleFar) Roles(ctx context.Context, who sigv4.Identity) (all []string) {
	settings := c.s.settings()
	arns := []string{settings.DefaultRole()}
	for _, r := range settings.Roles {
		arns = append(arns, r.ARN)
	}
	for _, arn := range arns {
		if !slices.Contains(all, arn) && c.s.places.Known(arn) && (far{s: c.s, who: who, role: arn}).mayPass(ctx) == nil {
			all = append(all, arn)
		}
	}
	return all
}

// Put implements console.Far.
func (c consoleFar) Put(ctx context.Context, who sigv4.Identity, r *http.Request, role, bucket, key string, from io.ReadSeeker, bytes int64) error {
	f := far{c.s, who, r, role}
	if _, _, why := object.Named("s3://" + bucket + "/" + key); why != "" {
		return bedrock.Validation("%s", why)
	}
	if err := f.mayPass(ctx); err != nil {
		return err
	}
	client := c.s.places.Client(role)
	if client == nil || !c.s.places.Known(role) {
		return bedrock.AccessDenied("The role %s is not configured.", role)
	}
	err := f.do(ctx, "s3:GetObject", bucket, key, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, farTime)
		defer cancel()
		_, err := client.Bucket(bucket, object.Options{}).Head(ctx, key)
		switch {
		case err == nil:
			return console.ErrExists
		case errors.Is(err, batholith.ErrNoObject):
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return f.do(ctx, "s3:PutObject", bucket, key, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, farTime+time.Duration(bytes>>19)*time.Second)
		defer cancel()
		_, err := client.API().PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: from, ContentLength: &bytes})
		if err != nil {
			err = object.Explain(err, "write", bucket, key)
		}
		return err
	})
}

// mayPass returns a refusal unless the visitor may give the role to a job.
func (f far) mayPass(ctx context.Context) error {
	arn, err := batholith.ParseARN(f.role)
	if err != nil {
		return bedrock.Validation("%q is not the ARN of a role.", f.role)
	}
	return f.permitted(ctx, authz.Request{Action: "iam:PassRole", Resource: authz.Resource{Type: authz.TypeRole, ID: f.role, Account: arn.Account}}, f.role)
}

// permitted returns a refusal unless the policies permit a request of the visitor. Without policies, principals of the account may do everything.
// The session of a role has the rights of that role, as at the S3 itself; for what another role reaches it needs a policy.
func (f far) permitted(ctx context.Context, r authz.Request, resource string) error {
	r.Who = authz.Identity{Account: f.who.Account, Principal: f.who.Principal, Groups: f.who.Groups}
	d := onTrail{narrowing{f.s.policy, f.s.settings}}.Decide(ctx, r)
	caller := s3Caller(f.s.settings(), bedrock.Caller{Account: f.who.Account, Principal: f.who.Principal, Groups: f.who.Groups})
	own := caller.Role && slices.Contains(f.who.Groups, f.role)
	if own && !d.Explicit || d.Allowed && (!caller.Role || len(d.Policies) > 0) {
		return nil
	}
	return bedrock.AccessDenied("%s", d.Refusal(r, resource))
}

// do carries out an action on a key or prefix of a bucket, if the visitor may. It leaves a line in the audit log, as a request from outside does.
func (f far) do(ctx context.Context, action, bucket, key string, act func(context.Context) error) error {
	e := audit.Entry{Time: time.Now().UTC(), Service: "s3", Action: action, Resource: "/" + bucket + "/" + key, Agent: f.from.UserAgent(), Key: "console"}
	e.Source, _, _ = net.SplitHostPort(f.from.RemoteAddr)
	if f.s.audit.Refuses(e) {
		return errNoAudit
	}
	trail := audit.NewTrail(e)
	trail.Sender(f.who.Account, f.who.Principal)
	ctx = audit.With(ctx, trail)
	about := map[string]string{"key": key}
	if action == "s3:ListBucket" {
		about = map[string]string{"prefix": key}
	}
	err := f.permitted(ctx, authz.Request{Action: action, Resource: authz.Resource{Type: authz.TypeBucket, ID: bucket, Account: f.who.Account}, Context: about}, "arn:aws:s3:::"+bucket+"/"+key)
	if err == nil {
		err = act(ctx)
	}
	status, code := statusOf(err)
	f.s.audit.Write(trail.Done("", status, code))
	return err
}

// statusOf returns what the audit log says of the end of an action.
func statusOf(err error) (status int, code string) {
	var refused *bedrock.Error
	switch {
	case err == nil:
		return http.StatusOK, ""
	case errors.As(err, &refused):
		return http.StatusForbidden, refused.Code
	case errors.Is(err, batholith.ErrAccessDenied):
		return http.StatusForbidden, "AccessDenied"
	case errors.Is(err, batholith.ErrNoObject):
		return http.StatusNotFound, "NoSuchKey"
	case errors.Is(err, batholith.ErrNoBucket):
		return http.StatusNotFound, "NoSuchBucket"
	case errors.Is(err, console.ErrExists):
		return http.StatusConflict, "PreconditionFailed"
	}
	return http.StatusBadGateway, "S3Failed"
}

// farOutput is the output of one job.
type farOutput struct {
	far
	place blob.Place
}

// List implements console.Output.
func (o farOutput) List(ctx context.Context) iter.Seq2[batholith.Object, error] {
	return func(yield func(batholith.Object, error) bool) {
		err := o.do(ctx, "s3:ListBucket", o.place.Output.Name(), o.place.Prefix, func(ctx context.Context) error {
			for one, err := range o.place.Output.List(ctx, o.place.Prefix) {
				name, below := strings.CutPrefix(one.Key, o.place.Prefix)
				switch {
				case err != nil:
					return err
				case !below: // a server that answers more than it was asked for
					continue
				}
				if one.Key = name; !yield(one, nil) {
					return nil
				}
			}
			return nil
		})
		if err != nil {
			yield(batholith.Object{}, err)
		}
	}
}

// readTries is how often a read begins anew because the output has grown meanwhile.
const readTries = 3

// Read implements console.Output. It reads one version of the object.
func (o farOutput) Read(ctx context.Context, name string, offset int64) (body io.ReadCloser, bytes int64, err error) {
	key := o.place.Prefix + name
	if _, _, why := object.Named("s3://" + o.place.Output.Name() + "/" + key); why != "" || name == batholith.InternalFolder || strings.HasPrefix(name, batholith.InternalFolder+"/") {
		return nil, 0, fmt.Errorf("read %s: %w", cmp.Or(why, key), batholith.ErrNoObject)
	}
	err = o.do(ctx, "s3:GetObject", o.place.Output.Name(), key, func(ctx context.Context) error {
		for try := 1; ; try++ {
			info, err := o.place.Output.Head(ctx, key)
			if err != nil {
				return err
			}
			bytes = max(0, info.Bytes-offset)
			body, err = o.place.Output.Read(ctx, key, info.ETag, offset, bytes)
			if !errors.Is(err, batholith.ErrObjectChanged) || try == readTries {
				return err
			}
		}
	})
	return body, bytes, err
}
