package cli

import (
	"context"
	"io"
	"strings"

	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/object"
)

// reachServer is connect for commands that need objects: it fails also if no S3 is named or has no keys.
func (a *app) reachServer(ctx context.Context, t target) (*clients, error) {
	c, err := a.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	_, err = c.api()
	return c, err
}

// open returns a reader of an object from its first byte. It reads the version that exists now: if the object is
// replaced meanwhile, the reader returns an error and never a mixture. A connection that breaks off is opened
// again at the same place. The caller closes the reader.
func (o *objects) open(ctx context.Context, uri string) (io.ReadCloser, error) {
	bucket, key, err := object.ParseURI(uri)
	if err != nil {
		return nil, err
	}
	b := o.store.Bucket(bucket, object.Options{})
	info, err := b.Head(ctx, key)
	if err != nil {
		return nil, o.explain(err, "find", bucket, key)
	}
	return &explained{ReadCloser: blob.NewReader(ctx, b, key, info.ETag, 0, info.Bytes), o: o, bucket: bucket, key: key}, nil
}

// explained is a reader whose errors carry a remedy for the user of this shell.
type explained struct {
	io.ReadCloser
	o           *objects
	bucket, key string
}

// Read reads from the object. Errors other than io.EOF are explained.
func (e *explained) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = e.o.explain(err, "read", e.bucket, e.key)
	}
	return n, err
}

// all returns the content of a small object, such as a manifest. It has no limit of its own.
func (o *objects) all(ctx context.Context, uri string) ([]byte, error) {
	in, err := o.open(ctx, uri)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(in)
}

// openURI opens a file of a job: file:// URIs and paths on this machine, s3:// URIs on the server. It connects to
// the server at the first s3:// URI, so a local job needs none. The caller closes the reader.
func (v *verification) openURI(ctx context.Context, uri string) (io.ReadCloser, error) {
	if !strings.HasPrefix(uri, "s3://") {
		path, err := files.PathOf(uri)
		if err != nil {
			return nil, err
		}
		f, err := files.Open(path)
		if err != nil {
			return nil, files.PathAndReason(err)
		}
		return f, nil
	}
	if v.reach == nil {
		r, err := v.app.reachServer(ctx, v.target)
		if err != nil {
			return nil, err
		}
		v.reach = r
	}
	return v.reach.objects.open(ctx, uri)
}
