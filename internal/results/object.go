package results

import (
	"context"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// An object is being written to the output bucket. The ids of its multipart uploads are in the store before their first part, so
// that whatever a crash leaves behind is known.
type object struct {
	*blob.Writer
	ctx    context.Context
	store  Uploads
	upload batholith.Upload // with an empty id while everything fits into one part
	key    string
}

const (
	partBytes = 8 << 20
	maxParts  = 9_000 // S3 takes 10,000
)

// newObject begins an object of about size bytes, rather less than more.
func newObject(ctx context.Context, store Uploads, b blob.Bucket, job, key string, size int64) *object {
	o := &object{ctx: ctx, store: store, upload: batholith.Upload{Job: job, Key: key}, key: key}
	part := max(partBytes, (size/maxParts>>20+1)<<20)
	o.Writer = blob.NewWriter(ctx, b, key, blob.WriterOptions{PartBytes: int(part), Size: size, Begun: o.begun})
	return o
}

// begun notes an upload before its first part is sent.
func (o *object) begun(ctx context.Context, id string) error {
	o.upload.UploadID = id
	return o.store.PutUpload(ctx, o.upload)
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
