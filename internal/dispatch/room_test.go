package dispatch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/memory"
)

// greedy is a backend whose answers grow, a piece in each millisecond.
type greedy struct {
	*server
	pieces int
}

func (g greedy) Do(ctx context.Context, c batholith.Call) ([]byte, error) {
	for range g.pieces {
		if err := c.Room.Grow(ctx, 1<<20); err != nil {
			return nil, err
		}
		time.Sleep(time.Millisecond)
	}
	return g.server.Do(ctx, c)
}

// TestLargeRecordsStayWithinTheBudgetAndAllEnd: forty records of 300 KB whose answers take 30 MiB each want twelve times the budget.
func TestLargeRecordsStayWithinTheBudgetAndAllEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		budget := memory.NewBudget(100 << 20)
		job := w.jobOf("a", 40, 2, func(n int) string { return fmt.Sprintf(`{"n":%d,"x":%q}`, n, strings.Repeat("x", 300_000)) })
		d := w.dispatcher(Options{Room: budget, Drain: time.Second}, greedy{&server{limit: 16, do: func(ctx context.Context, _ string, _ int) ([]byte, error) {
			return wait(ctx, time.Millisecond)
		}}, 30})
		d.Enqueue(job)
		most, stop := int64(0), w.start(d)
		for w.count("a") < 40 {
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if most = max(most, budget.Used()); most > 110<<20 {
				t.Fatalf("%d MiB are held of 100, after %d records", most>>20, w.count("a"))
			}
		}
		stop()
		if most < 60<<20 {
			t.Errorf("at most %d MiB were held: the budget was not used", most>>20)
		}
		w.mu.Lock()
		for _, o := range w.outcomes["a"] { // long lines are held until the sink has committed them
			o.Settled()
		}
		w.mu.Unlock()
		if n := budget.Used(); n != 0 {
			t.Errorf("%d bytes are held by nobody", n)
		}
	})
}
