package results

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// ofJob is a bucket of a job's own. It takes segments; reading them hangs or fails as hinders says.
type ofJob struct {
	blob.Bucket
	name    string
	hinders func(ctx context.Context) error
}

func (b ofJob) Name() string { return b.name }

func (b ofJob) Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error) {
	if err := b.hinders(ctx); err != nil {
		return nil, err
	}
	return b.Bucket.Read(ctx, key, etag, offset, n)
}

// level counts the segments of a job that were merged from others.
func (w *world) level(job string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.jobs[job].segments {
		if s.Level > 0 {
			n++
		}
	}
	return n
}

// Ten jobs have buckets from which nothing can be read. The segments of the eleventh are merged all the same: at first when the others
// have had their turn, and at once from then on.
func TestABucketThatCannotBeReadHoldsUpNoOtherMerge(t *testing.T) {
	for name, hinders := range map[string]func(ctx context.Context) error{
		"hangs": func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) },
		"fails": func(context.Context) error { return errors.New("503 Slow Down") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world := newWorld()
				world.width = 3
				jobs := []string{"well"}
				for i := range 10 {
					jobs = append(jobs, fmt.Sprint("ill", i))
				}
				chunks := map[string]batholith.Chunk{}
				for _, job := range jobs {
					world.plan(job, 100, 100)
					chunks[job] = world.lease(job, "a")[0]
				}
				p := newProcess(world, nil)
				w, stop := start(t, p, t.TempDir(), "a", func(o *Options) {
					o.Open = func(ctx context.Context, job string) (blob.Place, error) {
						place, err := p.open(ctx, job)
						b := ofJob{place.Output, job, func(context.Context) error { return nil }}
						if strings.HasPrefix(job, "ill") {
							b.hinders = hinders
						}
						place.Output = b
						return place, err
					}
				})
				segments := func(from int) {
					for i := from; i < from+3; i++ {
						for _, job := range jobs {
							if err := w.Add(t.Context(), outcome(chunks[job], i, "a")); err != nil {
								t.Fatal(err)
							}
							if err := w.Flush(t.Context(), job); err != nil {
								t.Fatal(err)
							}
						}
					}
				}
				segments(0)
				time.Sleep(mergeStall*10/mergesAtOnce + time.Minute)
				if n := world.level("well"); n != 1 {
					t.Fatalf("%d runs of the job whose bucket is well", n)
				}
				segments(3)
				time.Sleep(time.Second)
				if n := world.level("well"); n != 2 {
					t.Errorf("%d runs of the job whose bucket is well, a second after its second three segments", n)
				}
				stop()
				for _, job := range jobs[1:] {
					if n := world.job(job, "").Counts.Processed; n != 6 {
						t.Errorf("%d outcomes of job %s counted", n, job)
					}
				}
			})
		})
	}
}

// Forty jobs have a bucket that takes nothing and does not answer. A commit of another job waits for none of their repeated attempts.
func TestBucketsThatHangHoldUpNoOtherCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		p := newProcess(world, nil)
		var hang atomic.Bool
		hang.Store(true)
		w, stop := start(t, p, t.TempDir(), "a", func(o *Options) {
			o.Open = func(ctx context.Context, job string) (blob.Place, error) {
				if hang.Load() && strings.HasPrefix(job, "ill") {
					<-ctx.Done()
					return blob.Place{}, context.Cause(ctx)
				}
				return p.open(ctx, job)
			}
		})
		add := func(job string, i int) {
			if err := w.Add(t.Context(), outcome(batholith.Chunk{Job: job, Epoch: 1, Count: 10}, i, "a")); err != nil {
				t.Fatal(err)
			}
		}
		world.plan("well", 10, 10)
		world.lease("well", "a")
		for i := range 40 {
			job := fmt.Sprint("ill", i)
			world.plan(job, 10, 10)
			world.lease(job, "a")
			add(job, 0)
		}
		time.Sleep(3 * attemptTime) // every one of them has failed once
		for i := range 10 {
			add("well", i)
			began := time.Now()
			if err := w.Flush(t.Context(), "well"); err != nil || time.Since(began) > time.Second {
				t.Errorf("a commit took %s beside forty buckets that hang (%v)", time.Since(began), err)
			}
		}
		hang.Store(false)
		stop()
		if n := world.job("well", "").Counts.Processed; n != 10 {
			t.Errorf("%d outcomes counted", n)
		}
	})
}
