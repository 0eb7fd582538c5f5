package cli

import (
	"context"
	"io"
	"strings"

	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/object"
)

// reachServer connects to the server that the environment or --data names, for a command that reads its objects.
func (a *app) reachServer(ctx context.Context, t target) (*clients, error) {
	c, err := a.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	_, err = c.api()
	return c, err
}

// open reads an object from its beginning.
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

// explained is a reader whose errors say what a person at this shell can do about them.
type explained struct {
	io.ReadCloser
	o           *objects
	bucket, key string
}

func (e *explained) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = e.o.explain(err, "read", e.bucket, e.key)
	}
	return n, err
}

// all reads a small object.
func (o *objects) all(ctx context.Context, uri string) ([]byte, error) {
	in, err := o.open(ctx, uri)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(in)
}

// openURI reads a file of a job, wherever it is: file:// and plain paths on this machine, s3:// on the server.
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
