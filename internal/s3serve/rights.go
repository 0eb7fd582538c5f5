package s3serve

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3err"

	"github.com/batholith/batholith/internal/authz"
)

// Authorizer decides what a caller may do in its own account. Its answer can only narrow: a bucket of another
// account is denied before it is asked.
type Authorizer interface {
	// Decide answers one request. Its action is AWS's (s3:GetObject) and its resource a bucket, with the object's
	// key and the prefix of a list in the context, or the account for s3:ListAllMyBuckets.
	Decide(ctx context.Context, r authz.Request) authz.Decision
}

// actKey is the request value that holds the act that was allowed.
const actKey = "batholith-act"

// allowed decides on the act of a request over HTTP, once, right after its signature was verified.
func (s *store) allowed(ctx context.Context) error {
	request, ok := ctx.(*fasthttp.RequestCtx)
	if !ok {
		return nil
	}
	address := addressOf(ctx)
	a, ok := actOf(request, address)
	if !ok {
		return s3err.GetAPIError(s3err.ErrMethodNotAllowed)
	}
	if err := refuseKind(address, a); err != nil {
		return err
	}
	if err := s.ask(ctx, a); err != nil {
		return err
	}
	request.SetUserValue(actKey, a.operation)
	return nil
}

// along are the calls that the gateway makes within other operations, to look at a bucket or object first.
var along = map[string]bool{"GetBucketAcl": true, "HeadBucket": true, "GetBucketPolicy": true, "GetBucketOwnershipControls": true, "GetBucketVersioning": true,
	"GetObjectLockConfiguration": true, "GetObjectRetention": true, "GetObjectLegalHold": true}

// same are operations that the gateway serves by the call of another.
var same = map[string]string{"PostObject": "PutObject", "GetObjectAcl": "HeadObject", "PutObjectAcl": "HeadObject", "CopyObject": "HeadObject"}

// asked reports whether a call of the gateway belongs to the act that was allowed. If not, the gateway and this
// package disagree on what the request is.
func asked(ctx context.Context, verb string) bool {
	if _, ok := ctx.(*fasthttp.RequestCtx); !ok || along[verb] {
		return true // near asks itself
	}
	operation, _ := ctx.Value(actKey).(string)
	return operation == verb || operation != "" && same[operation] == verb
}

// ask returns AccessDenied unless the signer may do something: by the restrictions of its key, and by the
// authorizer. The rights of a role are those of the settings, so for a role only a policy that forbids counts.
func (s *store) ask(ctx context.Context, a act) error {
	who, ok := s.acting(ctx)
	if !ok || !who.mayDo(a) {
		return s.denied(ctx)
	}
	if s.authorizer == nil {
		return nil
	}
	resource, arn := authz.Resource{Type: authz.TypeBucket, ID: a.bucket, Account: who.Identity.Account}, "arn:aws:s3:::"+a.bucket
	switch {
	case a.operation == "ListBuckets":
		resource, arn = authz.Resource{Type: authz.TypeAccount, ID: who.Identity.Account, Account: who.Identity.Account}, "arn:aws:s3:::*"
	case a.key != "":
		arn += "/" + a.key
	}
	for _, action := range a.needs() {
		r := authz.Request{Who: authz.Identity{Account: who.Identity.Account, Principal: who.Identity.Principal, Groups: who.Identity.Groups},
			Action: action, Resource: resource, Context: map[string]string{"key": a.key, "prefix": a.prefix}}
		if d := s.authorizer.Decide(ctx, r); !d.Allowed && (d.Explicit || !who.Role) {
			return refusal(http.StatusForbidden, "AccessDenied", d.Refusal(r, `"`+arn+`"`))
		}
	}
	return nil
}

// missing turns NoSuchKey into AccessDenied for a signer that may not list the bucket (S3: GetObject,
// GetObjectAttributes). For a copy, verb is GetObject, and the object is its source.
func (s *store) missing(ctx context.Context, verb, bucket, key string, err error) error {
	if verb != "GetObject" && verb != "HeadObject" && verb != "GetObjectAttributes" || !errors.Is(err, s3err.GetAPIError(s3err.ErrNoSuchKey)) {
		return err
	}
	if denied := s.ask(ctx, act{operation: "ListObjectsV2", bucket: bucket, prefix: key}); denied != nil {
		return s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	return err
}

// mayDo reports whether the key's restriction to buckets and prefixes permits an act. Without a prefix, an entry
// permits everything in its bucket. With one, it permits to look for the bucket, objects below the prefix, and
// lists of them.
func (a Account) mayDo(what act) bool {
	if len(a.Buckets) == 0 || what.operation == "ListBuckets" {
		return true
	}
	for _, entry := range a.Buckets {
		bucket, prefix, _ := strings.Cut(entry, "/")
		switch {
		case bucket != what.bucket:
		case prefix == "":
			return true
		case what.operation == "HeadBucket" || what.operation == "GetBucketLocation" || what.operation == "DeleteObjects": // which asks for each key
			return true
		case what.key != "" && strings.HasPrefix(what.key, prefix), what.lists() && strings.HasPrefix(what.prefix, prefix):
			return true
		}
	}
	return false
}
