package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/object"
)

// reach is a server whose objects can be read however large they are: a stream that breaks off is taken up again.
type reach struct {
	*clients
	store *object.Client
}

// reachServer connects to the server that the environment or --data names.
func (a *app) reachServer(ctx context.Context, t target) (*reach, error) {
	c, err := a.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	client, err := c.objects()
	if err != nil {
		return nil, err
	}
	o := client.Options()
	region := o.Region
	if region == "" {
		region = config.Default(config.ProfileDefault).Region
	}
	store, err := object.New(object.Config{Endpoint: aws.ToString(o.BaseEndpoint), Region: region, PathStyle: o.UsePathStyle, Credentials: o.Credentials})
	if err != nil {
		return nil, err
	}
	return &reach{c, store}, nil
}

// open reads an object from its beginning.
func (r *reach) open(ctx context.Context, uri string) (io.ReadCloser, error) {
	bucket, key, err := object.ParseURI(uri)
	if err != nil {
		return nil, err
	}
	b := r.store.Bucket(bucket, object.Options{})
	info, err := b.Head(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", uri, err)
	}
	return blob.NewReader(ctx, b, key, info.ETag, 0, info.Bytes), nil
}

// all reads a small object.
func (r *reach) all(ctx context.Context, uri string) ([]byte, error) {
	in, err := r.open(ctx, uri)
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
	return v.reach.open(ctx, uri)
}
