package dispatch

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// capped is a job whose records take 11 tokens each, and may take 20 of an answer.
func (w *world) capped(records int) batholith.Job {
	return w.jobOf("a", records, 10, func(n int) string { return fmt.Sprintf(`{"max_tokens":20,"n":%d,"tokens":10}`, n) })
}

func caps(tokens int64) func(batholith.Job) ([]batholith.Cap, batholith.Price) {
	return func(batholith.Job) ([]batholith.Cap, batholith.Price) {
		return []batholith.Cap{{Name: "the cap of the tag batholith:max-tokens", Tokens: tokens}}, batholith.Price{}
	}
}

// What is stored and reserved never exceeds the cap; when it is reached, the job is paused, and goes on after the cap was raised.
func TestACapIsNeverExceededAndPausesTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		s.limit = 8
		o := Options{Caps: caps(600), Sample: sampling(4)}
		d := w.dispatcher(o, s)
		d.Enqueue(w.capped(200))
		stop := w.start(d)
		time.Sleep(time.Hour)
		why := w.pauseOf("a")
		for _, part := range []string{"the cap of the tag batholith:max-tokens is reached: ", "of 600 tokens are used or reserved", "raise the tag"} {
			if !strings.Contains(why.Reason, part) {
				t.Errorf("the reason lacks %q: %s", part, why.Reason)
			}
		}
		took := int64(11 * w.count("a"))
		if w.mostReserved > 600 || took < 400 || took > 600 || s.busy() != 0 {
			t.Errorf("%d tokens were reserved at most, %d taken, of 600; %d in flight", w.mostReserved, took, s.busy())
		}
		if err := d.Rest(t.Context(), "a"); err != nil || w.leased("a") > 0 || len(w.reserved) > 0 {
			t.Errorf("%v, %d chunks leased, reserved %v", err, w.leased("a"), w.reserved)
		}
		stop()
		o.Caps = caps(1_000_000)
		d = w.dispatcher(o, s)
		d.Enqueue(w.jobAgain("a"))
		defer w.start(d)()
		w.await(200, "a")
		if _, repeated := s.requests(); repeated != 0 || len(w.twice) > 0 {
			t.Errorf("%d repeated, twice %v", repeated, w.twice)
		}
	})
}

// A cap that no record fits in pauses the job before the first.
func TestACapThatNothingFitsInSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		d := w.dispatcher(Options{Caps: caps(20)}, s)
		d.Enqueue(w.capped(20))
		defer w.start(d)()
		time.Sleep(time.Hour)
		if n, _ := s.requests(); n != 0 || w.pauseOf("a") == (batholith.Pause{}) {
			t.Errorf("%d requests, held %+v", n, w.pauseOf("a"))
		}
	})
}
