package dispatch

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

func expiring(j batholith.Job, in time.Duration) batholith.Job {
	j.Expires = time.Now().Add(in)
	return j
}

func TestAJobNearItsTimeoutGoesFirstIfThatSavesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		s.limit = 20
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("first", 20_000, 500))
		defer w.start(d)()
		time.Sleep(time.Minute) // the rate is known
		// Alone it takes 500 s, and without the quarter that is another's 667.
		d.Enqueue(expiring(w.job("near", 10_000, 500), 640*time.Second))
		began := time.Now()
		before := w.count("first")
		w.await(10_000, "near")
		if took := time.Since(began); took > 640*time.Second {
			t.Errorf("it took %s and had 640 s", took)
		}
		if w.count("first") < before+500 {
			t.Errorf("the other got %d records meanwhile", w.count("first")-before)
		}
		if note := w.note("near"); note != "" {
			t.Errorf("note %q on a job that was in time", note)
		}
	})
}

func TestAJobThatWillBeLateIsToldSoAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		s.limit = 20
		d := w.dispatcher(Options{}, s)
		d.Enqueue(expiring(w.job("late", 20_000, 500), 600*time.Second))
		d.Enqueue(w.job("other", 2_000, 500))
		defer w.start(d)()
		w.await(2_000, "other")
		if n := w.count("late"); n > 1500 {
			t.Errorf("%d records of the job that cannot be saved went before", n)
		}
		time.Sleep(time.Minute)
		if note := w.note("late"); !strings.Contains(note, "after its timeout at") {
			t.Errorf("note %q", note)
		}
	})
}

func TestTheForecastIsHonest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		s.limit = 20
		d := w.dispatcher(Options{}, s)
		began := time.Now()
		for i, n := range []int{8000, 6000, 2000} {
			d.Enqueue(w.job(fmt.Sprint(i), n, 500))
		}
		defer w.start(d)()
		time.Sleep(time.Minute)
		var said [3]time.Time
		for i := range said {
			fc, ok := d.Forecast(fmt.Sprint(i))
			if !ok || fc.Late {
				t.Fatalf("forecast %+v, %v", fc, ok)
			}
			said[i] = fc.End
		}
		for _, i := range []int{2, 1, 0} {
			w.await([]int{8000, 6000, 2000}[i], fmt.Sprint(i))
			off := time.Since(said[i]).Abs()
			if whole := time.Since(began); off > whole/10+5*time.Second {
				t.Errorf("job %d ended %s from what was said; it took %s", i, off, whole)
			}
		}
	})
}

func TestForecastsOfSeveralJobsFollowTheQueue(t *testing.T) {
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-6 }
	for _, c := range []struct {
		name  string
		loads []load
		want  []expectation
	}{
		{"one", []load{{"a", normal, 100}}, []expectation{{0, 10}}},
		{"two tenants", []load{{"a", normal, 100}, {"b", normal, 50}}, []expectation{{0, 15}, {0, 10}}},
		{"the shortest gets three quarters, the oldest one", []load{{"a", normal, 100}, {"a", normal, 30}}, []expectation{{0, 13}, {0, 4}}},
		{"who is neither waits", []load{{"a", normal, 100}, {"a", normal, 60}, {"a", normal, 30}}, []expectation{{0, 19}, {4, 12}, {0, 4}}},
		{"priorities", []load{{"a", high, 80}, {"a", normal, 20}}, []expectation{{0, 10}, {0, 10}}},
		{"nothing left", []load{{"a", normal, 0}, {"a", normal, 10}}, []expectation{{math.Inf(1), 0}, {0, 1}}},
	} {
		got := expect(c.loads, 10)
		for i, want := range c.want {
			if !near(got[i].end, want.end) || !near(got[i].begin, want.begin) && got[i].begin != want.begin {
				t.Errorf("%s: job %d: %+v, want %+v", c.name, i, got[i], want)
			}
		}
	}
}
