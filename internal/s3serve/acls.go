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

// The ACLs of objects, of which the gateway has none. The account of all buckets has every right in every object, as in a bucket of S3's that
// takes no ACLs (BucketOwnerEnforced).

// aclKey is where the owner of an object lies among the values of the request that asks for its ACL.
const aclKey = "batholith-acl"

func (s *store) GetObjectAcl(ctx context.Context, in *s3.GetObjectAclInput) (*s3.GetObjectAclOutput, error) {
	if _, err := s.HeadObject(ctx, &s3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key, VersionId: in.VersionId}); err != nil {
		return nil, err
	}
	if request, ok := ctx.(*fasthttp.RequestCtx); ok {
		request.SetUserValue(aclKey, s.accounts.owner)
	}
	return &s3.GetObjectAclOutput{}, nil
}

// PutObjectAcl takes an ACL that gives nobody more rights than there are, and refuses others.
func (s *store) PutObjectAcl(ctx context.Context, in *s3.PutObjectAclInput) error {
	if _, err := s.HeadObject(ctx, &s3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key, VersionId: in.VersionId}); err != nil {
		return err
	}
	grants := aws.ToString(in.GrantFullControl) + aws.ToString(in.GrantRead) + aws.ToString(in.GrantReadACP) + aws.ToString(in.GrantWrite) + aws.ToString(in.GrantWriteACP)
	private := in.ACL == types.ObjectCannedACLPrivate || in.ACL == types.ObjectCannedACLBucketOwnerFullControl
	if in.ACL == "" {
		private = s.isOwners(ctx)
	}
	if grants != "" || !private {
		return refusal(http.StatusBadRequest, "AccessControlListNotSupported", "The bucket does not allow ACLs")
	}
	return nil
}

// isOwners tells whether the document of a request grants rights to the account of all buckets alone.
func (s *store) isOwners(ctx context.Context) bool {
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
		if id != s.accounts.owner {
			return false
		}
	}
	return true
}

// aclOf writes the ACL of an object. The gateway writes a document of another name.
func aclOf(owner string) []byte {
	var id bytes.Buffer
	xml.EscapeText(&id, []byte(owner))
	return fmt.Appendf(nil, xmlHead+`<AccessControlPolicy%s><Owner><ID>%s</ID></Owner><AccessControlList><Grant>`+
		`<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>%[2]s</ID></Grantee>`+
		`<Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>`, namespace, id.String())
}
