package tinylm

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// call sends a request to the handler and returns the status and the decoded body.
func call(t *testing.T, h http.Handler, method, path, body string) (int, map[string]any) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	var v map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%s %s: %d %s: %v", method, path, w.Code, w.Body, err)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("%s %s: content type %q", method, path, got)
	}
	return w.Code, v
}

// at walks into a decoded body: names of members and indexes, separated by dots.
func at(v any, path string) any {
	for _, k := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[k]
		case []any:
			var i int
			fmt.Sscan(k, &i)
			v = x[i]
		}
	}
	return v
}

const ticket = `I was charged twice for my order, please refund one payment.`

func TestChatAnswersTextAndPartsAlike(t *testing.T) {
	e := start(t, load(t), Options{Workers: 1})
	const system = "Route the support ticket to one of: billing, shipping, technical, account, other. Answer with one word."
	for _, messages := range []string{
		`[{"role":"system","content":"` + system + `"},{"role":"user","content":"` + ticket + `"}]`,
		`[{"role":"developer","content":"` + system + `"},{"role":"user","content":[{"type":"text","text":"I was charged twice for my order, "},{"type":"text","text":"please refund one payment."}]}]`,
	} {
		code, v := call(t, e, "POST", "/v1/chat/completions", `{"model":"batholith.tiny-v1","max_completion_tokens":20,"temperature":0,"messages":`+messages+`}`)
		if code != 200 || at(v, "choices.0.message.content") != "billing" || at(v, "choices.0.finish_reason") != "stop" || at(v, "choices.0.message.role") != "assistant" {
			t.Errorf("%d %v", code, v)
		}
		prompt := float64(1 + 1 + len(system) + 1 + 1 + len(ticket) + 1 + 1)
		if at(v, "usage.prompt_tokens") != prompt || at(v, "usage.completion_tokens") != 7. || at(v, "usage.total_tokens") != prompt+7 {
			t.Errorf("usage %v, the prompt has %v tokens", v["usage"], prompt)
		}
		if v["object"] != "chat.completion" || v["model"] != Name || !strings.HasPrefix(v["id"].(string), "chatcmpl-") {
			t.Errorf("%v", v)
		}
	}
}

func TestAnswerCutShortSaysSo(t *testing.T) {
	e := start(t, load(t), Options{Workers: 1})
	_, v := call(t, e, "POST", "/v1/chat/completions", `{"max_tokens":2,"messages":[{"role":"user","content":"Which team? `+ticket+`"}]}`)
	if at(v, "choices.0.finish_reason") != "length" || at(v, "usage.completion_tokens") != 2. {
		t.Errorf("%v", v)
	}
}

func TestCompletionIsOneUserTurn(t *testing.T) {
	e := start(t, load(t), Options{Workers: 1})
	text := "Which team should get this ticket: billing, shipping, technical, account or other? " + ticket
	_, chat := call(t, e, "POST", "/v1/chat/completions", `{"messages":[{"role":"user","content":"`+text+`"}]}`)
	code, v := call(t, e, "POST", "/v1/completions", `{"model":"batholith.tiny-v1","prompt":"`+text+`"}`)
	if code != 200 || at(v, "choices.0.text") != at(chat, "choices.0.message.content") || at(v, "usage.prompt_tokens") != at(chat, "usage.prompt_tokens") {
		t.Errorf("%d %v, as a chat %v", code, v, chat)
	}
}

// Each refusal names what it refuses.
func TestUnservableRequestIsRefusedWithItsReason(t *testing.T) {
	e := start(t, load(t), Options{Workers: 1})
	const user = `"messages":[{"role":"user","content":"x"}]`
	long, _ := json.Marshal(strings.Repeat("x", e.model.context))
	for _, c := range []struct {
		path, body string
		code       int
		reason     string
	}{
		{"chat/completions", `{`, 400, "read the body"},
		{"chat/completions", `{"messages":[]}`, 400, "messages is empty"},
		{"chat/completions", `{"messages":[{"role":"robot","content":"x"}]}`, 400, "robot"},
		{"chat/completions", `{"messages":[{"role":"tool","content":"x"}]}`, 400, "tool"},
		{"chat/completions", `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, 400, "image_url"},
		{"chat/completions", `{"messages":[{"role":"user","content":7}]}`, 400, "content"},
		{"chat/completions", `{"tools":[{}],` + user + `}`, 400, "tools"},
		{"chat/completions", `{"response_format":{"type":"json_object"},` + user + `}`, 400, "json_object"},
		{"chat/completions", `{"n":2,` + user + `}`, 400, "n is 2"},
		{"chat/completions", `{"logprobs":true,` + user + `}`, 400, "logprobs"},
		{"chat/completions", `{"max_tokens":0,` + user + `}`, 400, "max_tokens"},
		{"chat/completions", `{"temperature":3,` + user + `}`, 400, "temperature"},
		{"chat/completions", `{"top_p":-1,` + user + `}`, 400, "top_p"},
		{"chat/completions", `{"stop":5,` + user + `}`, 400, "stop"},
		{"chat/completions", `{"model":"gpt-4",` + user + `}`, 404, "gpt-4"},
		{"chat/completions", `{"messages":[{"role":"user","content":` + string(long) + `}]}`, 400, "context"},
		{"completions", `{}`, 400, "prompt is missing"},
		{"embeddings", `{"input":[]}`, 400, "input is empty"},
		{"embeddings", `{"input":"x","dimensions":64}`, 400, "dimensions is 64"},
		{"embeddings", `{"input":"x","encoding_format":"hex"}`, 400, "hex"},
		{"embeddings", `{"input":{}}`, 400, "input must be"},
		{"files", `{}`, 404, "/v1/files"},
	} {
		code, v := call(t, e, "POST", "/v1/"+c.path, c.body)
		message, _ := at(v, "error.message").(string)
		if code != c.code || !strings.Contains(message, c.reason) || at(v, "error.type") != "invalid_request_error" || at(v, "error.code") == nil {
			t.Errorf("%s %.60s: %d %v", c.path, c.body, code, v)
		}
	}
}

func TestBodyWithoutEndIsRefused(t *testing.T) {
	e := NewEngine(load(t), Options{})
	code, v := call(t, e, "POST", "/v1/completions", `{"prompt":"`+strings.Repeat("x", maxBody)+`"}`)
	if code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %v", code, v)
	}
}

// The engine does not run: what is in the queue stays there.
func TestFullQueueIs429(t *testing.T) {
	e := NewEngine(load(t), Options{Workers: 1, Slots: 1, Queue: 1})
	e.queue <- &job{ctx: context.Background()}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest("POST", "/v1/completions", strings.NewReader(`{"prompt":"x"}`)))
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !bytes.Contains(w.Body.Bytes(), []byte("rate_limit_error")) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestStoppedEngineIs503(t *testing.T) {
	e := NewEngine(load(t), Options{Workers: 1})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Run(ctx); err != context.Canceled {
		t.Fatal(err)
	}
	for _, r := range [][2]string{{"GET", "/health"}, {"POST", "/v1/completions"}} {
		if code, v := call(t, e, r[0], r[1], `{"prompt":"x"}`); code != http.StatusServiceUnavailable {
			t.Errorf("%v: %d %v", r, code, v)
		}
	}
}

func TestServerTellsItsSlotsAndModel(t *testing.T) {
	e := NewEngine(load(t), Options{Workers: 3, Slots: 5})
	if _, v := call(t, e, "GET", "/props", ""); v["total_slots"] != 15. {
		t.Errorf("%v", v)
	}
	if _, v := call(t, e, "GET", "/v1/models", ""); at(v, "data.0.id") != Name {
		t.Errorf("%v", v)
	}
	if code, v := call(t, e, "GET", "/health", ""); code != 200 || v["status"] != "ok" {
		t.Errorf("%d %v", code, v)
	}
}

func TestEmbeddingsComeAsNumbersOrBase64(t *testing.T) {
	e := start(t, load(t), Options{Workers: 1})
	code, v := call(t, e, "POST", "/v1/embeddings", `{"model":"batholith.tiny-v1","input":["a parcel","the sea"],"dimensions":128}`)
	numbers, _ := at(v, "data.1.embedding").([]any)
	if code != 200 || len(numbers) != e.model.Dim() || at(v, "data.1.index") != 1. || at(v, "usage.total_tokens") != 17. {
		t.Fatalf("%d %v", code, v)
	}
	_, v = call(t, e, "POST", "/v1/embeddings", `{"input":"the sea","encoding_format":"base64"}`)
	b, err := base64.StdEncoding.DecodeString(at(v, "data.0.embedding").(string))
	if err != nil || len(b) != 4*e.model.Dim() {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
