package simlm

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// attempt asks and tells the status, or 0 when the connection broke.
func attempt(ctx context.Context, h http.Handler, path, body string) (w *httptest.ResponseRecorder, status int) {
	w = httptest.NewRecorder()
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			status = 0
		} else if p != nil {
			panic(p)
		}
	}()
	h.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)).WithContext(ctx))
	return w, w.Code
}

// TestAFaultOfAPromptIsAlwaysTheSame: what fails by its content fails however often it is asked, and the others never do.
func TestAFaultOfAPromptIsAlwaysTheSame(t *testing.T) {
	s := New(Options{Faults: []Fault{{Kind: "403", Share: 0.1}, {Kind: FaultReset, Share: 0.1}, {Kind: "599", Share: 0.1}}})
	got := map[int]int{}
	const n = 1000
	for i := range n {
		body := chatBody(fmt.Sprint(i))
		_, first := attempt(t.Context(), s, "/v1/chat/completions", body)
		for range 3 {
			if _, again := attempt(t.Context(), s, "/v1/chat/completions", body); again != first {
				t.Fatalf("prompt %d had %d and then %d", i, first, again)
			}
		}
		got[first]++
	}
	for _, status := range []int{403, 0, 599} {
		if got[status] < n/20 || got[status] > n/5 {
			t.Errorf("%d befell %d of %d prompts, want about a tenth", status, got[status], n)
		}
	}
}

// TestAPromptMayNameItsFault: only where that is asked for, and only by a kind that there is.
func TestAPromptMayNameItsFault(t *testing.T) {
	marks, plain := New(Options{Marks: true}), New(Options{})
	for prompt, want := range map[string]int{"a fail:403": 403, "fail:599.": 599, "fail:reset b": 0, "fail:": 200, "fail:200": 200, "fail:resets": 200, "a fail": 200} {
		if _, status := attempt(t.Context(), marks, "/v1/chat/completions", chatBody(prompt)); status != want {
			t.Errorf("%q: %d, want %d", prompt, status, want)
		}
		if _, status := attempt(t.Context(), plain, "/v1/chat/completions", chatBody(prompt)); status != 200 {
			t.Errorf("%q without marks: %d", prompt, status)
		}
	}
}

// TestAFaultAtRandomBefallsAShareOfTheRequestsOfOnePrompt: no prompt is to blame.
func TestAFaultAtRandomBefallsAShareOfTheRequestsOfOnePrompt(t *testing.T) {
	s := New(Options{Faults: []Fault{{Kind: "503", Share: 0.3, Random: true, RetryAfter: 1500 * time.Millisecond}}})
	refused := 0
	const n = 2000
	for range n {
		if w := ask(s, "/v1/chat/completions", chatBody("x")); w.Code == 503 {
			refused++
			if w.Header().Get("Retry-After") != "2" {
				t.Fatalf("Retry-After %q", w.Header().Get("Retry-After"))
			}
		}
	}
	if refused < n/4 || refused > n/3+n/50 {
		t.Errorf("%d of %d were refused, want 0.3", refused, n)
	}
}

// TestAHungRequestKeepsItsSlot: until its client gives up, with steps and without.
func TestAHungRequestKeepsItsSlot(t *testing.T) {
	for _, o := range []Options{{Slots: 1, Latency: time.Second}, {Slots: 1, Step: 10 * time.Millisecond, OutputTokens: 2}} {
		synctest.Test(t, func(t *testing.T) {
			o.Faults = []Fault{{Kind: FaultHang, Share: 0.5}}
			s := New(o)
			hangs, answered := "", ""
			for i := 0; hangs == "" || answered == ""; i++ {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				body := chatBody(fmt.Sprint(i))
				if w, _ := attempt(ctx, s, "/v1/chat/completions", body); w.Body.Len() == 0 {
					hangs = body
				} else {
					answered = body
				}
				cancel()
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			done := make(chan struct{})
			go func() { defer close(done); attempt(ctx, s, "/v1/chat/completions", hangs) }()
			synctest.Wait()
			began := time.Now()
			if w, _ := attempt(t.Context(), s, "/v1/chat/completions", answered); w.Code != 200 {
				t.Errorf("got %d", w.Code)
			}
			if d := time.Since(began); d < 59*time.Second {
				t.Errorf("the slot was free after %v", d)
			}
			<-done
		})
	}
}

// TestACrashBreaksEverythingUntilTheRestart: also what the crash is not about.
func TestACrashBreaksEverythingUntilTheRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Latency: time.Second, Restart: 5 * time.Second, Faults: []Fault{{Kind: FaultCrash, Share: 0.2}}})
		crash, fine := "", ""
		for i := 0; crash == "" || fine == ""; i++ {
			body := chatBody(fmt.Sprint(i))
			if _, status := attempt(t.Context(), s, "/v1/chat/completions", body); status == 0 {
				crash = body
				time.Sleep(5 * time.Second)
			} else {
				fine = body
			}
		}
		done := make(chan int)
		go func() {
			_, status := attempt(t.Context(), s, "/v1/chat/completions", fine)
			done <- status
		}()
		time.Sleep(time.Second / 2)
		attempt(t.Context(), s, "/v1/chat/completions", crash)
		if status := <-done; status != 0 {
			t.Errorf("a request in flight had %d", status)
		}
		for wait, want := range map[time.Duration]int{0: 0, 5*time.Second - 1: 0} {
			time.Sleep(wait)
			if _, status := attempt(t.Context(), s, "/v1/models", ""); status != want {
				t.Errorf("%v later: %d", wait, status)
			}
		}
		time.Sleep(1)
		if _, status := attempt(t.Context(), s, "/v1/chat/completions", fine); status != 200 {
			t.Errorf("after the restart: %d", status)
		}
	})
}

func TestAnOutageIsForEveryPathAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outages, err := ParseOutages("500@10s-1h, reset@2h-2h1s")
		if err != nil {
			t.Fatal(err)
		}
		s := New(Options{Outages: outages})
		at := time.Duration(0)
		for _, c := range []struct {
			at   time.Duration
			want int
		}{{0, 200}, {10 * time.Second, 500}, {time.Hour - 1, 500}, {time.Hour, 200}, {2 * time.Hour, 0}, {2*time.Hour + time.Second, 200}} {
			time.Sleep(c.at - at)
			at = c.at
			for _, path := range []string{"/v1/chat/completions", "/v1/models", "/metrics"} {
				if _, status := attempt(t.Context(), s, path, chatBody("x")); status != c.want {
					t.Errorf("%s at %v: %d, want %d", path, c.at, status, c.want)
				}
			}
		}
	})
	for _, bad := range []string{"500", "500@1h", "500@1h-1h", "500@2h-1h", "torn@0s-1h", "200@0s-1h", "x@0s-1h", "500@-1s-1h"} {
		if o, err := ParseOutages(bad); err == nil {
			t.Errorf("%s: %v", bad, o)
		}
	}
}

// TestAQueueThatCountsOnlyWhatWaitsRefusesABurst: sixteen slots are free, and four places in the queue.
func TestAQueueThatCountsOnlyWhatWaitsRefusesABurst(t *testing.T) {
	for by, want := range map[QueueBy]int{QueueWaiting: 5, QueuePlaces: 20, QueueTokens: 3} {
		synctest.Test(t, func(t *testing.T) {
			o := Options{Slots: 16, Step: 100 * time.Millisecond, OutputTokens: 1, Queue: 4, QueueBy: by}
			if by == QueueTokens {
				o.Queue = 35 // two prompts wait, of about fifteen tokens each, beside the one that is in the step
			}
			s := New(o)
			codes := make(chan int)
			for i := range 32 {
				go func() {
					codes <- ask(s, "/v1/chat/completions", chatBody(fmt.Sprintf("a prompt of 30 bytes, number %d", 10+i))).Code
				}()
			}
			answered := 0
			for range 32 {
				if <-codes == 200 {
					answered++
				}
			}
			if answered != want {
				t.Errorf("by %s: %d of a burst were answered, want %d", by, answered, want)
			}
		})
	}
}

func TestAQuotaIsForEachMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Quota: 3, RefuseAfter: 4 * time.Second, RetryAfter: time.Second})
		for minute := range 3 {
			for i := range 5 {
				began := time.Now()
				w := ask(s, "/v1/chat/completions", chatBody("x"))
				if ok := w.Code == 200; ok != (i < 3) || !ok && time.Since(began) != 4*time.Second {
					t.Errorf("minute %d, request %d: %d after %v", minute, i, w.Code, time.Since(began))
				}
			}
			time.Sleep(time.Until(s.born.Add(time.Duration(minute+1) * time.Minute)))
		}
		if st := s.Stats(); st.Answered != 9 || st.Refused != 6 {
			t.Errorf("%+v", st.Totals)
		}
	})
}

func TestReplicasTakeTurnsAndOneIsSick(t *testing.T) {
	r := NewReplicas(Options{}, 3, "502")
	got := map[int]int{}
	for range 30 {
		_, status := attempt(t.Context(), r, "/v1/chat/completions", chatBody("x"))
		got[status]++
	}
	if got[502] != 10 || got[200] != 20 {
		t.Errorf("%v", got)
	}
}

func TestTheListOfModelsIsWhatWasSet(t *testing.T) {
	for names, want := range map[string]string{"": `"id":"batholith.simulated-v1"`, "a,b": `"id":"a","object":"model","created":0,"owned_by":"batholith"},{"id":"b"`} {
		s := New(Options{List: strings.FieldsFunc(names, func(r rune) bool { return r == ',' })})
		if w, status := attempt(t.Context(), s, "/v1/models", ""); status != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%q: %d %s", names, status, w.Body)
		}
	}
	s := New(Options{List: []string{"none"}})
	if _, status := attempt(t.Context(), s, "/v1/models", ""); status != 404 {
		t.Errorf("none: %d", status)
	}
	if w := ask(s, "/v1/chat/completions", chatBody("x")); w.Code != 200 {
		t.Errorf("it answers %d", w.Code)
	}
}
