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

// encryption is what Put and CreateUpload say of SSE.
func (b *Bucket) encryption() (types.ServerSideEncryption, *string) {
	if b.kms == "" {
		return "", nil
	}
	return types.ServerSideEncryptionAwsKms, &b.kms
}

// unencrypted tells that a server did not encrypt as it was asked to. Many an S3 takes the header and ignores it, and only the absence
// of the same header in its answer shows.
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

// sameKey compares the key that was asked for with the one that an answer names, which may be the ARN of the former's id. An answer
// that names none is believed, and so is any for an alias.
func sameKey(asked, named string) bool {
	if named == "" || strings.Contains(asked, "alias/") {
		return true
	}
	return keyID(asked) == keyID(named)
}

// keyID is the last part of a key's ARN, arn:aws:kms:REGION:ACCOUNT:key/ID (Amazon) or arn:aws:kms:NAME (MinIO), or the whole.
func keyID(key string) string { return key[strings.LastIndexAny(key, ":/")+1:] }

// withdraw deletes an object that is not encrypted as it was asked for, and returns why.
func (b *Bucket) withdraw(ctx context.Context, why error, key string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return errors.Join(why, b.deleteOne(ctx, key))
}
