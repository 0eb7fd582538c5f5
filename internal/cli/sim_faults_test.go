package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"syscall"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/object/objecttest"
	"github.com/batholith/batholith/internal/store"
)

// part is something that a process reaches, and that may be away.
type part int

const (
	nowhere part = iota
	database
	bucket
	model
)

// errKilled is what a process that was killed gets for everything it still asks: nobody hears it.
var errKilled = errors.New("this process was killed")

// enter is passed on the way to a part. It waits while the process is frozen, and fails when it is dead or the part is away.
func (p *simProcess) enter(ctx context.Context, to part) error {
	for {
		p.s.mu.Lock()
		dead, wait, away := p.dead, time.Until(p.frozen), time.Now().Before(p.s.outages[to])
		if away {
			p.s.refused[to]++
		}
		p.s.mu.Unlock()
		switch {
		case dead:
			return errKilled
		case wait <= 0 && away:
			return fmt.Errorf("it is away: %w", syscall.ECONNREFUSED)
		case wait <= 0:
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// away begins an outage.
func (s *simulation) away(what part, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outages[what] = time.Now().Add(d)
}

func (s *simulation) chance(p float64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.Float64() < p*s.trouble
}

// flaky is the database as one process sees it: refusing before, or failing after, the effect.
type flaky struct {
	*store.Store
	p *simProcess
}

func (f flaky) try(ctx context.Context, do func() error) error {
	if err := f.p.enter(ctx, database); err != nil {
		return err
	}
	if f.p.s.chance(0.03) {
		return errors.New("database is locked")
	}
	err := do()
	if err == nil && f.p.s.chance(0.03) {
		return errors.New("disk I/O error, after the commit")
	}
	return err
}

// read is try for what returns something.
func read[T any](ctx context.Context, f flaky, do func() (T, error)) (T, error) {
	var got T
	err := f.try(ctx, func() (err error) { got, err = do(); return err })
	if err != nil {
		var nothing T
		return nothing, err
	}
	return got, nil
}

func (f flaky) Commit(ctx context.Context, c batholith.Commit) (batholith.Counts, error) {
	counts, err := read(ctx, f, func() (batholith.Counts, error) { return f.Store.Commit(ctx, c) })
	f.p.setBack(c.Segment.Job, err)
	return counts, err
}

func (f flaky) Claim(ctx context.Context, worker, job string, n int, now time.Time) ([]batholith.Chunk, error) {
	return read(ctx, f, func() ([]batholith.Chunk, error) { return f.Store.Claim(ctx, worker, job, n, now) })
}

func (f flaky) Job(ctx context.Context, account, id string) (batholith.Job, error) {
	return read(ctx, f, func() (batholith.Job, error) { return f.Store.Job(ctx, account, id) })
}

func (f flaky) Find(ctx context.Context, id string) (batholith.Job, error) {
	job, err := read(ctx, f, func() (batholith.Job, error) { return f.Store.Find(ctx, id) })
	f.p.setBack(id, err)
	return job, err
}

func (f flaky) Unfinished(ctx context.Context) ([]batholith.Job, error) {
	return read(ctx, f, func() ([]batholith.Job, error) { return f.Store.Unfinished(ctx) })
}

func (f flaky) Unclean(ctx context.Context) ([]batholith.Job, error) {
	return read(ctx, f, func() ([]batholith.Job, error) { return f.Store.Unclean(ctx) })
}

func (f flaky) Files(ctx context.Context, id string) ([]batholith.File, error) {
	return read(ctx, f, func() ([]batholith.File, error) { return f.Store.Files(ctx, id) })
}

func (f flaky) Chunks(ctx context.Context, id string) ([]batholith.Chunk, error) {
	return read(ctx, f, func() ([]batholith.Chunk, error) { return f.Store.Chunks(ctx, id) })
}

func (f flaky) Segments(ctx context.Context, id string) ([]batholith.Segment, error) {
	return read(ctx, f, func() ([]batholith.Segment, error) { return f.Store.Segments(ctx, id) })
}

func (f flaky) Uploads(ctx context.Context, id string) ([]batholith.Upload, error) {
	return read(ctx, f, func() ([]batholith.Upload, error) { return f.Store.Uploads(ctx, id) })
}

func (f flaky) Ledger(ctx context.Context, id string) (batholith.Ledger, error) {
	return read(ctx, f, func() (batholith.Ledger, error) { return f.Store.Ledger(ctx, id) })
}

func (f flaky) Move(ctx context.Context, id string, from, to batholith.Status, message string, at time.Time) error {
	return f.try(ctx, func() error { return f.Store.Move(ctx, id, from, to, message, at) })
}

func (f flaky) Note(ctx context.Context, id, message string) error {
	return f.try(ctx, func() error { return f.Store.Note(ctx, id, message) })
}

func (f flaky) Heartbeat(ctx context.Context, worker string, until time.Time) error {
	err := f.try(ctx, func() error { return f.Store.Heartbeat(ctx, worker, until) })
	f.p.s.count(func() {
		if p := f.p; !p.lease.IsZero() && !time.Now().Before(p.lease) {
			p.losses = append(p.losses, absence{p.lease, time.Now()})
		}
		if err == nil {
			f.p.lease = until
		}
	})
	return err
}

func (f flaky) Release(ctx context.Context, worker, job string) error {
	return f.try(ctx, func() error { return f.Store.Release(ctx, worker, job) })
}

func (f flaky) Plan(ctx context.Context, id string, files []batholith.File, chunks []batholith.Chunk, total int64) error {
	return f.try(ctx, func() error { return f.Store.Plan(ctx, id, files, chunks, total) })
}

func (f flaky) ReplaceSegments(ctx context.Context, id string, old []string, run batholith.Segment) error {
	return f.try(ctx, func() error { return f.Store.ReplaceSegments(ctx, id, old, run) })
}

func (f flaky) PutUpload(ctx context.Context, u batholith.Upload) error {
	return f.try(ctx, func() error { return f.Store.PutUpload(ctx, u) })
}

func (f flaky) DeleteUpload(ctx context.Context, u batholith.Upload) error {
	return f.try(ctx, func() error { return f.Store.DeleteUpload(ctx, u) })
}

func (f flaky) Seal(ctx context.Context, id string) error {
	return f.try(ctx, func() error { return f.Store.Seal(ctx, id) })
}

func (f flaky) Forget(ctx context.Context, id string) error {
	return f.try(ctx, func() error { return f.Store.Forget(ctx, id) })
}

// flakyBucket is the bucket as one process sees it: some calls fail, before or after the effect.
type flakyBucket struct {
	*objecttest.Memory
	p *simProcess
}

func (b flakyBucket) try(ctx context.Context, key string, writes bool, do func() error) error {
	if err := b.p.enter(ctx, bucket); err != nil {
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
	err := b.try(ctx, key, true, func() error { return b.Memory.Put(ctx, key, body) })
	_, job, _ := strings.Cut(key, "/")
	job, _, _ = strings.Cut(job, "/")
	b.p.setBack(job, err)
	return err
}

func (b flakyBucket) Delete(ctx context.Context, keys ...string) error {
	return b.try(ctx, keys[0], true, func() error { return b.Memory.Delete(ctx, keys...) })
}

func (b flakyBucket) CreateUpload(ctx context.Context, key string) (id string, err error) {
	err = b.try(ctx, key, true, func() error { id, err = b.Memory.CreateUpload(ctx, key); return err })
	return id, err
}

func (b flakyBucket) UploadPart(ctx context.Context, key, id string, n int, body []byte) (etag string, err error) {
	err = b.try(ctx, key, true, func() error { etag, err = b.Memory.UploadPart(ctx, key, id, n, body); return err })
	return etag, err
}

func (b flakyBucket) CompleteUpload(ctx context.Context, key, id string, etags []string) error {
	return b.try(ctx, key, true, func() error { return b.Memory.CompleteUpload(ctx, key, id, etags) })
}

func (b flakyBucket) AbortUpload(ctx context.Context, key, id string) error {
	return b.try(ctx, key, true, func() error { return b.Memory.AbortUpload(ctx, key, id) })
}
