package dispatch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/simlm"
)

// take acquires as many slots as there are, and sends a request under each.
func take(l *limiter) (flights []flight) {
	for {
		if _, ok := l.try(); !ok {
			return flights
		}
		flights = append(flights, l.begin())
	}
}

// refuse ends requests with back-pressure.
func refuse(l *limiter, flights []flight, after time.Duration) {
	for _, f := range flights {
		l.land(&f)
		l.refused(f, after)
		l.release()
	}
}

// answer ends requests with answers that say nothing of goodput.
func answer(l *limiter, flights []flight) {
	for _, f := range flights {
		l.land(&f)
		l.succeeded(f, 0)
		l.release()
	}
}

func TestTheConfiguredLimitStandsWhateverHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(5)
		l.publish(100)
		l.resume(100)
		for range 100 {
			flights := take(l)
			if len(flights) != 5 {
				t.Fatalf("%d in flight, want the 5 that are configured", len(flights))
			}
			l.gauge(batholith.Gauges{Running: 5})
			refuse(l, flights[:1], 0)
			time.Sleep(100 * time.Millisecond)
			answer(l, flights[1:])
			time.Sleep(100 * time.Millisecond)
		}
	})
}

func TestWhatAServerTookAtARefusalIsTheLimitFromThenOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0)
		const holds = 10
		flights := take(l)
		refuse(l, flights[holds:], 0)
		for range 100 { // less than the quiet time
			time.Sleep(150 * time.Millisecond)
			if more := take(l); len(more) > 0 {
				t.Fatalf("%d more were sent to a server that holds %d", len(more), holds)
			}
			answer(l, flights[:1])
			flights = append(flights[1:holds], take(l)...)
			if len(flights) != holds {
				t.Fatalf("%d are in flight, and the server was seen to take %d", len(flights), holds)
			}
		}
		time.Sleep(firstQuiet - 15*time.Second + riseEvery)
		if more := take(l); len(more) == 0 || len(more) > 4 {
			t.Errorf("after the quiet time %d more were tried, want a few", len(more))
		}
	})
}

func TestRefusalsOfOneWindowAreOneDecrease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0)
		flights := take(l)
		time.Sleep(50 * time.Millisecond)
		const many = 5 // more than may be stray ones
		refuse(l, flights[:many], 0)
		flights = flights[many:]
		before := l.sample().Limit
		if before >= firstLimit {
			t.Errorf("the limit is %d after %d refusals in a row", before, many)
		}
		for range 4 {
			time.Sleep(200 * time.Millisecond)
			answer(l, flights[:1])
			flights = append(flights[1:], take(l)...)
			refuse(l, flights[len(flights)-1:], 0)
			flights = flights[:len(flights)-1]
		}
		if now := l.sample().Limit; now != before {
			t.Errorf("the limit fell from %d to %d within a window", before, now)
		}
	})
}

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

// A server that refuses now and then for reasons of its own would leave nothing if each refusal were believed.
func TestRefusalsAtRandomDoNotTakeTheLimitAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0)
		random := rand.New(rand.NewPCG(1, 2))
		var flights []flight
		for range 3000 { // five minutes
			flights = append(flights, take(l)...)
			time.Sleep(100 * time.Millisecond)
			n := min(len(flights), 4)
			if random.IntN(25) == 0 && n > 0 {
				refuse(l, flights[:1], 0)
				flights, n = flights[1:], n-1
			}
			answer(l, flights[:n])
			flights = flights[n:]
		}
		if n := l.sample().Limit; n < firstLimit*8/10 {
			t.Errorf("one refusal in a hundred requests left a limit of %d", n)
		}
	})
}

func TestAServerThatRefusesEverythingIsAskedLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0)
		sent := 0
		for began := time.Now(); time.Since(began) < 5*time.Minute; time.Sleep(10 * time.Millisecond) {
			flights := take(l)
			sent += len(flights)
			refuse(l, flights, 0)
		}
		if sent > 400 {
			t.Errorf("%d requests in five minutes", sent)
		}
		l.refused(flight{}, time.Hour)
		if wait, ok := l.try(); ok || wait > 2*maxPause {
			t.Errorf("an hour was asked for: waits %s, sends %v", wait, ok)
		}
	})
}

func TestAfterAnOutageOneAtATimeUntilOneSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, configured := range []int{0, 7} {
			l := newLimiter(configured)
			l.retrial()
			for range 3 {
				flights := take(l)
				if len(flights) != 1 || !l.onTrial() {
					t.Fatalf("%d in flight on trial", len(flights))
				}
				l.land(&flights[0])
				l.release()
			}
			answer(l, take(l))
			if n := len(take(l)); l.onTrial() || n < 7 {
				t.Errorf("%d in flight after a success", n)
			}
		}
	})
}

// The gauges show an idle server when outcomes cannot be written: more requests would only wait for the same.
func TestOutcomesThatCannotBeWrittenDoNotRaiseTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0)
		l.resume(100)
		flights := take(l)
		l.gauge(batholith.Gauges{Running: 80})
		for i := range 100 {
			for _, f := range flights {
				l.land(&f)
				l.succeeded(f, 1) // and its slot is not released
			}
			time.Sleep(readEvery)
			l.gauge(batholith.Gauges{Running: i % 2})
			flights = take(l)
		}
		if n := l.sample().Limit; n > 200 {
			t.Errorf("the limit rose to %d while nothing was written", n)
		}
	})
}

func TestGaugesThatFailLeaveTheLimitWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, simlm.Options{Engine: simlm.EngineVLLM, Slots: 64}, nil)
		r.run(20 * time.Second)
		before := r.lane.limit.sample()
		r.lane.limit.blind()
		if now := r.lane.limit.sample(); before.Source != "gauges" || now.Source != "goodput" || now.Limit != before.Limit {
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

func TestWhatWasFoundIsRememberedOverARestart(t *testing.T) {
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
			if n := third.lane.limit.sample().Limit; n != firstLimit {
				t.Errorf("a week later it begins with %d", n)
			}
		})
	}
}

// Goodput by Little's law is even where the lengths of answers are not.
func TestGoodputIsToldByFewAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(3, 4))
		const slots, perSecond = 32, 50.0
		var w period
		w.reset(slots)
		var ends []time.Duration
		var work []float64
		draw := func(at time.Duration) {
			n := 10 + 400*random.Float64()*random.Float64()
			work = append(work, n)
			ends = append(ends, at+time.Duration(n/perSecond*float64(time.Second)))
		}
		began := time.Now()
		for range slots {
			draw(0)
		}
		sent := make([]time.Duration, slots)
		w.pass(began, slots, slots)
		for w.n < 64 {
			i := 0
			for j := range ends {
				if ends[j] < ends[i] {
					i = j
				}
			}
			at := ends[i]
			w.pass(began.Add(at), slots, slots)
			w.add(began.Add(at), flight{sent: began.Add(sent[i]), took: at - sent[i]}, work[i])
			n := len(work)
			draw(at)
			ends[i], work[i], sent[i] = ends[n], work[n], at
			ends, work = ends[:n], work[:n]
		}
		goodput, held := w.close()
		if ratio := goodput / (slots * perSecond); ratio < 0.99 || ratio > 1.01 || held != slots {
			t.Errorf("goodput is %.3f of what it is, with %.1f held", ratio, held)
		}
	})
}

// A server that is through with everything at once says of itself that nothing runs. Of one that is far away the same is seen, while the
// requests are on their way.
func TestMoreThatIsOnItsWayMustBringMoreBack(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(sent int) int // of what is in flight, in a quarter of a second
		limit  int                // at least, and at most
		most   int
	}{
		{"this process does what it can", func(int) int { return 30 }, firstLimit, 4 * firstLimit},
		{"the server is far away", func(sent int) int { return sent }, lastLimit, lastLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(0)
				l.gauge(batholith.Gauges{})
				flights := take(l)
				for range 100 {
					time.Sleep(readEvery)
					n := min(c.answer(len(flights)), len(flights))
					answer(l, flights[:n])
					flights = append(flights[n:], take(l)...)
					l.gauge(batholith.Gauges{})
				}
				if got := l.size(); got < c.limit || got > c.most {
					t.Errorf("limit %d, want %d to %d", got, c.limit, c.most)
				}
			})
		})
	}
}
