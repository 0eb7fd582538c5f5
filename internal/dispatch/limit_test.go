package dispatch

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/raced"
	"github.com/batholith/batholith/internal/simlm"
)

func TestAStrayRefusalMakesItsOwnRequestWaitAndNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(100*time.Millisecond)
		usual := s.do
		s.do = func(ctx context.Context, body string, nth int) ([]byte, error) {
			if strings.HasSuffix(body, `7}`) && len(body)%2 == 0 && nth <= 2 { // some of a hundred, and of the rest nobody
				return nil, &batholith.Failure{Kind: batholith.FailureBackPressure, Status: http.StatusTooManyRequests}
			}
			return usual(ctx, body, nth)
		}
		s.limit = 16
		began := time.Now()
		d := w.dispatcher(Options{Attempts: 1}, s)
		d.Enqueue(w.jobOf("a", 2000, 100, func(n int) string {
			if n%50 == 7 {
				return fmt.Sprintf(`{"n":"x%04d","m":7}`, n)
			}
			return fmt.Sprintf(`{"n":"%d","m":0}`, n)
		}))
		defer w.start(d)()
		w.await(2000, "a")
		if n := w.errors("a"); n > 0 {
			t.Errorf("%d errors", n)
		}
		ideal := 2000 / 16 * 100 * time.Millisecond
		if took := time.Since(began); took > ideal*5/4 {
			t.Errorf("it took %s, and %s without the refusals", took, ideal)
		}
	})
}

func TestGaugesThatFailLeaveTheLimitWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, simlm.Options{Engine: simlm.EngineVLLM, Slots: 64}, nil)
		r.run(20 * time.Second)
		before := r.lane.limit.Sample()
		r.lane.limit.Blind()
		if now := r.lane.limit.Sample(); before.Source != "gauges" || now.Source != "goodput" || now.Limit != before.Limit {
			t.Errorf("from %+v to %+v", before, now)
		}
	})
}

// recollection is a Memory of one backend.
type recollection struct{ kept []batholith.Learned }

func (m *recollection) Learned(context.Context, string, string) (batholith.Learned, error) {
	if len(m.kept) == 0 {
		return batholith.Learned{}, batholith.ErrNotFound
	}
	return m.kept[len(m.kept)-1], nil
}

func (m *recollection) Learn(_ context.Context, l batholith.Learned) error {
	m.kept = append(m.kept, l)
	return nil
}

func TestALearnedLimitSurvivesARestart(t *testing.T) {
	raced.Skip(t)
	for _, engine := range []simlm.Engine{simlm.EngineVLLM, simlm.EngineNone} {
		synctest.Test(t, func(t *testing.T) {
			o, m := simlm.Options{Engine: engine, Slots: 256}, &recollection{}
			first := newRig(t, o, m)
			first.run(70 * time.Second)
			if len(m.kept) == 0 || len(m.kept) > 3 {
				t.Fatalf("kept %+v", m.kept)
			}
			l := m.kept[len(m.kept)-1]
			if l.Limit < 257 || l.Limit > 330 || l.Backend != "sim" || l.Model != "m" {
				t.Errorf("kept %+v of a server of 256 slots", l)
			}
			second := newRig(t, o, m)
			second.run(40 * time.Second)
			p := second.picture(10*time.Second, 0)
			if began := second.trace[0].Limit; began < l.Limit*3/4 || p.busy < 0.97 || p.inFlight > 1.5 {
				t.Errorf("%s: the second began with %d: %+v", engine, began, p)
			}
			time.Sleep(forgetAfter)
			third := newRig(t, o, m)
			third.lane.learn(t.Context())
			if n := third.lane.limit.Sample().Limit; n != limit.First {
				t.Errorf("a week later it begins with %d", n)
			}
		})
	}
}

func TestInFlightCountsTheRequestsAtTheServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		s.limit = 16
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 160, 50))
		defer w.start(d)()
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		if n := d.InFlight(); n != 16 {
			t.Errorf("%d in flight while 16 slots are busy", n)
		}
		w.await(160, "a")
		synctest.Wait()
		if n := d.InFlight(); n != 0 {
			t.Errorf("%d in flight after the last answer", n)
		}
	})
}
