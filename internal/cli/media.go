package cli

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/s3serve"
	"github.com/batholith/batholith/internal/sigv4"
)

// An interactive call has no role. An object that its body names (s3Location) is read with the rights of its sender:
//
//	embedded S3   as if the sender read the object there: it must be in a bucket of the sender's account, and the policies decide
//	external S3   with the keys of this process, which may reach more than the sender: only below the folders of the setting media, for
//	              senders of the account of these keys, and if the policies permit s3:GetObject

// callMedia returns an object that the body of a call names. It implements engine.Options.Media.
func (s *service) callMedia(ctx context.Context, who bedrock.Caller, uri, owner string) (blob.Readable, string, *batholith.RecordError) {
	bucket, key, why := object.Named(uri)
	if why != "" {
		return nil, "", mediaRefusal(http.StatusBadRequest, "%s", why)
	}
	c := s.settings()
	reads := s3Caller(c, who)
	if s.s3 != nil {
		return s.s3.As(reads, bucket, owner), key, nil
	}
	if refused := s.mayReadFar(ctx, reads, uri, bucket, key); refused != nil {
		return nil, "", refused
	}
	return s.places.Client(c.DefaultRole()).Bucket(bucket, object.Options{Owner: owner}), key, nil
}

// mayReadFar returns why a sender may not read an object of an external S3 with the keys of this process, or nil.
func (s *service) mayReadFar(ctx context.Context, reads s3serve.Account, uri, bucket, key string) *batholith.RecordError {
	c, who := s.settings(), reads.Identity
	switch {
	case !object.Within(bucket, key, s.places.Media()):
		return mediaRefusal(http.StatusBadRequest, "%s is in no folder of the setting media, and calls may name objects only in these folders; send the bytes, or ask the operator to add the folder", uri)
	case who.Account != c.Account:
		return mediaRefusal(http.StatusForbidden, "%s is in the S3 of account %s, and you belong to account %s; send the bytes", uri, c.Account, who.Account)
	case s.policy.Unrestricted():
		return nil
	}
	r := authz.Request{Who: authz.Identity{Account: who.Account, Principal: who.Principal, Groups: who.Groups}, Action: "s3:GetObject",
		Resource: authz.Resource{Type: authz.TypeBucket, ID: bucket, Account: c.Account}, Context: map[string]string{"key": key}}
	d := onTrail{s.policy}.Decide(ctx, r)
	if d.Allowed || reads.Role && !d.Explicit {
		return nil
	}
	return mediaRefusal(http.StatusForbidden, "%s", d.Refusal(r, `"arn:aws:s3:::`+bucket+"/"+key+`"`))
}

func mediaRefusal(code int, format string, a ...any) *batholith.RecordError {
	return &batholith.RecordError{Code: code, Message: fmt.Sprintf(format, a...)}
}

// s3Caller returns the sender of a call as the S3 knows it. The session of a role reaches what the role does.
func s3Caller(c *config.Config, who bedrock.Caller) s3serve.Account {
	a := s3serve.Account{Identity: sigv4.Identity{Account: who.Account, Principal: who.Principal, Groups: who.Groups}}
	if !strings.HasPrefix(who.Principal, "arn:aws:sts::"+who.Account+":assumed-role/") {
		return a
	}
	for _, own := range who.Groups { // the group of a session is the ARN of its role
		if r, ok := roleOf(c, own); ok {
			a.Role, a.Buckets = true, r.Buckets
		}
	}
	return a
}
