package results

import (
	"cmp"
	"context"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
)

// object is an object that is being written to the output bucket. The store has the id of its multipart upload before the first part is
// sent, so that the upload can be aborted after a crash.
type object struct {
	*blob.Writer
	ctx    context.Context
	store  Uploads
	upload batholith.Upload // its id is empty until the upload begins; an object of one part may need none
	key    string
}

const (
	partBytes = 5 << 20 // the smallest part that S3 accepts
	maxParts  = 9_000   // S3 accepts 10,000
)

// objectOptions say how an object is uploaded.
type objectOptions struct {
	Bytes     int64 // expected size, rather too small than too large
	Part      int64 // least size of all parts but the last; 0: partBytes
	Abortable bool  // a multipart upload even if small, so that another publisher can abort it
}

// newObject begins an object. Nothing is sent yet.
func newObject(ctx context.Context, store Uploads, b blob.Bucket, u batholith.Upload, opts objectOptions) *object {
	o := &object{ctx: ctx, store: store, upload: u, key: u.Key}
	part := max(cmp.Or(opts.Part, partBytes), opts.Bytes/maxParts+1)
	if part > partBytes {
		part = (part>>20 + 1) << 20
	}
	o.Writer = blob.NewWriter(ctx, b, u.Key, blob.WriterOptions{PartBytes: int(part), Size: opts.Bytes, Abortable: opts.Abortable, Begun: o.begun})
	return o
}

// begun stores the id of the upload before its first part is sent.
func (o *object) begun(ctx context.Context, id string) error {
	failpoint.Here("results.begun")
	o.upload.UploadID = id
	if err := o.store.PutUpload(ctx, o.upload); err != nil {
		return err
	}
	failpoint.Here("results.registered")
	return nil
}

// close completes the object, which becomes visible.
func (o *object) close() error {
	if err := o.Writer.Close(); err != nil {
		return err
	}
	return o.forget()
}

// abort gives up; the object does not become visible.
func (o *object) abort() error {
	if err := o.Writer.Abort(); err != nil {
		return err
	}
	return o.forget()
}

// forget deletes the completed or aborted upload from the store. If that fails, the next publication of the same key, or the clean-up,
// aborts it again, which does no harm.
func (o *object) forget() error {
	if o.upload.UploadID == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(o.ctx), 10*time.Second)
	defer cancel()
	return o.store.DeleteUpload(ctx, o.upload)
}
