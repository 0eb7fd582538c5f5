package simlm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const chat = "/v1/chat/completions"

// usageOf is what an answer says of its tokens.
type usageOf struct {
	Usage struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Details    struct {
			Cached int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	}
}

// took is how long a request takes in the bubble's time.
func took(t *testing.T, s *Server, body string) time.Duration {
	t.Helper()
	began := time.Now()
	if w := ask(s, chat, body); w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return time.Since(began)
}

// load keeps so many requests in flight, each another prompt, for a time, and waits for their ends.
func load(t *testing.T, s *Server, clients int, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				askContext(ctx, s, chat, chatBody(fmt.Sprint(c, "/", n)))
			}
		})
	}
	all.Wait()
}

func TestAStepTakesWhatItsWorkCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const step, decode, k, tokens = 20 * time.Millisecond, 100 * time.Microsecond, 10, 50
		s := New(Options{Step: step, Decode: decode, OutputTokens: tokens})
		began := time.Now()
		var all sync.WaitGroup
		for i := range k {
			all.Go(func() { took(t, s, chatBody(fmt.Sprint(i))) })
		}
		all.Wait()
		// The first begins a step by itself, the others join it at the next and are a step behind.
		want := step + decode + (tokens-1)*(step+k*decode) + step + (k-1)*decode
		if d := time.Since(began); d != want {
			t.Errorf("%d requests of %d tokens at once took %v, want %v", k, tokens, d, want)
		}
	})
}

func TestAFullBatchGeneratesATokenForEachSlotInEachStep(t *testing.T) {
	for _, clients := range []int{32, 40, 64} {
		synctest.Test(t, func(t *testing.T) {
			const step, decode, slots = 20 * time.Millisecond, 100 * time.Microsecond, 32
			s := New(Options{Step: step, Decode: decode, Slots: slots, OutputTokens: 16, OutputTokensMax: 256})
			go load(t, s, clients, time.Hour) // the end of the test ends it
			time.Sleep(time.Minute)           // so that it is full, and everybody elsewhere in an answer
			s.Reset()
			time.Sleep(time.Minute)
			st := s.Stats()
			full := float64(slots) / (step + slots*decode).Seconds()
			got := float64(st.GeneratedTokens) / st.Seconds
			share := got / full
			if clients > slots && (share < 0.999 || share > 1.001 || st.Busy < 0.999) {
				t.Errorf("%d in flight: %.0f tokens/s, busy %.4f; a full batch gives %.0f", clients, got, st.Busy, full)
			}
			if clients == slots && (share > 0.995 || st.Busy > 0.995) { // who comes in the middle of a step waits for its end
				t.Errorf("as many in flight as slots cannot fill them: %.4f of the tokens, busy %.4f", share, st.Busy)
			}
		})
	}
}

func TestWaitersAreServedInTheOrderOfArrival(t *testing.T) {
	for name, o := range map[string]Options{"steps": {Step: 10 * time.Millisecond, Slots: 1, OutputTokens: 3}, "own time": {Latency: time.Second, Slots: 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(o)
				var mu sync.Mutex
				var order []int
				var all sync.WaitGroup
				for i := range 20 {
					all.Go(func() {
						took(t, s, chatBody(fmt.Sprint(i)))
						mu.Lock()
						order = append(order, i)
						mu.Unlock()
					})
					time.Sleep(time.Millisecond)
				}
				all.Wait()
				if !slices.IsSorted(order) || len(order) != 20 {
					t.Errorf("served in the order %v", order)
				}
			})
		})
	}
}

func TestPrefillSlowsEverybodyInItsStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Step: 10 * time.Millisecond, Prefill: time.Millisecond, OutputTokens: 4})
		body := chatBody(strings.Repeat("x", 400))
		prompt := read[usageOf](t, ask(s, chat, body)).Usage.Prompt
		alone := took(t, s, body)
		if want := 40*time.Millisecond + time.Duration(prompt)*time.Millisecond; alone != want {
			t.Fatalf("alone it took %v, want %v", alone, want)
		}
		var all sync.WaitGroup
		all.Go(func() {
			if d := took(t, s, body); d != alone+time.Duration(prompt)*time.Millisecond {
				t.Errorf("beside a newcomer it took %v, want the newcomer's prefill more than %v", d, alone)
			}
		})
		synctest.Wait()
		time.Sleep(time.Millisecond)
		took(t, s, body)
		all.Wait()
	})
}

func TestAStepComputesNoMoreThanItsChunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Step: 10 * time.Millisecond, Chunk: 50, OutputTokens: 1})
		body := chatBody(strings.Repeat("x", 4*175-len("<|user|>\n<|assistant|>"))) // 176 tokens: 50, 50, 50, 26
		if d := took(t, s, body); d != 40*time.Millisecond {
			t.Errorf("took %v, want 4 steps", d)
		}
		var all sync.WaitGroup
		all.Go(func() { took(t, s, body) })
		time.Sleep(time.Millisecond)
		// 24 tokens, which is what the first leaves of its last step: they come in the order of admission.
		if d := took(t, s, chatBody(strings.Repeat("x", 4*23-len("<|user|>\n<|assistant|>")))); d != 39*time.Millisecond {
			t.Errorf("behind another it took %v, want what is left of 4 steps", d)
		}
		all.Wait()
	})
}

func TestALateStepIsMadeUpForAndALongStopIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{Step: 100 * time.Millisecond, Slots: 1}).batch
		if err := b.enter(&sequence{prompt: 1, output: 100}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ behind, next time.Duration }{{0, 100 * time.Millisecond}, {time.Second / 2, -400 * time.Millisecond}, {time.Hour, 100 * time.Millisecond}} {
			b.due = time.Now().Add(-c.behind)
			b.end()
			if d := time.Until(b.due); d != c.next {
				t.Errorf("%v behind, the next step ends in %v, want %v", c.behind, d, c.next)
			}
		}
	})
}

func TestARequestBeyondTheQueueIsRefused(t *testing.T) {
	for _, c := range []struct {
		o      Options
		served int
		status int
		header string
	}{
		{Options{Queue: 3}, 5, 429, ""},
		{Options{Queue: -1, RefuseStatus: 503, RetryAfter: 1500 * time.Millisecond}, 2, 503, "2"},
		{Options{}, 8, 0, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			c.o.Slots, c.o.Step = 2, time.Second
			s := New(c.o)
			var mu sync.Mutex
			got := map[int]int{}
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					w := ask(s, chat, chatBody(fmt.Sprint(i)))
					mu.Lock()
					defer mu.Unlock()
					got[w.Code]++
					if h := w.Header().Get("Retry-After"); w.Code != 200 && h != c.header {
						t.Errorf("Retry-After is %q, want %q", h, c.header)
					}
				})
			}
			all.Wait()
			if got[200] != c.served || got[c.status] != 8-c.served || s.Stats().Refused != int64(8-c.served) {
				t.Errorf("queue %d: got %v, want %d served and the others %d", c.o.Queue, got, c.served, c.status)
			}
		})
	}
}

func TestTheScheduleChangesTheSlots(t *testing.T) {
	schedule, err := ParseSchedule("4@0s, 1@10s,0@20s,3@30s")
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{"steps": {Step: 100 * time.Millisecond, OutputTokens: 10}, "own time": {Latency: time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o.Schedule = schedule
				s := New(o)
				go load(t, s, 10, time.Minute)
				for _, want := range []int{4, 1, 0, 3} {
					time.Sleep(5 * time.Second)
					if st := s.Stats(); st.Busy > 1 || st.Slots != want || st.Running != want || st.Waiting > 10-want {
						t.Errorf("after %.0f s: %d slots, %d running, %d waiting, want %d slots full", st.Seconds, st.Slots, st.Running, st.Waiting, want)
					}
					time.Sleep(5 * time.Second)
				}
			})
		})
	}
	for _, wrong := range []string{"4", "x@1s", "4@1s,3@1s", "-1@0s", "4@-1s", ","} {
		if _, err := ParseSchedule(wrong); err == nil {
			t.Errorf("%q was taken for a schedule", wrong)
		}
	}
}

func TestAClientThatGoesFreesItsSlotAtTheEndOfTheStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Step: time.Second, Slots: 1, OutputTokens: 100})
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		go askContext(ctx, s, chat, chatBody("gone"))
		synctest.Wait()
		if d := took(t, s, chatBody("x", `,"max_tokens":1`)); d != 3*time.Second {
			t.Errorf("the next took %v, want the two steps of the first and its own", d)
		}
		if st := s.Stats(); st.Cancelled != 1 || st.Running != 0 || st.InFlightMax != 2 {
			t.Errorf("%+v", st)
		}
	})
}

func TestLengthsAreDrawnBetweenTheirBounds(t *testing.T) {
	o := Options{OutputTokens: 16, OutputTokensMax: 256}
	s, lengths := New(o), []int{}
	for i := range 500 {
		body := chatBody(fmt.Sprint(i))
		n := read[usageOf](t, ask(s, chat, body)).Usage.Completion
		if n < 16 || n > 256 || n != read[usageOf](t, ask(New(o), chat, body)).Usage.Completion {
			t.Fatalf("prompt %d has %d tokens", i, n)
		}
		if cut := read[usageOf](t, ask(s, chat, chatBody(fmt.Sprint(i), `,"max_tokens":20`))).Usage.Completion; cut != min(n, 20) {
			t.Errorf("prompt %d of %d tokens has %d when cut at 20", i, n, cut)
		}
		lengths = append(lengths, n)
	}
	slices.Sort(lengths)
	if median := lengths[250]; median < 55 || median > 75 { // the geometric middle is 64
		t.Errorf("the median is %d", median)
	}
	if lengths[0] > 32 || lengths[499] < 128 {
		t.Errorf("from %d to %d", lengths[0], lengths[499])
	}
}

func TestTheSameLoadTakesTheSameTime(t *testing.T) {
	run := func() (st Stats) {
		synctest.Test(t, func(t *testing.T) {
			s := New(Options{Step: 20 * time.Millisecond, Decode: 50 * time.Microsecond, Prefill: 20 * time.Microsecond, Slots: 8, Cache: 4096,
				OutputTokens: 8, OutputTokensMax: 64, Others: Background{Rate: 3}, Seed: 4})
			ctx, cancel := context.WithCancelCause(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			for i := range 200 {
				go ask(s, chat, chatBody(fmt.Sprint(i)))
				time.Sleep(7 * time.Millisecond)
			}
			time.Sleep(time.Minute)
			cancel(nil)
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			}
			time.Sleep(time.Minute)
			st = s.Stats()
		})
		return st
	}
	a, b := run(), run()
	if fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) {
		t.Errorf("two runs differ:\n%+v\n%+v", a, b)
	}
	if a.Answered != 200 || a.Others.Answered < 100 || a.Running != 0 || a.PromptTokens != a.CachedTokens+a.PrefilledTokens {
		t.Errorf("%+v", a)
	}
}
