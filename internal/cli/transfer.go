package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/plain"
)

const (
	// singlePut is the largest file, in bytes, that is uploaded in one request. A longer one is uploaded in parts,
	// so that a retry repeats one part only.
	singlePut = 64 << 20
	// mostParts is S3's limit of parts per object. Beyond singlePut × mostParts bytes, parts become larger.
	mostParts = 10_000
	// transfersAtOnce is the number of files that are transferred in parallel. Small files would otherwise wait
	// one round trip each.
	transfersAtOnce = 8
)

// upload creates the bucket if it is missing, uploads the files below prefix, and returns the s3:// URI of the
// job's input. After the first error no further file is begun; files that are uploaded stay.
func (a *app) upload(ctx context.Context, c *clients, bucket, prefix string, gathered []localFile) (string, error) {
	if err := c.makeBucket(ctx, bucket); err != nil {
		return "", err
	}
	m := &meter{verb: "uploaded", live: a.live(), bar: a.newBar()}
	defer m.bar.clear()
	for _, f := range gathered {
		m.total += f.bytes
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(transfersAtOnce)
	for _, f := range gathered {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := c.put(ctx, bucket, prefix+f.key, f, m); err != nil {
				return fmt.Errorf("upload %s: %w", f.name(), err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return "", err
	}
	return inputBelow(bucket, prefix, gathered), nil
}

// inputBelow returns the s3:// URI of the input: the object if there is one file, otherwise the prefix, below
// which a job reads every .jsonl object.
func inputBelow(bucket, prefix string, gathered []localFile) string {
	if len(gathered) == 1 {
		prefix += gathered[0].key
	}
	return "s3://" + bucket + "/" + prefix
}

// meter shows the bytes of a transfer on a terminal. It is safe for concurrent use.
type meter struct {
	verb string // uploaded or downloaded
	live bool

	mu          sync.Mutex
	bar         bar
	done, total int64
}

// add counts n bytes as transferred.
func (m *meter) add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	if m.live {
		m.bar.draw(m.done, m.total, fmt.Sprintf("%s %s of %s", m.verb, humanize.IBytes(uint64(m.done)), humanize.IBytes(uint64(m.total))))
	}
}

// expect adds n bytes to those that are to be transferred.
func (m *meter) expect(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total += n
}

// pause clears the bar, so that a line can be printed.
func (m *meter) pause() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bar.clear()
}

// Write counts bytes that pass through an io.TeeReader.
func (m *meter) Write(p []byte) (int, error) {
	m.add(int64(len(p)))
	return len(p), nil
}

// makeBucket creates the bucket in the S3's region if it does not exist. Keys that may not look at it are not
// refused here: they may still be allowed to write objects. A bucket that another command creates at the same time
// is no error.
func (c *clients) makeBucket(ctx context.Context, bucket string) error {
	client, err := c.api()
	if err != nil {
		return err
	}
	_, err = client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &bucket})
	err = c.objects.explain(err, "look for", bucket, "")
	switch {
	case errors.Is(err, batholith.ErrAccessDenied):
		return nil // keys that may write an object need not be able to see its bucket, and a refusal of a HEAD has no words
	case !errors.Is(err, batholith.ErrNoBucket):
		return err
	}
	in := &s3.CreateBucketInput{Bucket: &bucket}
	if region := c.objects.at.Region; region != "us-east-1" { // S3: us-east-1 takes no location constraint
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
	}
	_, err = client.CreateBucket(ctx, in)
	var ours *types.BucketAlreadyOwnedByYou
	if err != nil && !errors.As(err, &ours) { // another submit made it meanwhile
		return c.objects.explain(err, "make the bucket", bucket, "")
	}
	return nil
}

// put uploads one file and counts its bytes. It fails if the file's size or time changes during the upload,
// because the object could then hold parts of two versions. The object exists then, but no job is created over it.
func (c *clients) put(ctx context.Context, bucket, key string, f localFile, m *meter) error {
	client, err := c.api()
	if err != nil {
		return err
	}
	file, err := files.Open(f.path)
	if err != nil {
		return files.PathAndReason(err)
	}
	defer file.Close()
	before, err := file.Stat()
	if err != nil {
		return err
	}
	// Exactly size bytes are sent, also if the file grows meanwhile; the comparison below then refuses it.
	if size := before.Size(); size > singlePut {
		err = putParts(ctx, client, bucket, key, file, size, m)
	} else {
		_, err = client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: io.NewSectionReader(file, 0, size), ContentLength: &size})
		m.add(size)
	}
	if err != nil {
		return c.objects.explain(err, "write", bucket, key)
	}
	if after, err := file.Stat(); err != nil || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return hint(errors.New("the file changed while it was read"), "wait until it is whole, and submit it again")
	}
	return nil
}

// putParts uploads a long file in parts, one after another:
//
//	part = max(singlePut, ceil(size / mostParts))
//
// After an error it aborts the upload, so that no invisible parts remain. If the process is killed, they remain
// until the bucket's lifecycle rule removes them.
func putParts(ctx context.Context, client *s3.Client, bucket, key string, file io.ReaderAt, size int64, m *meter) error {
	up, err := client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return err
	}
	part := max(singlePut, (size+mostParts-1)/mostParts)
	var done []types.CompletedPart
	for at := int64(0); at < size && err == nil; at += part {
		n := int32(len(done) + 1)
		body := io.NewSectionReader(file, at, min(part, size-at))
		var o *s3.UploadPartOutput
		o, err = client.UploadPart(ctx, &s3.UploadPartInput{Bucket: &bucket, Key: &key, UploadId: up.UploadId, PartNumber: &n, Body: body})
		if err == nil {
			done = append(done, types.CompletedPart{ETag: o.ETag, PartNumber: &n})
			m.add(body.Size())
		}
	}
	if err == nil {
		_, err = client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: &bucket, Key: &key,
			UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: done}})
	}
	if err == nil {
		return nil
	}
	// The abort must be sent even if ctx has ended, as after Ctrl-C.
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	_, aborted := client.AbortMultipartUpload(back, &s3.AbortMultipartUploadInput{Bucket: &bucket, Key: &key, UploadId: up.UploadId})
	return errors.Join(err, aborted)
}

// fetchOutput downloads all output of the job into DIR/<job id>/, and calls told with each file's path, in the
// order of the keys. Files that exist are replaced. Keys that would lead outside of the folder are skipped.
func (a *app) fetchOutput(ctx context.Context, c *clients, j jobFacts, dir string, told func(path string)) error {
	client, err := c.api()
	if err != nil {
		return err
	}
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(j.outputPrefix(), "s3://"), "/")
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	found := 0
	m := &meter{verb: "downloaded", live: a.live(), bar: a.newBar()}
	defer m.pause()
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return c.objects.explain(err, "list the output", bucket, prefix)
		}
		paths := make([]string, len(page.Contents)) // of those that were fetched
		g, fetching := errgroup.WithContext(ctx)
		g.SetLimit(transfersAtOnce)
		for i, o := range page.Contents {
			// Working files, folders and keys such as ../x are not output.
			rel := strings.TrimPrefix(aws.ToString(o.Key), prefix)
			if strings.HasPrefix(rel, batholith.InternalFolder+"/") || strings.HasSuffix(rel, "/") || !filepath.IsLocal(rel) {
				continue
			}
			path := filepath.Join(dir, j.id(), filepath.FromSlash(rel))
			m.expect(aws.ToInt64(o.Size))
			g.Go(func() error {
				if fetching.Err() != nil {
					return context.Cause(fetching)
				}
				err := c.objects.fetch(fetching, bucket, aws.ToString(o.Key), path, m)
				if err == nil {
					paths[i] = path
				}
				return err
			})
		}
		err = g.Wait()
		m.pause()
		for _, path := range paths {
			if path != "" {
				told(path)
				found++
			}
		}
		if err != nil {
			return err
		}
	}
	if found == 0 {
		plain.Fprintf(a.stderr, "the job has no output to fetch\n")
	}
	return nil
}

// fetch downloads an object, and tells m its bytes. The file gets its name only when it is complete; a crash leaves a temporary file
// .fetch-* beside it.
func (o *objects) fetch(ctx context.Context, bucket, key, path string, m *meter) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return files.PathAndReason(err)
	}
	got, err := o.store.API().GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return o.explain(err, "fetch", bucket, key)
	}
	defer got.Body.Close()
	f, err := os.CreateTemp(filepath.Dir(path), ".fetch-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = io.Copy(f, io.TeeReader(&explained{ReadCloser: got.Body, o: o, bucket: bucket, key: key}, m))
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
