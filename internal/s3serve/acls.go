package s3serve

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
)

// ACLs of objects, which the gateway does not implement. The account of the bucket has all rights to every object,
// as in an S3 bucket with ACLs disabled (S3: BucketOwnerEnforced).

// aclKey is the request value that holds the owner of the object whose ACL was requested.
const aclKey = "batholith-acl"

// GetObjectAcl stores the owner for coded, which writes the answer (see aclOf).
func (s *store) GetObjectAcl(ctx context.Context, in *s3.GetObjectAclInput) (*s3.GetObjectAclOutput, error) {
	if _, err := s.HeadObject(ctx, &s3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key, VersionId: in.VersionId}); err != nil {
		return nil, err
	}
	if request, ok := ctx.(*fasthttp.RequestCtx); ok {
		owner, err := s.ownerOf(ctx, *in.Bucket)
		if err != nil {
			return nil, err
		}
		request.SetUserValue(aclKey, owner)
	}
	return &s3.GetObjectAclOutput{}, nil
}

// PutObjectAcl accepts an ACL that gives rights to the owner only, and rejects any other.
func (s *store) PutObjectAcl(ctx context.Context, in *s3.PutObjectAclInput) error {
	if _, err := s.HeadObject(ctx, &s3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key, VersionId: in.VersionId}); err != nil {
		return err
	}
	grants := aws.ToString(in.GrantFullControl) + aws.ToString(in.GrantRead) + aws.ToString(in.GrantReadACP) + aws.ToString(in.GrantWrite) + aws.ToString(in.GrantWriteACP)
	private := in.ACL == types.ObjectCannedACLPrivate || in.ACL == types.ObjectCannedACLBucketOwnerFullControl
	if in.ACL == "" {
		owner, err := s.ownerOf(ctx, *in.Bucket)
		if err != nil {
			return err
		}
		private = isOwners(ctx, owner)
	}
	if grants != "" || !private {
		return refusal(http.StatusBadRequest, "AccessControlListNotSupported", "The bucket does not allow ACLs")
	}
	return nil
}

// isOwners reports whether the ACL in the request's body gives rights to the owner only.
func isOwners(ctx context.Context, owner string) bool {
	request, ok := ctx.(*fasthttp.RequestCtx)
	var acl struct {
		XMLName xml.Name `xml:"AccessControlPolicy"`
		IDs     []string `xml:"AccessControlList>Grant>Grantee>ID"`
		Grants  []string `xml:"AccessControlList>Grant>Permission"`
	}
	if !ok || xml.Unmarshal(request.Request.Body(), &acl) != nil || len(acl.Grants) == 0 || len(acl.IDs) != len(acl.Grants) {
		return false
	}
	for _, id := range acl.IDs {
		if id != owner {
			return false
		}
	}
	return true
}

// aclOf returns the ACL document of an object. The gateway would write another root element.
func aclOf(owner string) []byte {
	var id bytes.Buffer
	xml.EscapeText(&id, []byte(owner))
	return fmt.Appendf(nil, xmlHead+`<AccessControlPolicy%s><Owner><ID>%s</ID></Owner><AccessControlList><Grant>`+
		`<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>%[2]s</ID></Grantee>`+
		`<Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>`, namespace, id.String())
}
