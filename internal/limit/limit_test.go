package limit

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// quarter is the time between two readings of the gauges.
const quarter = 250 * time.Millisecond

// take acquires as many slots as there are, and sends a request under each. It waits for as long as that is only a matter of pace.
func take(l *Limiter) (flights []Flight) {
	for {
		wait, ok := l.TryAcquire()
		if wait > 0 && wait < 10*time.Millisecond {
			time.Sleep(wait)
			continue
		}
		if !ok {
			return flights
		}
		flights = append(flights, l.Begin())
	}
}

// refuse ends requests with back-pressure.
func refuse(l *Limiter, flights []Flight, after time.Duration) {
	for _, f := range flights {
		l.Land(&f)
		l.Refused(f, after)
		l.Release()
	}
}

// answer ends requests with answers that say nothing of goodput.
func answer(l *Limiter, flights []Flight) {
	for _, f := range flights {
		l.Land(&f)
		l.Succeeded(f, 0)
		l.Release()
	}
}

func TestTheConfiguredLimitStandsWhateverHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(5)
		l.Publish(100)
		l.Resume(100)
		for range 100 {
			flights := take(l)
			if len(flights) != 5 {
				t.Fatalf("%d in flight, want the 5 that are configured", len(flights))
			}
			l.Gauge(batholith.Gauges{Running: 5})
			refuse(l, flights[:1], 0)
			time.Sleep(100 * time.Millisecond)
			answer(l, flights[1:])
			time.Sleep(firstRest) // of the refused request's slot
		}
	})
}

func TestAServerThatRefusesEverythingIsAskedLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(0)
		sent := 0
		for began := time.Now(); time.Since(began) < 5*time.Minute; time.Sleep(10 * time.Millisecond) {
			flights := take(l)
			sent += len(flights)
			refuse(l, flights, 0)
		}
		if sent > 400 {
			t.Errorf("%d requests in five minutes", sent)
		}
		time.Sleep(lastRepeat * 2)
		refuse(l, take(l), time.Hour)
		if wait, ok := l.TryAcquire(); ok || wait < maxPause || wait > 2*maxPause {
			t.Errorf("an hour was asked for: waits %s, sends %v", wait, ok)
		}
	})
}

func TestAfterAnOutageOneAtATimeUntilOneSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, configured := range []int{0, 7} {
			l := New(configured)
			l.Retrial()
			for range 3 {
				flights := take(l)
				if len(flights) != 1 || !l.OnTrial() {
					t.Fatalf("%d in flight on trial", len(flights))
				}
				l.Land(&flights[0])
				l.Release()
			}
			answer(l, take(l))
			if n := len(take(l)); l.OnTrial() || n < 7 {
				t.Errorf("%d in flight after a success", n)
			}
		}
	})
}

// The gauges show an idle server when outcomes cannot be written: more requests would only wait for the same.
func TestOutcomesThatCannotBeWrittenDoNotRaiseTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(0)
		l.Resume(100)
		flights := take(l)
		l.Gauge(batholith.Gauges{Running: 80})
		for i := range 100 {
			for _, f := range flights {
				l.Land(&f)
				l.Succeeded(f, 1) // and its slot is not released
			}
			time.Sleep(quarter)
			l.Gauge(batholith.Gauges{Running: i % 2})
			flights = take(l)
		}
		if n := l.Sample().Limit; n > 200 {
			t.Errorf("the limit rose to %d while nothing was written", n)
		}
	})
}

// Goodput by Little's law is even where the lengths of answers are not.
func TestGoodputIsToldByFewAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(3, 4))
		const slots, perSecond = 32, 50.0
		var w period
		w.reset(slots, slots)
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
			w.add(began.Add(at), Flight{sent: began.Add(sent[i]), took: at - sent[i]}, work[i])
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
		{"this process does what it can", func(int) int { return 30 }, First, 4 * First},
		{"the server is far away", func(sent int) int { return sent }, Last, Last},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(0)
				l.Gauge(batholith.Gauges{})
				flights := take(l)
				for range 100 {
					time.Sleep(quarter)
					n := min(c.answer(len(flights)), len(flights))
					answer(l, flights[:n])
					flights = append(flights[n:], take(l)...)
					l.Gauge(batholith.Gauges{})
				}
				if got := l.Size(); got < c.limit || got > c.most {
					t.Errorf("limit %d, want %d to %d", got, c.limit, c.most)
				}
			})
		})
	}
}
