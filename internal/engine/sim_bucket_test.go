package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/object/objecttest"
)

// flakyBucket is the bucket as one process sees it: some calls fail, before or after the effect, and some
// take effect long after their caller has given up or died.
type flakyBucket struct {
	*objecttest.Memory
	p *simProcess
}

func (b flakyBucket) try(ctx context.Context, key string, writes bool, do func() error) error {
	if err := b.p.enter(ctx, bucket); err != nil {
		return err
	}
	if err := b.p.s.travel(ctx); err != nil {
		return err
	}
	if writes && b.p.s.refuses(key) {
		return fmt.Errorf("write %s: %w", key, batholith.ErrAccessDenied)
	}
	if b.p.s.chance(0.02) {
		return errors.New("503 SlowDown")
	}
	err := do()
	if err == nil && b.p.s.chance(0.02) {
		return errors.New("500 InternalError, after the effect")
	}
	return err
}

// travel is the way to the bucket and back.
func (s *simulation) travel(ctx context.Context) error {
	if s.distance == 0 {
		return nil
	}
	s.count(func() { s.abreast++; s.mostAbreast = max(s.mostAbreast, s.abreast) })
	defer s.count(func() { s.abreast-- })
	select {
	case <-time.After(s.distance):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A call that is late takes effect up to so much later, whatever became of its caller, who waits for it so long at most.
const (
	latest  = 20 * time.Second
	heldOut = 3 * time.Second
)

// slow is try for what may be late.
func (b flakyBucket) slow(ctx context.Context, key string, do func() error) error {
	return b.try(ctx, key, true, func() error {
		s := b.p.s
		seen := func() error { return s.seeing(key, do) }
		if !s.chance(0.05) {
			return seen()
		}
		s.mu.Lock()
		delay := time.Duration(s.r.Int64N(int64(latest)))
		s.mu.Unlock()
		done := make(chan error, 1)
		s.late.Go(func() {
			time.Sleep(delay)
			done <- seen()
		})
		var err error
		select {
		case err = <-done:
		case <-time.After(heldOut):
			err = errors.New("no answer; it may happen yet")
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		return errors.Join(err, b.p.enter(ctx, nowhere))
	})
}

// seeing makes a change to an object and notes an output that became shorter.
func (s *simulation) seeing(key string, change func() error) error {
	s.visible.Lock()
	defer s.visible.Unlock()
	before, _ := s.bucket.Object(key)
	err := change()
	if after, _ := s.bucket.Object(key); strings.HasSuffix(key, ".jsonl.out") && len(after) < len(before) {
		s.count(func() {
			s.shrunk = append(s.shrunk, fmt.Sprintf("%s from %d to %d bytes", key, len(before), len(after)))
		})
	}
	return err
}

// refuses tells whether the output may not be written any more.
func (s *simulation) refuses(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.denied && strings.HasPrefix(key, "out/")
}

func (b flakyBucket) List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error] {
	err := b.try(ctx, prefix, false, func() error { return nil })
	if err == nil {
		return b.Memory.List(ctx, prefix)
	}
	return func(yield func(batholith.Object, error) bool) { yield(batholith.Object{}, err) }
}

func (b flakyBucket) Head(ctx context.Context, key string) (o batholith.Object, err error) {
	err = b.try(ctx, key, false, func() error { o, err = b.Memory.Head(ctx, key); return err })
	return o, err
}

func (b flakyBucket) Read(ctx context.Context, key, etag string, offset, n int64) (r io.ReadCloser, err error) {
	err = b.try(ctx, key, false, func() error { r, err = b.Memory.Read(ctx, key, etag, offset, n); return err })
	if err == nil && n > 1 && b.p.s.chance(0.02) {
		return torn{io.LimitReader(r, n/2), r}, nil
	}
	return r, err
}

// torn is an answer whose connection breaks off.
type torn struct {
	io.Reader
	io.Closer
}

func (t torn) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b flakyBucket) Put(ctx context.Context, key string, body []byte) error {
	body, late := slices.Clone(body), context.WithoutCancel(ctx)
	_, job, _ := strings.Cut(key, "/")
	job, _, _ = strings.Cut(job, "/")
	return b.p.toCommit(job, func() error {
		return b.slow(ctx, key, func() error { return b.Memory.Put(late, key, body) })
	})
}

func (b flakyBucket) Delete(ctx context.Context, keys ...string) error {
	return b.try(ctx, keys[0], true, func() error { return b.Memory.Delete(ctx, keys...) })
}

func (b flakyBucket) CreateUpload(ctx context.Context, key string) (id string, err error) {
	err = b.try(ctx, key, true, func() error { id, err = b.Memory.CreateUpload(ctx, key); return err })
	return id, err
}

func (b flakyBucket) UploadPart(ctx context.Context, key, id string, n int, body []byte) (etag string, err error) {
	body, late, answer := slices.Clone(body), context.WithoutCancel(ctx), make(chan string, 1)
	err = b.slow(ctx, key, func() error {
		etag, err := b.Memory.UploadPart(late, key, id, n, body)
		answer <- etag
		return err
	})
	if err != nil {
		return "", err
	}
	return <-answer, nil
}

func (b flakyBucket) CompleteUpload(ctx context.Context, key, id string, etags []string) error {
	etags, late := slices.Clone(etags), context.WithoutCancel(ctx)
	return b.slow(ctx, key, func() error { return b.Memory.CompleteUpload(late, key, id, etags) })
}

func (b flakyBucket) AbortUpload(ctx context.Context, key, id string) error {
	return b.try(ctx, key, true, func() error { return b.Memory.AbortUpload(ctx, key, id) })
}

func (b flakyBucket) ListUploads(ctx context.Context, prefix string) iter.Seq2[batholith.Upload, error] {
	err := b.try(ctx, prefix, false, func() error { return nil })
	if err == nil {
		return b.Memory.ListUploads(ctx, prefix)
	}
	return func(yield func(batholith.Upload, error) bool) { yield(batholith.Upload{}, err) }
}
