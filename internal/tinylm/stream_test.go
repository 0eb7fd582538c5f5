package tinylm

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestPiecesOfAStreamAreTheText holds for hot samples too, whose bytes are often no characters, and with stop sequences.
func TestPiecesOfAStreamAreTheText(t *testing.T) {
	e := start(t, load(t), Options{Workers: 1})
	for seed := range uint64(12) {
		r := Request{Prompt: conversation(t, ticket), MaxTokens: 24, Sampling: Sampling{Temperature: float64(seed%3) * 0.9, Seed: seed}}
		if seed%2 == 1 {
			r.Stop = []string{"li", "g!", "e"}
		}
		whole, err := e.Complete(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		var pieces []string
		res, err := e.Stream(t.Context(), r, func(p string) { pieces = append(pieces, p) })
		if text := strings.Join(pieces, ""); err != nil || res != whole || text != whole.Text {
			t.Errorf("%q in %q, %v, want %q", text, pieces, err, whole.Text)
		}
		if seed == 0 && len(pieces) < 3 {
			t.Errorf("%q came in %d pieces", whole.Text, len(pieces))
		}
	}
}

// TestWhatMayBecomeAStopSequenceIsHeldBack also holds of characters that are not whole.
func TestWhatMayBecomeAStopSequenceIsHeldBack(t *testing.T) {
	for _, c := range []struct {
		text  string
		stops []string
		want  int
	}{
		{"abc", nil, 3}, {"abc", []string{"cd"}, 2}, {"abc", []string{"bcd", "c!"}, 1}, {"aaa", []string{"aab"}, 1}, {"é\xc3", nil, 2}, {"a\xffb", nil, 1}, {"", []string{"x"}, 0},
	} {
		if n := settled([]byte(c.text), 0, c.stops); n != c.want {
			t.Errorf("%q with %q: %d, want %d", c.text, c.stops, n, c.want)
		}
	}
}

// TestAStreamHasTheEventsOfOpenAI: chunks, the reason, the counts if they are asked for, and the end.
func TestAStreamHasTheEventsOfOpenAI(t *testing.T) {
	e := start(t, load(t), Options{Workers: 1})
	for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
		const body = `"messages":[{"role":"user","content":"` + ticket + `"}],"prompt":"` + ticket + `","max_tokens":20}`
		_, whole := call(t, e, "POST", path, `{`+body)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(`{"stream":true,"stream_options":{"include_usage":true},`+body)))
		events := strings.Split(strings.TrimSuffix(w.Body.String(), "\n\n"), "\n\n")
		text, reason, used := "", any(nil), any(nil)
		for i, event := range events {
			data := strings.TrimPrefix(event, "data: ")
			if i == len(events)-1 {
				if data != "[DONE]" {
					t.Errorf("the last event is %s", data)
				}
				break
			}
			var v map[string]any
			if err := json.Unmarshal([]byte(data), &v); err != nil {
				t.Fatalf("%s: %v", data, err)
			}
			if used = v["usage"]; used != nil {
				continue
			}
			c := at(v, "choices.0").(map[string]any)
			if reason = c["finish_reason"]; reason == nil {
				if d, ok := c["delta"].(map[string]any); ok {
					text += d["content"].(string)
				} else {
					text += c["text"].(string)
				}
			}
		}
		want := at(whole, "choices.0").(map[string]any)
		said := want["text"]
		if m, ok := want["message"].(map[string]any); ok {
			said = m["content"]
		}
		if text != said || reason != want["finish_reason"] || fmt.Sprint(used) != fmt.Sprint(whole["usage"]) || w.Header().Get("Content-Type") != "text/event-stream" {
			t.Errorf("%s: %q, %v, %v; want %v", path, text, reason, used, whole)
		}
	}
	if code, v := call(t, e, "POST", "/v1/chat/completions", `{"stream":true,"messages":[]}`); code != 400 {
		t.Errorf("a refused stream: %d %v", code, v)
	}
}
