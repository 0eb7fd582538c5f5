package s3serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// unnamed stands for the access key of a caller who is known without one. No access key can have this form.
const unnamed = " caller "

// As returns a bucket that is read with the rights of a caller of this process, who need not have an access key. The rules are those of a
// signed request of the same caller: the bucket must belong to the caller's account, the restrictions of who hold, and the policies decide
// about s3:GetObject. owner is the account that must own the bucket, "": the caller's. No HTTP is used.
func (s *Server) As(who Account, name, owner string) blob.Readable {
	who.Identity.Account = cmp.Or(who.Identity.Account, s.store.accounts.owner)
	return &asCaller{near{store: s.store, who: &who, name: name, owner: owner}}
}

// asCaller is a bucket read with a caller's rights.
type asCaller struct{ near near }

// Name implements blob.Readable.
func (a *asCaller) Name() string { return a.near.name }

// Head implements blob.Readable.
func (a *asCaller) Head(ctx context.Context, key string) (batholith.Object, error) {
	if err := a.named(); err != nil {
		return batholith.Object{}, err
	}
	o, err := a.near.head(ctx, key)
	return o, a.explain("find", key, err)
}

// Read implements blob.Readable.
func (a *asCaller) Read(ctx context.Context, key, etag string, offset, length int64) (io.ReadCloser, error) {
	if err := a.named(); err != nil {
		return nil, err
	}
	body, err := a.near.read(ctx, key, etag, offset, length)
	return body, a.explain("read", key, err)
}

// named returns an error if no bucket can have the name. The name becomes part of a path, so it must not be "..".
func (a *asCaller) named() error {
	if utils.IsValidBucketName(a.near.name) {
		return nil
	}
	return fmt.Errorf("find bucket %q: %w", a.near.name, batholith.ErrNoBucket)
}

// permanent are the errors of a bucket by S3's codes.
var permanent = map[string]error{"NoSuchKey": batholith.ErrNoObject, "NoSuchBucket": batholith.ErrNoBucket, "AccessDenied": batholith.ErrAccessDenied,
	"PreconditionFailed": batholith.ErrObjectChanged, "InvalidRange": batholith.ErrObjectChanged, "MethodNotAllowed": batholith.ErrNoObject}

// explain adds what failed to an error, and the error of package batholith that it is.
func (a *asCaller) explain(verb, key string, err error) error {
	if err == nil {
		return nil
	}
	var said s3err.S3Error
	if errors.As(err, &said) {
		if plain := permanent[said.BaseError().Code]; plain != nil {
			return fmt.Errorf("%s %s: %w", verb, blob.URI(a, key), plain)
		}
	}
	return fmt.Errorf("%s %s: %w", verb, blob.URI(a, key), err)
}
