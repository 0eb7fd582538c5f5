package dispatch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// stand is a server that is a standby.
type stand struct{ *server }

func (stand) Standby() bool { return true }

// TestAStandbyWorksOnlyWhileNoOtherServerCan: it gets nothing while the first server can be used, everything while that one is away, and
// nothing again afterwards. All records are answered.
func TestAStandbyWorksOnlyWhileNoOtherServerCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		began := time.Now()
		away := func() bool { d := time.Since(began); return d > time.Minute && d < 10*time.Minute }
		unreachable := &batholith.Failure{Kind: batholith.FailureUnreachable, Public: "no connection"}
		first := &server{limit: 2, do: func(ctx context.Context, _ string, _ int) ([]byte, error) {
			if away() {
				return nil, unreachable
			}
			return wait(ctx, time.Second)
		}, probe: func(int) error {
			if away() {
				return unreachable
			}
			return nil
		}}
		second := answering(time.Second)
		second.limit = 2
		d := w.dispatcher(Options{}, first, &stand{second})
		d.Enqueue(w.job("j", 1600, 100))
		stop := w.start(d)
		w.await(1600, "j")
		stop()
		during := 0
		for _, at := range second.times {
			switch d := at.Sub(began); {
			case d < time.Minute, d > 11*time.Minute: // the first server is probed again within a quarter of the outage
				t.Errorf("the standby got a request after %s", d)
			default:
				during++
			}
		}
		if during < 500 || w.errors("j") > 0 {
			t.Errorf("the standby got %d requests in nine minutes, and %d records ended with an error", during, w.errors("j"))
		}
	})
}
