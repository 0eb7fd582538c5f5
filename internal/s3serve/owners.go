package s3serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"
)

// A bucket belongs to one account, for its whole life: the account of the key that created it. The gateway
// stores the owner in the bucket's ACL. Keys of other accounts get 403 AccessDenied for every request, and nothing
// opens a bucket to them: an ACL that would do so is refused, and a bucket policy is kept without such an effect.

// permit returns an error unless the signer of a request may use a bucket: it must belong to the signer's
// account, and the key must not be restricted to other buckets. A bucket that does not exist is NoSuchBucket.
func (s *store) permit(ctx context.Context, verb, bucket string) error {
	who, ok := s.acting(ctx)
	if !ok || !who.reaches(bucket) {
		return s.denied(ctx)
	}
	if verb == "CreateBucket" { // which compares the owner itself
		return nil
	}
	owner, err := s.ownerOf(ctx, bucket)
	if err == nil && owner != who.Identity.Account {
		return s.denied(ctx)
	}
	return s.explain(verb, err)
}

// denied returns AccessDenied. Clients look for a bucket's region in the answer (S3: HeadBucket).
func (s *store) denied(ctx context.Context) error {
	if request, ok := ctx.(*fasthttp.RequestCtx); ok {
		request.Response.Header.Set("x-amz-bucket-region", s.region)
	}
	return s3err.GetAPIError(s3err.ErrAccessDenied)
}

// ownerOf returns the account that owns a bucket. A directory that was not made by the server belongs to the
// configured account.
func (s *store) ownerOf(ctx context.Context, bucket string) (string, error) {
	acl, err := s.aclOfBucket(ctx, bucket)
	return acl.Owner, err
}

// aclOfBucket returns a bucket's ACL with its owner.
func (s *store) aclOfBucket(ctx context.Context, bucket string) (auth.ACL, error) {
	path := s.path(bucket)
	text, err := s.posix.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: &path})
	if err != nil {
		return auth.ACL{}, err
	}
	acl, err := auth.ParseACL(text)
	if acl.Owner == "" {
		acl.Owner = s.accounts.owner
	}
	return acl, err
}

// ownedBy tells the posix storage who creates a bucket.
func ownedBy(ctx context.Context, account string) context.Context {
	return context.WithValue(ctx, "bucket-owner", auth.Account{Access: account, Role: auth.RoleAdmin}) //nolint:staticcheck // the gateway's key
}

// aclFor returns an ACL as stored for a bucket of this owner. An ACL that gives rights to others is refused.
func aclFor(owner string, text []byte, gateways string) ([]byte, error) {
	acl, err := auth.ParseACL(text)
	if err != nil {
		return nil, err
	}
	for _, g := range acl.Grantees {
		if g.Type != types.TypeCanonicalUser || g.Access != owner && g.Access != gateways {
			return nil, errOpens()
		}
	}
	acl.Owner = owner
	for i := range acl.Grantees {
		acl.Grantees[i].Access = owner
	}
	return json.Marshal(acl)
}

func errOpens() error {
	return refusal(http.StatusForbidden, "AccessDenied",
		"Access Denied: the ACL grants rights to another account. Only the account of a bucket can use it in the embedded S3; leave the ACL out.")
}

// ownersFile marks a directory whose buckets have the owner that created them. Before, the owner of every bucket
// was the account that was configured at that time, even if a key of another account created it.
const ownersFile = "owners"

// adopt gives all buckets of a directory from before to the configured account. It is safe to repeat after a
// crash, because the mark is made last.
func (s *store) adopt() error {
	mark := filepath.Join(filepath.Dir(s.buckets), ownersFile)
	if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	all, err := os.ReadDir(s.buckets)
	if err != nil {
		return err
	}
	for _, e := range all {
		if !e.IsDir() {
			continue
		}
		acl, err := s.aclOfBucket(context.Background(), e.Name())
		if err == nil && acl.Owner == s.accounts.owner {
			continue
		}
		var text []byte
		if err == nil {
			text, err = json.Marshal(auth.ACL{Owner: s.accounts.owner})
		}
		if err == nil {
			err = s.meta.StoreAttribute(nil, s.path(e.Name()), "", aclAttribute, text)
		}
		if err != nil {
			return fmt.Errorf("give bucket %s to account %s: %w", e.Name(), s.accounts.owner, err)
		}
		s.log.Info("a bucket without an owner was given to the configured account", "bucket", e.Name(), "account", s.accounts.owner)
	}
	if err := os.WriteFile(mark, []byte("Each bucket belongs to the account that created it.\n"), 0o600); err != nil {
		return err
	}
	return errors.Join(s.meta.disk.path(mark), s.meta.disk.path(filepath.Dir(mark)))
}
