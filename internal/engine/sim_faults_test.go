package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"syscall"
	"time"

	"github.com/batholith/batholith"
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
	p.s.tally(to)
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
	var counts batholith.Counts
	err := f.p.toCommit(c.Segment.Job, func() (err error) {
		counts, err = read(ctx, f, func() (batholith.Counts, error) { return f.Store.Commit(ctx, c) })
		return err
	})
	return counts, err
}

func (f flaky) Claim(ctx context.Context, worker, job string, n int, now time.Time) ([]batholith.Chunk, error) {
	return read(ctx, f, func() ([]batholith.Chunk, error) { return f.Store.Claim(ctx, worker, job, n, now) })
}

func (f flaky) ClaimLost(ctx context.Context, worker, job string, n int) ([]batholith.Chunk, error) {
	return read(ctx, f, func() ([]batholith.Chunk, error) { return f.Store.ClaimLost(ctx, worker, job, n) })
}

func (f flaky) Job(ctx context.Context, account, id string) (batholith.Job, error) {
	return read(ctx, f, func() (batholith.Job, error) { return f.Store.Job(ctx, account, id) })
}

func (f flaky) Find(ctx context.Context, id string) (batholith.Job, error) {
	var job batholith.Job
	err := f.p.toCommit(id, func() (err error) {
		job, err = read(ctx, f, func() (batholith.Job, error) { return f.Store.Find(ctx, id) })
		return err
	})
	return job, err
}

func (f flaky) Unfinished(ctx context.Context) ([]batholith.Job, error) {
	return read(ctx, f, func() ([]batholith.Job, error) { return f.Store.Unfinished(ctx) })
}

func (f flaky) Unclean(ctx context.Context) ([]string, error) {
	return read(ctx, f, func() ([]string, error) { return f.Store.Unclean(ctx) })
}

func (f flaky) Files(ctx context.Context, id string) ([]batholith.File, error) {
	return read(ctx, f, func() ([]batholith.File, error) { return f.Store.Files(ctx, id) })
}

func (f flaky) ChunksOf(ctx context.Context, id string, numbers []int) ([]batholith.Chunk, error) {
	return read(ctx, f, func() ([]batholith.Chunk, error) { return f.Store.ChunksOf(ctx, id, numbers) })
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

func (f flaky) Accept(ctx context.Context, id string, files []batholith.File, chunks iter.Seq[batholith.Chunk], total int64, at time.Time) error {
	return f.try(ctx, func() error { return f.Store.Accept(ctx, id, files, chunks, total, at) })
}

func (f flaky) ReplaceSegments(ctx context.Context, id string, old []string, run batholith.Segment) (bool, error) {
	return read(ctx, f, func() (bool, error) { return f.Store.ReplaceSegments(ctx, id, old, run) })
}

func (f flaky) PutUpload(ctx context.Context, u batholith.Upload) error {
	return f.try(ctx, func() error { return f.Store.PutUpload(ctx, u) })
}

func (f flaky) DeleteUpload(ctx context.Context, u batholith.Upload) error {
	return f.try(ctx, func() error { return f.Store.DeleteUpload(ctx, u) })
}

func (f flaky) SealToPublish(ctx context.Context, id, why, worker string) (int64, error) {
	return read(ctx, f, func() (int64, error) { return f.Store.SealToPublish(ctx, id, why, worker) })
}

func (f flaky) Unnote(ctx context.Context, id, note string) error {
	return f.try(ctx, func() error { return f.Store.Unnote(ctx, id, note) })
}

func (f flaky) Forget(ctx context.Context, id string, sweep time.Time) error {
	return f.try(ctx, func() error { return f.Store.Forget(ctx, id, sweep) })
}

func (f flaky) Unswept(ctx context.Context, until time.Time) ([]string, error) {
	return read(ctx, f, func() ([]string, error) { return f.Store.Unswept(ctx, until) })
}

func (f flaky) Swept(ctx context.Context, id string, now time.Time) error {
	return f.try(ctx, func() error { return f.Store.Swept(ctx, id, now) })
}

func (f flaky) ClaimPublication(ctx context.Context, id, worker string, final bool, now time.Time) (int64, error) {
	return read(ctx, f, func() (int64, error) { return f.Store.ClaimPublication(ctx, id, worker, final, now) })
}

func (f flaky) YieldPublication(ctx context.Context, id string, epoch int64) error {
	return f.try(ctx, func() error { return f.Store.YieldPublication(ctx, id, epoch) })
}

func (f flaky) RestPublication(ctx context.Context, id string, epoch int64) error {
	return f.try(ctx, func() error { return f.Store.RestPublication(ctx, id, epoch) })
}

func (f flaky) Decide(ctx context.Context, id string, epoch int64, from, to batholith.Status, message string, manifest []byte) error {
	return f.try(ctx, func() error { return f.Store.Decide(ctx, id, epoch, from, to, message, manifest) })
}

func (f flaky) Decided(ctx context.Context, id string) (message string, manifest []byte, err error) {
	err = f.try(ctx, func() (err error) { message, manifest, err = f.Store.Decided(ctx, id); return err })
	if err != nil {
		return "", nil, err
	}
	return message, manifest, nil
}

func (f flaky) End(ctx context.Context, id string, epoch int64, at, sweep time.Time) (bool, error) {
	return read(ctx, f, func() (bool, error) { return f.Store.End(ctx, id, epoch, at, sweep) })
}

func (f flaky) PutLoads(ctx context.Context, worker string, loads []batholith.Load) error {
	return f.try(ctx, func() error { return f.Store.PutLoads(ctx, worker, loads) })
}

func (f flaky) Loads(ctx context.Context, worker string, backends []string) (others []batholith.Load, workers int, err error) {
	err = f.try(ctx, func() (err error) { others, workers, err = f.Store.Loads(ctx, worker, backends); return err })
	return others, workers, err
}
