package dispatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// sampling sends n records of each job first.
func sampling(n int) func(batholith.Job) int { return func(batholith.Job) int { return n } }

// refusing answers a record if good says so, and refuses it otherwise.
func refusing(good func(body string) bool) *server {
	return &server{limit: 4, do: func(ctx context.Context, body string, _ int) ([]byte, error) {
		answer, err := wait(ctx, time.Second)
		if err == nil && !good(body) {
			return nil, &batholith.Failure{Kind: batholith.FailureBadRecord, Status: 400, Message: "no such tool in " + body, Sent: true}
		}
		return answer, err
	}}
}

// A job whose first records all fail alike is paused with a note, and nothing else of it is sent; resumed, it goes on without another sample.
func TestAJobWhoseSampleFailsAlikeIsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), refusing(func(body string) bool { return isCanary(body) })
		d := w.dispatcher(Options{Sample: sampling(6)}, s)
		d.Enqueue(w.job("a", 100, 10))
		defer w.start(d)()
		w.await(6, "a")
		time.Sleep(time.Hour)
		if n, _ := s.requests(); n != 6 || w.count("a") != 6 {
			t.Errorf("%d requests, %d outcomes", n, w.count("a"))
		}
		why := w.pauseOf("a")
		for _, part := range []string{"the first 6 records, spread over the input, all failed in the same way, for example: 400", "no such tool", "The other 94 were not sent", "batholith stop a"} {
			if !strings.Contains(why.Reason, part) {
				t.Errorf("the reason lacks %q: %s", part, why.Reason)
			}
		}
		var numbers []string
		for body := range s.asked {
			numbers = append(numbers, body)
		}
		slices.Sort(numbers)
		if want := []string{`{"n":0}`, `{"n":10}`, `{"n":30}`, `{"n":50}`, `{"n":60}`, `{"n":80}`}; !slices.Equal(numbers, want) {
			t.Errorf("the sample is %v, want %v", numbers, want)
		}
		if err := d.Rest(t.Context(), "a"); err != nil || w.leased("a") > 0 {
			t.Errorf("%v, %d chunks leased", err, w.leased("a"))
		}
		s.do = func(ctx context.Context, _ string, _ int) ([]byte, error) { return wait(ctx, time.Second) }
		d.Enqueue(w.jobAgain("a"))
		w.await(100, "a")
		if _, repeated := s.requests(); repeated != 0 || w.errors("a") != 6 {
			t.Errorf("%d repeated, %d errors", repeated, w.errors("a"))
		}
	})
}

// One answer, or two kinds of failure, are enough to send the rest; every record is sent once.
func TestAJobWhoseSampleIsMixedGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		good   func(body string) bool
		job    func(w *world) batholith.Job
		errors int
	}{
		"all answered": {func(string) bool { return true }, func(w *world) batholith.Job { return w.job("a", 100, 10) }, 0},
		"one answered": {func(body string) bool { return body == `{"n":60}` || isCanary(body) }, func(w *world) batholith.Job { return w.job("a", 100, 10) }, 99},
		"two failures": {func(body string) bool { return isCanary(body) }, func(w *world) batholith.Job {
			return w.jobOf("a", 100, 10, func(n int) string {
				return fmt.Sprintf(`{"n":%d,"x":"%s"}`, n, map[bool]string{true: "impossible"}[n == 30])
			})
		}, 100},
		"one small chunk": {func(string) bool { return true }, func(w *world) batholith.Job { return w.job("a", 3, 10) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(t), refusing(c.good)
				d := w.dispatcher(Options{Sample: sampling(6)}, s)
				job := c.job(w)
				d.Enqueue(job)
				defer w.start(d)()
				w.await(int(job.Counts.Total), "a")
				if n, repeated := s.requests(); repeated != 0 || n < int(job.Counts.Total)-1 || w.errors("a") != c.errors || w.pauseOf("a") != (batholith.Pause{}) {
					t.Errorf("%d requests, %d repeated, %d errors, held %+v", n, repeated, w.errors("a"), w.pauseOf("a"))
				}
			})
		})
	}
}

// After a crash, the next owner sends what is left of the sample; an answer that was committed before passes it.
func TestASampleGoesOnAfterACrash(t *testing.T) {
	for _, answered := range []int64{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			w, s := newWorld(t), refusing(func(body string) bool { return isCanary(body) })
			d := w.dispatcher(Options{Sample: sampling(6)}, s)
			w.job("a", 100, 10)
			w.chunks["a"][0].Done.Set(0) // record 0 is of the sample
			job := w.jobAgain("a")
			job.Counts.Succeeded, job.Counts.Errored = answered, 1-answered
			d.Enqueue(job)
			defer w.start(d)()
			w.await(5, "a")
			time.Sleep(time.Hour)
			held := w.pauseOf("a") != (batholith.Pause{})
			if n, _ := s.requests(); held != (answered == 0) || held && n != 5 || !held && n != 99 {
				t.Errorf("%d answered before: %d requests, held %t", answered, n, held)
			}
		})
	}
}
