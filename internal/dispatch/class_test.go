package dispatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// image is an input with an image, which makes a class of its own.
func image(n int) string {
	return fmt.Sprintf(`{"n":%d,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}`, n)
}

// blind is a server that answers text and fails on images, canaries with images included.
func blind(ctx context.Context, body string, _ int) ([]byte, error) {
	if strings.Contains(body, "image") || strings.Contains(body, `"features":1`) {
		time.Sleep(5 * time.Millisecond)
		return nil, &batholith.Failure{Kind: batholith.FailureRetry, Status: 500, Message: "no vision tower", Public: "answered 500", Sent: true}
	}
	return wait(ctx, time.Second)
}

// A class of which nothing is answered, though others are, has its trials spread over ten minutes; then its records end with the server's
// words. Nothing else waits for it.
func TestAClassThatIsNeverAnsweredEndsAfterItsTrials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{limit: 8, do: blind}
		d := w.dispatcher(Options{}, s)
		began := time.Now()
		d.Enqueue(w.jobOf("images", 100, 50, image))
		d.Enqueue(w.job("text", 800, 100))
		defer w.start(d)()
		w.await(800, "text")
		if took := time.Since(began); took > 100*time.Second+7*time.Second {
			t.Errorf("800 texts took %v on 8 slots", took)
		}
		if note := w.note("images"); !strings.Contains(note, "answered 500") {
			t.Errorf("note %q", note)
		}
		if n := w.count("images"); n > 0 {
			t.Errorf("%d images ended before the trials", n)
		}
		all, _ := s.requests()
		w.await(100, "images")
		if took := time.Since(began); took < trialsFor || took > 2*trialsFor {
			t.Errorf("the images ended after %v", took)
		}
		if line := w.line("images-7"); !strings.Contains(line, `"errorCode":500`) || !strings.Contains(line, "no vision tower") {
			t.Errorf("line %q", line)
		}
		if own, sent := w.canaries("images", "text"), s.canariesSent(); own != sent || sent < 10 {
			t.Errorf("%d canaries are on the jobs' accounts, and %d were sent", own, sent)
		}
		if now, _ := s.requests(); now-all > 100+60 {
			t.Errorf("%d requests for 100 images", now-all)
		}
	})
}

// A class that works again goes on at once, and nothing of it is blamed.
func TestAClassThatWorksAgainGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		mended := time.Now().Add(5 * time.Minute)
		s := &server{limit: 8, do: func(ctx context.Context, body string, nth int) ([]byte, error) {
			if time.Now().Before(mended) {
				return blind(ctx, body, nth)
			}
			return wait(ctx, time.Second)
		}}
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.jobOf("images", 100, 50, image))
		defer w.start(d)()
		w.await(100, "images")
		if took := time.Since(mended); took > rareProbe*turns || w.errors("images") > 0 {
			t.Errorf("it took %v, with %d errors", took, w.errors("images"))
		}
	})
}

// Trials rotate: a record is not tried twice in a row while there are others, and jobs take turns.
func TestTrialsRotateOverRecordsAndJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mu sync.Mutex
		var tried []string
		broken := time.Now().Add(3 * time.Second)
		s := &server{limit: 8, do: func(ctx context.Context, body string, _ int) ([]byte, error) {
			if time.Now().Before(broken) {
				return wait(ctx, time.Second)
			}
			mu.Lock()
			defer mu.Unlock()
			if !isCanary(body) && time.Now().After(broken.Add(5*time.Second)) {
				tried = append(tried, body)
			}
			return nil, &batholith.Failure{Kind: batholith.FailureRetry, Status: 500, Public: "answered 500", Sent: true}
		}}
		d := w.dispatcher(Options{}, s)
		for _, job := range []string{"a", "b"} {
			d.Enqueue(w.jobOf(job, 60, 60, func(n int) string { return fmt.Sprintf(`{"job":%q,"n":%d}`, job, n) }))
		}
		defer w.start(d)()
		time.Sleep(time.Hour)
		mu.Lock()
		defer mu.Unlock()
		if len(tried) < 60 {
			t.Fatalf("%d trials in an hour", len(tried))
		}
		for i := 1; i < len(tried); i++ {
			if tried[i] == tried[i-1] {
				t.Errorf("%s is tried twice in a row", tried[i])
			}
		}
		for _, job := range []string{`"job":"a"`, `"job":"b"`} {
			if n := len(slices.DeleteFunc(slices.Clone(tried), func(s string) bool { return !strings.Contains(s, job) })); n < len(tried)/3 {
				t.Errorf("%d of %d trials are of %s", n, len(tried), job)
			}
		}
	})
}

// A request that may have had effects, since the server runs tools for it, is not sent twice.
func TestToolsOfTheServerAreNotRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{limit: 4, do: func(ctx context.Context, body string, nth int) ([]byte, error) {
			switch {
			case strings.Contains(body, "web_search") && nth == 1 && strings.Contains(body, `"n":1,`):
				return nil, &batholith.Failure{Kind: batholith.FailureRetry, Message: "torn"} // not in full
			case strings.Contains(body, "web_search"):
				return nil, &batholith.Failure{Kind: batholith.FailureRetry, Status: 504, Message: "too late", Sent: true}
			}
			return wait(ctx, time.Second)
		}}
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("text", 100, 100))
		d.Enqueue(w.jobOf("tools", 3, 3, func(n int) string { return fmt.Sprintf(`{"n":%d,"tools":["web_search"]}`, n) }))
		defer w.start(d)()
		w.await(3, "tools")
		for n, want := range []int{1, 2, 1} {
			if got := s.askedFor(fmt.Sprintf(`{"n":%d,"tools":["web_search"]}`, n)); got != want {
				t.Errorf("record %d was sent %d times, want %d", n, got, want)
			}
		}
		if line := w.line("tools-0"); !strings.Contains(line, `"errorCode":504,"errorMessage":"too late`) {
			t.Errorf("line %q", line)
		}
	})
}

// A slot is shared by time, whatever the records of a model take; and one that had nothing to send for a while gets no more for that.
func TestModelsShareASlotByItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{limit: 1, do: func(ctx context.Context, body string, _ int) ([]byte, error) {
			if strings.Contains(body, "slow") {
				return wait(ctx, 4*time.Second)
			}
			return wait(ctx, time.Second)
		}}
		d := w.dispatcher(Options{}, s)
		enqueue := func(model string, records int) {
			j := w.jobOf(model, records, 100, func(n int) string { return fmt.Sprintf(`{"%s":%d}`, model, n) })
			j.ModelID = model
			d.Enqueue(j)
		}
		enqueue("slow", 3000)
		enqueue("fast", 400)
		enqueue("brief", 1)
		defer w.start(d)()
		w.await(400, "fast")
		if n := w.count("slow"); n < 98 || n > 104 {
			t.Errorf("in the time of 400 records of a second, another model got %d of four seconds", n)
		}
		time.Sleep(time.Hour)
		before := w.count("slow")
		j := w.jobOf("again", 100, 100, func(n int) string { return fmt.Sprintf(`{"again":%d}`, n) })
		j.ModelID = "brief"
		d.Enqueue(j)
		w.await(100, "again")
		if n := w.count("slow") - before; n < 24 {
			t.Errorf("a model that had nothing to send for an hour got 100 seconds, and the other %d times four", n)
		}
	})
}

// Two models on one server share its lane: its limit holds for both, and both go on.
func TestModelsOfOneServerShareItsLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		s.limit = 6
		d := w.dispatcher(Options{}, s)
		began := time.Now()
		for _, model := range []string{"one", "two"} {
			j := w.job(model, 300, 100)
			j.ModelID = model
			d.Enqueue(j)
		}
		defer w.start(d)()
		w.await(140, "one", "two")
		if took := time.Since(began); took > 60*time.Second {
			t.Errorf("a record of one model waits for those of the other: %v", took)
		}
		w.await(300, "one", "two")
		if most := s.mostAtOnce(); most > 6 {
			t.Errorf("%d in flight, want 6", most)
		}
		if took := time.Since(began); took > 103*time.Second {
			t.Errorf("600 records of a second took %v on 6 slots", took)
		}
	})
}

// A record that fails on one server is sent to the other that has the model.
func TestARecordThatFailsGoesToAnotherServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ill := &server{limit: 4, do: func(ctx context.Context, body string, _ int) ([]byte, error) {
			if strings.HasSuffix(body, "7}") {
				return nil, &batholith.Failure{Kind: batholith.FailureRetry, Status: 500, Sent: true}
			}
			return wait(ctx, time.Second)
		}}
		well := answering(time.Second)
		well.limit = 4
		d := w.dispatcher(Options{}, ill, well)
		d.Enqueue(w.job("a", 300, 100))
		defer w.start(d)()
		w.await(300, "a")
		if w.errors("a") > 0 {
			t.Errorf("%d errors", w.errors("a"))
		}
		for i := range 300 {
			if body := fmt.Sprintf(`{"n":%d}`, i); strings.HasSuffix(body, "7}") && ill.askedFor(body) > 1 {
				t.Errorf("%s was sent %d times to the server that fails on it", body, ill.askedFor(body))
			}
		}
	})
}

// A record that was in flight when a server went away does not wait for that server: the other has the model as well.
func TestARecordOfALostServerGoesToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		gone := time.Now().Add(1500 * time.Millisecond)
		away := &server{limit: 4, do: func(ctx context.Context, _ string, _ int) ([]byte, error) {
			if time.Now().After(gone) {
				return nil, &batholith.Failure{Kind: batholith.FailureUnreachable, Public: "refused"}
			}
			if _, err := wait(ctx, time.Second); err != nil {
				return nil, err
			}
			if time.Now().After(gone) { // it died with these
				return nil, reset()
			}
			return []byte(`"ok"`), nil
		}, probe: func(int) error {
			if time.Now().After(gone) {
				return &batholith.Failure{Kind: batholith.FailureUnreachable, Public: "refused"}
			}
			return nil
		}}
		well := answering(time.Second)
		well.limit = 4
		d := w.dispatcher(Options{}, away, well)
		d.Enqueue(w.job("a", 100, 100))
		began := time.Now()
		defer w.start(d)()
		w.await(100, "a")
		if took := time.Since(began); took > time.Minute || w.errors("a") > 0 {
			t.Errorf("it took %v, with %d errors", took, w.errors("a"))
		}
	})
}

// Canaries are sent for records that wait. When their job is halted there is nothing to find out, and when another comes they go on.
func TestNoCanaryIsSentForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		mended := time.Now().Add(3 * time.Hour)
		s := &server{limit: 4, do: func(ctx context.Context, _ string, _ int) ([]byte, error) {
			if time.Now().Before(mended) {
				return nil, &batholith.Failure{Kind: batholith.FailureRetry, Status: 500, Sent: true}
			}
			return wait(ctx, time.Second)
		}}
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 100, 100))
		defer w.start(d)()
		time.Sleep(time.Hour)
		if s.canariesSent() < 50 {
			t.Errorf("%d canaries in an hour", s.canariesSent())
		}
		if err := d.Halt(t.Context(), "a", batholith.ErrStopped); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		sent := s.canariesSent()
		time.Sleep(time.Hour)
		if n := s.canariesSent() - sent; n > 1 {
			t.Errorf("%d canaries for nobody", n)
		}
		d.Enqueue(w.job("b", 100, 100))
		time.Sleep(time.Minute)
		if n := s.canariesSent() - sent; n < 2 {
			t.Errorf("%d canaries for the next job", n)
		}
		w.await(100, "b")
		if w.errors("b") > 0 {
			t.Errorf("%d errors", w.errors("b"))
		}
	})
}

// A shutdown does not wait for a canary: nobody needs its answer any more.
func TestAShutdownCallsCanariesOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{limit: 4, do: func(ctx context.Context, body string, _ int) ([]byte, error) {
			if isCanary(body) {
				return wait(ctx, time.Hour)
			}
			return nil, &batholith.Failure{Kind: batholith.FailureMisconfigured, Status: 401, Sent: true}
		}}
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 10, 10))
		stop := w.start(d)
		time.Sleep(10 * time.Second)
		before := time.Now()
		stop()
		if took := time.Since(before); took > time.Second {
			t.Errorf("the shutdown took %v", took)
		}
	})
}

// A record that was refused while its class was paused, and had to wait for that, is refused in the ledger as others are.
func TestARecordThatIsRefusedInAPauseEndsAsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{limit: 4, do: func(ctx context.Context, body string, _ int) ([]byte, error) {
			if isCanary(body) {
				return wait(ctx, 100*time.Millisecond)
			}
			return nil, &batholith.Failure{Kind: batholith.FailureBadRecord, Status: 422, Message: "no", Public: "answered 422", Sent: true}
		}}
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 60, 60))
		defer w.start(d)()
		w.await(60, "a")
		if s.canariesSent() == 0 {
			t.Error("nothing was paused")
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for key, o := range w.outcomes["a"] {
			if o.Kind != batholith.OutcomeRefused || o.Attempts == 0 {
				t.Errorf("record %d is of kind %d after %d attempts", key.Record, o.Kind, o.Attempts)
			}
		}
	})
}

// A class that had its trials in vain is ended record by record only as long as the server answers others: an outage for everybody after it
// costs no record of it an error line.
func TestAnOutageCostsNoRecordOfAClassThatHadItsTrials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		began := time.Now()
		broken := func() bool { up := time.Since(began); return up > time.Hour && up < 2*time.Hour }
		s := &server{limit: 8, do: func(ctx context.Context, body string, nth int) ([]byte, error) {
			if broken() {
				return nil, &batholith.Failure{Kind: batholith.FailureRetry, Status: 500, Public: "answered 500", Sent: true}
			}
			if time.Since(began) > 2*time.Hour {
				return wait(ctx, time.Second)
			}
			return blind(ctx, body, nth)
		}}
		d := w.dispatcher(Options{Lease: time.Minute}, s)
		d.Enqueue(w.jobOf("before", 100, 50, image))
		defer w.start(d)()
		w.await(100, "before")
		time.Sleep(time.Until(began.Add(time.Hour + time.Minute)))
		d.Enqueue(w.jobOf("after", 200, 50, image))
		time.Sleep(50 * time.Minute)
		if n := w.count("after"); n > 0 {
			t.Errorf("%d records ended in the outage", n)
		}
		w.await(200, "after")
		if n := w.errors("after"); n > 0 {
			t.Errorf("%d records ended with an error", n)
		}
	})
}

// Servers put other numbers, ids and names into each refusal. Twenty records that are refused with one status are refused alike all the same.
func TestRefusalsInOtherWordsAreRefusalsAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		mended := time.Now().Add(30 * time.Minute)
		s := &server{limit: 4, do: func(ctx context.Context, body string, _ int) ([]byte, error) {
			if time.Now().Before(mended) {
				return nil, &batholith.Failure{Kind: batholith.FailureBadRecord, Status: 400, Message: "request " + body + " is malformed", Public: "answered 400", Sent: true}
			}
			return wait(ctx, time.Second)
		}}
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 200, 100))
		defer w.start(d)()
		w.await(200, "a")
		if n := w.errors("a"); n >= refusedAlike+4 {
			t.Errorf("%d records ended with the fault of the server", n)
		}
	})
}
