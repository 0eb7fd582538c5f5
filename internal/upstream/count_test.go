package upstream

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

func TestEachServerCountsTokensInItsOwnWay(t *testing.T) {
	const (
		chat   = `{"model":"m","messages":[{"role":"user","content":"Hello"}],"max_tokens":9,"tools":[{"type":"function"}]}`
		prompt = `{"model":"m","prompt":"Hello","max_tokens":9}`
		claude = `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hello"}],"system":"Be brief.","stream":false}`
	)
	vllm := func(path, body string) string {
		if path == "/tokenize" && (strings.Contains(body, `"messages"`) && strings.Contains(body, `"add_generation_prompt":true`) && strings.Contains(body, `"tools"`) || strings.Contains(body, `"prompt":"Hello"`)) {
			return `{"count":7,"max_model_len":100,"tokens":[1,2,3,4,5,6,7]}`
		}
		return ""
	}
	llama := func(path, body string) string {
		switch {
		case path == "/apply-template" && strings.Contains(body, `"messages"`):
			return `{"prompt":"<user>Hello"}`
		case path == "/tokenize" && (strings.Contains(body, `"content":"<user>Hello"`) || strings.Contains(body, `"content":"Hello"`)) && strings.Contains(body, `"parse_special":true`):
			return `{"tokens":[1,2,3]}`
		case path == "/tokenize":
			return `{"tokens":[]}`
		}
		return ""
	}
	anthropic := func(path, body string) string {
		if path == "/v1/messages/count_tokens" && strings.Contains(body, `"system"`) && !strings.Contains(body, "max_tokens") && !strings.Contains(body, "stream") {
			return `{"input_tokens":11}`
		}
		return ""
	}
	nothing := func(string, string) string { return "" }
	for _, c := range []struct {
		name   string
		server func(path, body string) string
		path   string
		body   string
		tokens int64
	}{
		{"vLLM, a chat", vllm, "/chat/completions", chat, 7},
		{"vLLM, a prompt", vllm, "/completions", prompt, 7},
		{"llama.cpp, a chat", llama, "/chat/completions", chat, 3},
		{"llama.cpp, a prompt", llama, "/completions", prompt, 3},
		{"Anthropic", anthropic, "/messages", claude, 11},
		{"a server that cannot", nothing, "/chat/completions", chat, 0},
		{"embeddings", vllm, "/embeddings", `{"model":"m","input":"Hello"}`, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if answer := c.server(r.URL.Path, string(body)); answer != "" {
					fmt.Fprint(w, answer)
					return
				}
				w.WriteHeader(http.StatusNotFound)
			}))
			defer s.Close()
			b, err := New(Options{URL: s.URL + "/v1", Model: "m"})
			if err != nil {
				t.Fatal(err)
			}
			if n, ok := b.Count(t.Context(), batholith.Call{Path: c.path, Body: []byte(c.body)}); n != c.tokens || ok != (c.tokens > 0) {
				t.Errorf("%d tokens (%v), want %d", n, ok, c.tokens)
			}
		})
	}
}
