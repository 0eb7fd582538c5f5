package simlm

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// ask sends one POST without a socket.
func ask(s *Server, path, body string) *httptest.ResponseRecorder {
	return askContext(context.Background(), s, path, body)
}

func askContext(ctx context.Context, s *Server, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)).WithContext(ctx))
	return w
}

func chatBody(prompt string, more ...string) string {
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]%s}`, Model, prompt, strings.Join(more, ""))
}

type chatAnswer struct {
	Choices []struct {
		Message      struct{ Content string }
		Text         string
		FinishReason string `json:"finish_reason"`
		StopReason   string `json:"stop_reason"`
	}
	Usage struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
	}
}

func read[T any](t *testing.T, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return v
}

func TestTheTextIsAFunctionOfPromptAndSeeds(t *testing.T) {
	texts := map[string]string{}
	for name, w := range map[string]*httptest.ResponseRecorder{
		"one":            ask(New(Options{}), "/v1/chat/completions", chatBody("one")),
		"two":            ask(New(Options{}), "/v1/chat/completions", chatBody("two")),
		"other server":   ask(New(Options{Seed: 7}), "/v1/chat/completions", chatBody("one")),
		"other in body":  ask(New(Options{}), "/v1/chat/completions", chatBody("one", `,"seed":7`)),
		"other endpoint": ask(New(Options{}), "/v1/completions", `{"prompt":"one"}`),
	} {
		texts[w.Body.String()] = name
	}
	if len(texts) != 5 {
		t.Errorf("got %d different answers of 5: %v", len(texts), texts)
	}
	again := ask(New(Options{}), "/v1/chat/completions", chatBody("one")).Body.String()
	if texts[again] != "one" {
		t.Error("another server of the same options answers otherwise")
	}
}

func TestLengthAndStopAreHonoured(t *testing.T) {
	s := New(Options{OutputTokens: 20})
	full := read[chatAnswer](t, ask(s, "/v1/chat/completions", chatBody("x")))
	words := strings.Fields(full.Choices[0].Message.Content)
	if len(words) != 20 || full.Usage.Completion != 20 || full.Choices[0].FinishReason != "stop" || full.Usage.Prompt == 0 {
		t.Errorf("got %+v", full)
	}
	cut := read[chatAnswer](t, ask(s, "/v1/chat/completions", chatBody("x", `,"max_tokens":5`)))
	if cut.Usage.Completion != 5 || cut.Choices[0].FinishReason != "length" || cut.Choices[0].Message.Content != strings.Join(words[:5], " ") {
		t.Errorf("got %+v, want the first 5 of %v", cut, words)
	}
	stopped := read[chatAnswer](t, ask(s, "/v1/chat/completions", chatBody("x", fmt.Sprintf(`,"stop":[%q]`, words[3]))))
	if c := stopped.Choices[0]; c.StopReason != words[3] || c.FinishReason != "stop" || strings.Contains(c.Message.Content, words[3]) {
		t.Errorf("got %+v", stopped)
	}
}

func TestEmbeddingsAreUnitVectors(t *testing.T) {
	type answer struct {
		Data []struct{ Embedding []float64 }
	}
	a := read[answer](t, ask(New(Options{}), "/v1/embeddings", `{"input":["a","b","a"],"dimensions":64}`))
	if len(a.Data) != 3 || len(a.Data[0].Embedding) != 64 {
		t.Fatalf("got %d vectors", len(a.Data))
	}
	for i, d := range a.Data {
		sum := 0.0
		for _, f := range d.Embedding {
			sum += f * f
		}
		if math.Abs(sum-1) > 1e-5 {
			t.Errorf("vector %d has length %f", i, math.Sqrt(sum))
		}
	}
	if fmt.Sprint(a.Data[0]) != fmt.Sprint(a.Data[2]) || fmt.Sprint(a.Data[0]) == fmt.Sprint(a.Data[1]) {
		t.Error("the same text should have the same vector, another one another")
	}
}

func TestLatencyIsFixedPlusPerToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Latency: time.Second, PerToken: 100 * time.Millisecond, OutputTokens: 10})
		begin := time.Now()
		ask(s, "/v1/chat/completions", chatBody("x"))
		if d := time.Since(begin); d != 2*time.Second {
			t.Errorf("took %v, want 2s", d)
		}
	})
}

func TestSlotsBoundWhatIsWorkedOnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Latency: time.Second, Slots: 2})
		begin := time.Now()
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() { ask(s, "/v1/chat/completions", chatBody(fmt.Sprint(i))) })
		}
		all.Wait()
		if d := time.Since(begin); d != 3*time.Second {
			t.Errorf("5 requests of 1s in 2 slots took %v, want 3s", d)
		}
	})
}

func TestACancelledRequestGivesItsSlotBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Latency: time.Hour, Slots: 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		for range 2 { // one in the slot, one that waits for it
			all.Go(func() { askContext(ctx, s, "/v1/chat/completions", chatBody("x")) })
		}
		begin := time.Now()
		all.Wait()
		if d := time.Since(begin); d != time.Second {
			t.Errorf("took %v, want 1s", d)
		}
		if st := s.Stats(); st.Running+st.Waiting != 0 || st.Cancelled != 2 {
			t.Errorf("a place is still taken: %+v", st)
		}
	})
}

func TestFailuresBefallTheShareOfPromptsThatWasSet(t *testing.T) {
	s := New(Options{Failures: Failures{RateLimit: 0.1, Internal: 0.1, Unavailable: 0.1, BadRequest: 0.1, Nonsense: 0.1}})
	got := map[int]int{}
	nonsense := 0
	const n = 2000
	for i := range n {
		w := ask(s, "/v1/chat/completions", chatBody(fmt.Sprint(i)))
		got[w.Code]++
		if strings.HasPrefix(w.Body.String(), "<html>") {
			nonsense++
		}
		if again := ask(s, "/v1/chat/completions", chatBody(fmt.Sprint(i))); again.Code != w.Code {
			t.Fatalf("prompt %d had %d and then %d", i, w.Code, again.Code)
		}
	}
	for _, status := range []int{429, 500, 503, 400} {
		if got[status] < n/20 || got[status] > n/5 {
			t.Errorf("%d befell %d of %d prompts, want about a tenth", status, got[status], n)
		}
	}
	if nonsense < n/20 || nonsense > n/5 {
		t.Errorf("nonsense befell %d of %d prompts, want about a tenth", nonsense, n)
	}
}

func TestAResetBreaksTheConnection(t *testing.T) {
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("recovered %v, want http.ErrAbortHandler", p)
		}
	}()
	ask(New(Options{Failures: Failures{Reset: 1}}), "/v1/chat/completions", chatBody("x"))
}

func TestAPromptThatFailsSomeTimesIsServedThen(t *testing.T) {
	s := New(Options{Failures: Failures{Internal: 1, Times: 2}, Faults: []Fault{{Kind: "403", Share: 1}}})
	for i, want := range []int{500, 500, 200, 500} {
		if w := ask(s, "/v1/chat/completions", chatBody("x")); w.Code != want {
			t.Errorf("attempt %d had %d, want %d", i+1, w.Code, want)
		}
	}
}

func TestWrongRequestsAreRefused(t *testing.T) {
	s := New(Options{})
	for _, c := range []struct {
		path, body string
		want       int
	}{
		{"/v1/chat/completions", `{`, 400},
		{"/v1/chat/completions", `{}`, 400},
		{"/v1/chat/completions", `{"model":"gpt-4","messages":[]}`, 404},
		{"/v1/chat/completions", `{"messages":[],"max_tokens":"x"}`, 400},
		{"/v1/embeddings", `{"input":"x","dimensions":0}`, 400},
		{"/v1/nowhere", `{}`, 404},
	} {
		w := ask(s, c.path, c.body)
		var e struct{ Error struct{ Message string } }
		if err := json.Unmarshal(w.Body.Bytes(), &e); w.Code != c.want || err != nil || e.Error.Message == "" {
			t.Errorf("%s %s: got %d %s, want %d with an error object", c.path, c.body, w.Code, w.Body, c.want)
		}
	}
}

func TestItSaysWhatItServes(t *testing.T) {
	s := New(Options{Slots: 5})
	for path, want := range map[string]string{"/v1/models": `"id":"batholith.simulated-v1"`, "/props": `{"total_slots":5}`, "/health": "ok"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: got %d %s", path, w.Code, w.Body)
		}
	}
}

// BenchmarkAnswer is the floor that a load test stands on.
func BenchmarkAnswer(b *testing.B) {
	s := New(Options{})
	body := chatBody(strings.Repeat("The quick brown fox. ", 50), `,"max_tokens":256,"temperature":0.2`)
	b.ReportAllocs()
	for b.Loop() {
		if w := ask(s, "/v1/chat/completions", body); w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}
