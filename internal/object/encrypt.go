package object

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/batholith/batholith"
)

// encryption returns the SSE parameters of Put and CreateUpload (S3:
// x-amz-server-side-encryption).
func (b *Bucket) encryption() (types.ServerSideEncryption, *string) {
	if b.kms == "" {
		return "", nil
	}
	return types.ServerSideEncryptionAwsKms, &b.kms
}

// unencrypted returns a Fault if a server did not encrypt as requested. Many S3 servers ignore
// the header; the only sign is that their answer lacks it. sse and key are from the answer.
func (b *Bucket) unencrypted(sse types.ServerSideEncryption, key *string) error {
	f := &Fault{Verdict: batholith.ErrRefused, Remedy: "configure KMS at the server, or create the job without s3EncryptionKeyId"}
	switch {
	case b.kms == "":
		return nil
	case sse == "":
		f.Cause = "the S3 server does not encrypt: it took the object and ignored the KMS key " + b.kms
	case sse != types.ServerSideEncryptionAwsKms && sse != types.ServerSideEncryptionAwsKmsDsse:
		f.Cause = fmt.Sprintf("the S3 server does not encrypt with the KMS key %s: it used %s", b.kms, sse)
	case !sameKey(b.kms, aws.ToString(key)):
		f.Cause = fmt.Sprintf("the S3 server does not encrypt with the KMS key %s: it used %s", b.kms, *key)
	default:
		return nil
	}
	f.err = errors.New("not encrypted")
	return f
}

// sameKey compares the requested key with the one that the answer names, which may be the ARN
// of the requested id. An answer without a key is accepted, and so is any key for a requested
// alias.
func sameKey(asked, named string) bool {
	if named == "" || strings.Contains(asked, "alias/") {
		return true
	}
	return keyID(asked) == keyID(named)
}

// keyID returns the last part of a key's ARN, arn:aws:kms:REGION:ACCOUNT:key/ID (Amazon) or
// arn:aws:kms:NAME (MinIO), or all of key if it is not an ARN.
func keyID(key string) string { return key[strings.LastIndexAny(key, ":/")+1:] }

// withdraw deletes an object that was not encrypted as requested, and returns why joined with
// the error of the deletion.
func (b *Bucket) withdraw(ctx context.Context, why error, key string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return errors.Join(why, b.deleteOne(ctx, key))
}
