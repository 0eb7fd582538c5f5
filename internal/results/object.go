package results

import (
	"cmp"
	"context"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
)

// An object is being written to the output bucket. The id of its multipart upload is in the store before its first part, so that
// whatever a crash leaves behind is known.
type object struct {
	*blob.Writer
	ctx    context.Context
	store  Uploads
	upload batholith.Upload // with an empty id before it is begun; an object that fits into one part may do without
	key    string
}

const (
	partBytes = 5 << 20 // the least that S3 takes
	maxParts  = 9_000   // S3 takes 10,000
)

// objectOptions say how an object is uploaded.
type objectOptions struct {
	Bytes     int64 // about how large it gets, rather less than more
	Part      int64 // the smallest part but the last; 0: partBytes
	Abortable bool  // by its id, however small it is: another may have to keep it from appearing
}

// newObject begins the object of an upload, which has no id yet.
func newObject(ctx context.Context, store Uploads, b blob.Bucket, u batholith.Upload, opts objectOptions) *object {
	o := &object{ctx: ctx, store: store, upload: u, key: u.Key}
	part := max(cmp.Or(opts.Part, partBytes), opts.Bytes/maxParts+1)
	if part > partBytes {
		part = (part>>20 + 1) << 20
	}
	o.Writer = blob.NewWriter(ctx, b, u.Key, blob.WriterOptions{PartBytes: int(part), Size: opts.Bytes, Abortable: opts.Abortable, Begun: o.begun})
	return o
}

// begun notes an upload before its first part is sent.
func (o *object) begun(ctx context.Context, id string) error {
	failpoint.Here("results.begun")
	o.upload.UploadID = id
	if err := o.store.PutUpload(ctx, o.upload); err != nil {
		return err
	}
	failpoint.Here("results.registered")
	return nil
}

// close makes the object appear.
func (o *object) close() error {
	if err := o.Writer.Close(); err != nil {
		return err
	}
	return o.forget()
}

// abort gives up; nothing appears.
func (o *object) abort() error {
	if err := o.Writer.Abort(); err != nil {
		return err
	}
	return o.forget()
}

// forget takes the upload, which is complete or aborted, off the list. What stays there is aborted by the next publication of the
// same key, or by the clean-up.
func (o *object) forget() error {
	if o.upload.UploadID == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(o.ctx), 10*time.Second)
	defer cancel()
	return o.store.DeleteUpload(ctx, o.upload)
}
