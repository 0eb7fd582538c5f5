package upstream

import (
	"bytes"
	"context"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
)

// Count returns the number of input tokens of a call, as the server's own tokenizer counts them; ok is false if the server cannot tell:
//
//   - vLLM: POST /tokenize takes the messages or the prompt and answers "count" (vllm/entrypoints/serve/tokenize).
//   - llama.cpp: POST /apply-template makes a prompt of the messages, and POST /tokenize its tokens (tools/server/README.md). Its /tokenize
//     answers an empty list to vLLM's request.
//   - Anthropic Messages: POST /messages/count_tokens answers "input_tokens".
func (b *Backend) Count(ctx context.Context, call batholith.Call) (tokens int64, ok bool) {
	var request struct {
		Messages jsontext.Value `json:"messages,omitzero"`
		Prompt   string         `json:"prompt,omitzero"`
		System   jsontext.Value `json:"system,omitzero"`
		Tools    jsontext.Value `json:"tools,omitzero"`
		Choice   jsontext.Value `json:"tool_choice,omitzero"`
		Thinking jsontext.Value `json:"thinking,omitzero"`
		Model    string         `json:"model,omitzero"`
	}
	if json.Unmarshal(call.Body, &request, lenient) != nil {
		return 0, false
	}
	if call.Path == "/messages" {
		var answer struct {
			Tokens int64 `json:"input_tokens"`
		}
		ok := b.tell(ctx, b.base.String()+"/messages/count_tokens", request, &answer)
		return batholith.BelievedTokens(answer.Tokens), ok && answer.Tokens > 0
	}
	if request.Messages == nil && request.Prompt == "" {
		return 0, false // embeddings
	}
	var answer struct {
		Count  int64            `json:"count"`
		Tokens []jsontext.Value `json:"tokens"`
	}
	question := map[string]any{"model": b.ModelName()}
	if request.Messages != nil {
		question["messages"], question["add_generation_prompt"] = request.Messages, true
		if request.Tools != nil {
			question["tools"] = request.Tools
		}
	} else {
		question["prompt"] = request.Prompt
	}
	if !b.tell(ctx, b.beside("/tokenize"), question, &answer) {
		return 0, false
	}
	if answer.Count > 0 {
		return batholith.BelievedTokens(answer.Count), true
	}
	var template struct {
		Prompt string `json:"prompt"`
	}
	if template.Prompt = request.Prompt; request.Messages != nil && !b.tell(ctx, b.beside("/apply-template"), jsontext.Value(call.Body), &template) {
		return 0, false
	}
	answer.Tokens = nil
	ok = b.tell(ctx, b.beside("/tokenize"), map[string]any{"content": template.Prompt, "add_special": true, "parse_special": true}, &answer)
	return int64(len(answer.Tokens)), ok && len(answer.Tokens) > 0
}

// tell sends a small POST and decodes its answer. It returns false if that does not succeed.
func (b *Backend) tell(ctx context.Context, url string, question, answer any) bool {
	body, err := json.Marshal(question, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return false
	}
	s := &sending{patience: min(probeTimeout, b.o.Timeout)}
	attempt, cancel := context.WithTimeoutCause(ctx, s.patience, errTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(s.trace(attempt), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	got, err := b.exchange(b.client, req, body, s, readList)
	return err == nil && json.Unmarshal(got, answer, lenient) == nil
}
