package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// tried counts the objects that try an output out, and denies all writes while it is told to.
type tried struct {
	blob.Bucket
	tries  *atomic.Int64
	denied *atomic.Bool
}

func (b tried) Put(ctx context.Context, key string, body []byte) error {
	if strings.HasSuffix(key, "/access") {
		b.tries.Add(1)
	}
	if b.denied.Load() {
		return fmt.Errorf("write %s: %w", key, batholith.ErrAccessDenied)
	}
	return b.Bucket.Put(ctx, key, body)
}

// An output that was written to a moment ago is not tried out again for the next job; one that was denied since fails that job in the same
// words, and is tried out from then on.
func TestAnOutputIsTriedOutOncePerMinuteAndRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.look = time.Hour
		w.put("a.jsonl", records(3))
		var tries atomic.Int64
		var denied atomic.Bool
		w.options = func(o *Options) {
			place := o.Place
			o.Place = func(ctx context.Context, j batholith.Job) (blob.Place, error) {
				p, err := place(ctx, j)
				p.Output = tried{p.Output, &tries, &denied}
				return p, err
			}
		}
		defer w.start()()
		n := 0
		job := func() batholith.Job {
			n++
			id := fmt.Sprintf("job%09d", n)
			w.create(id, "a.jsonl")
			time.Sleep(10 * time.Second) // virtual: longer than a denial is tried again in validation
			synctest.Wait()
			return w.job(id)
		}
		for range 3 {
			if j := job(); j.Status != batholith.StatusScheduled {
				t.Fatalf("a job is %s: %s", j.Status, j.Message)
			}
		}
		if got := tries.Load(); got != 1 {
			t.Errorf("the output was tried out %d times for three jobs of half a minute", got)
		}
		denied.Store(true)
		if j := job(); j.Status != batholith.StatusFailed || !strings.Contains(j.Message, "Could not validate PutObject permissions") {
			t.Errorf("a job whose output is denied is %s: %s", j.Status, j.Message)
		}
		if got := tries.Load(); got < 2 {
			t.Error("an output that was denied is not tried out")
		}
		denied.Store(false)
		before := tries.Load()
		job()
		if got := tries.Load(); got != before+1 {
			t.Errorf("after a denial the output was tried out %d times", got-before)
		}
		time.Sleep(2 * proofTime)
		job()
		if got := tries.Load(); got != before+2 {
			t.Errorf("two minutes later the output was tried out %d times", got-before-1)
		}
	})
}
