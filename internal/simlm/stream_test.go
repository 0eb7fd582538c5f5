package simlm

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// events records when each event of a stream was sent.
type events struct {
	*httptest.ResponseRecorder
	began time.Time
	times []time.Duration
}

func (e *events) Write(b []byte) (int, error) {
	e.times = append(e.times, time.Since(e.began))
	return e.ResponseRecorder.Write(b)
}

// streamedText joins a stream. done tells whether it has an end.
func streamedText(t *testing.T, body string) (text, finish string, completion int, done bool) {
	t.Helper()
	for event := range strings.SplitSeq(strings.TrimSpace(body), "\n\n") {
		data, ok := strings.CutPrefix(event, "data: ")
		if data == "[DONE]" {
			return text, finish, completion, true
		}
		var c struct {
			Choices []struct {
				Delta        struct{ Content string }
				Text         string
				FinishReason string `json:"finish_reason"`
			}
			Usage struct {
				Completion int `json:"completion_tokens"`
			}
		}
		if !ok || json.Unmarshal([]byte(data), &c) != nil {
			t.Fatalf("event %q", event)
		}
		for _, choice := range c.Choices {
			text, finish = text+choice.Delta.Content+choice.Text, choice.FinishReason
		}
		completion = c.Usage.Completion
	}
	return text, finish, completion, false
}

const streamMember = `,"stream":true,"stream_options":{"include_usage":true}`

// TestAStreamSaysWhatTheAnswerSays: the same text, finish reason and counts, on both paths.
func TestAStreamSaysWhatTheAnswerSays(t *testing.T) {
	for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
		for _, more := range []string{"", `,"max_tokens":3`, `,"stop":"a"`} {
			body := chatBody("one", more)
			a := read[chatAnswer](t, ask(New(Options{}), path, body))
			w := ask(New(Options{}), path, chatBody("one", more, streamMember))
			text, finish, n, done := streamedText(t, w.Body.String())
			if c := a.Choices[0]; text != c.Message.Content+c.Text || finish != "" && finish != c.FinishReason || n != a.Usage.Completion || !done || w.Header().Get("Content-Type") != "text/event-stream" {
				t.Errorf("%s %s: %q, %s, %d, %v; want %+v", path, more, text, finish, n, done, a)
			}
		}
	}
}

// TestTokensAreStreamedWhenTheyAreMade: with steps at the end of each step, otherwise after each token's own time.
func TestTokensAreStreamedWhenTheyAreMade(t *testing.T) {
	for name, o := range map[string]Options{
		"steps":    {Step: time.Second, OutputTokens: 4},
		"own time": {PerToken: time.Second, OutputTokens: 4},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := New(o)
			e := &events{ResponseRecorder: httptest.NewRecorder(), began: time.Now()}
			s.ServeHTTP(e, httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(chatBody("one", streamMember))))
			want := []time.Duration{1, 2, 3, 4, 4, 4, 4} // four tokens, the finish reason, the counts, the end
			if len(e.times) != len(want) {
				t.Fatalf("%s: events at %v", name, e.times)
			}
			for i, d := range want {
				if e.times[i].Round(time.Millisecond) != d*time.Second {
					t.Errorf("%s: events at %v", name, e.times)
				}
			}
		})
	}
}

// TestATornStreamHasNoEnd: the fault breaks it in its middle.
func TestATornStreamHasNoEnd(t *testing.T) {
	s := New(Options{Marks: true})
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler {
				t.Errorf("panic %v", p)
			}
		}()
		s.ServeHTTP(w, httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(chatBody("fail:torn", streamMember))))
	}()
	if text, _, _, done := streamedText(t, w.Body.String()); done || text == "" {
		t.Errorf("%q, %v", text, done)
	}
}
