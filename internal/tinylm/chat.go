package tinylm

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// params are the parameters of both chat completions and completions. Absent ones are zero. Without a temperature decoding is
// greedy, unlike OpenAI's default of 1, because the answers of this model are labels.
type params struct {
	Model       string   `json:"model"`
	MaxTokens   *int     `json:"max_tokens"`
	Temperature *float64 `json:"temperature"`
	TopP        *float64 `json:"top_p"`
	TopK        *int     `json:"top_k"`
	Seed        *int64   `json:"seed"`
	Stop        stops    `json:"stop"`

	N        *int            `json:"n"`
	Stream   bool            `json:"stream"`
	Options  streamOptions   `json:"stream_options"`
	Logprobs json.RawMessage `json:"logprobs"`
}

// stops is one stop sequence or a list of them.
type stops []string

// UnmarshalJSON reads a string or a list of strings.
func (s *stops) UnmarshalJSON(b []byte) error {
	var one string
	if string(b) == "null" {
		return nil
	}
	if json.Unmarshal(b, &one) == nil {
		*s = stops{one}
		return nil
	}
	if json.Unmarshal(b, (*[]string)(s)) != nil {
		return invalid("stop must be a string or a list of strings")
	}
	return nil
}

// request makes the engine's request. An error names a parameter that the engine does not support.
func (p *params) request(prompt []int) (Request, error) {
	if err := served(p.Model); err != nil {
		return Request{}, err
	}
	if err := p.check(); err != nil {
		return Request{}, err
	}
	r := Request{Prompt: prompt, Stop: p.Stop}
	r.MaxTokens = value(p.MaxTokens)
	r.Temperature, r.TopP, r.TopK = value(p.Temperature), value(p.TopP), max(value(p.TopK), 0)
	r.Seed = uint64(value(p.Seed))
	return r, nil
}

// check returns an error for an unsupported parameter, or one out of range.
func (p *params) check() error {
	switch {
	case p.N != nil && *p.N != 1:
		return invalid("n is %d: this server gives one answer a request", *p.N)
	case !absent(p.Logprobs):
		return invalid("logprobs: this server does not report them")
	case p.MaxTokens != nil && *p.MaxTokens < 1:
		return invalid("max_tokens is %d: it must be at least 1", *p.MaxTokens)
	case p.Temperature != nil && (*p.Temperature < 0 || *p.Temperature > 2):
		return invalid("temperature is %v: it must be between 0 and 2", *p.Temperature)
	case p.TopP != nil && (*p.TopP < 0 || *p.TopP > 1):
		return invalid("top_p is %v: it must be between 0 and 1", *p.TopP)
	}
	return nil
}

// value is *p, or zero for nil.
func value[T any](p *T) (zero T) {
	if p == nil {
		return zero
	}
	return *p
}

// absent reports whether a field is missing, or has a value that requests nothing.
func absent(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", "false", "[]", "0":
		return true
	}
	return false
}

type chatRequest struct {
	params
	Messages            []chatMessage   `json:"messages"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	Tools               json.RawMessage `json:"tools"`
	Functions           json.RawMessage `json:"functions"`
	ResponseFormat      *struct {
		Type string `json:"type"`
	} `json:"response_format"`
}

type chatMessage struct {
	Role      string          `json:"role"`
	Content   content         `json:"content"`
	ToolCalls json.RawMessage `json:"tool_calls"`
}

// content is a message's text, given whole or in parts.
type content string

// UnmarshalJSON reads a string, null, or a list of text parts. Any other part is an error.
func (c *content) UnmarshalJSON(b []byte) error {
	var whole *string // null: an assistant's turn without text
	if json.Unmarshal(b, &whole) == nil {
		*c = content(value(whole))
		return nil
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(b, &parts) != nil {
		return invalid("a message's content must be a string or a list of parts")
	}
	var text strings.Builder
	for _, p := range parts {
		if p.Type != "text" {
			return invalid("a message has a part of type %q: this model reads text only", p.Type)
		}
		text.WriteString(p.Text)
	}
	*c = content(text.String())
	return nil
}

// prompt encodes the conversation as tokens. Empty system messages are left out.
func (c *chatRequest) prompt() ([]int, error) {
	var ms []Message
	for i, m := range c.Messages {
		role := m.Role
		if role == "developer" { // OpenAI's newer name of the role
			role = "system"
		}
		if !absent(m.ToolCalls) || role == "tool" || role == "function" {
			return nil, invalid("messages[%d] has to do with a tool: this model uses none", i)
		}
		if role == "system" && m.Content == "" {
			continue
		}
		ms = append(ms, Message{role, string(m.Content)})
	}
	if len(ms) == 0 {
		return nil, invalid("messages is empty")
	}
	ids, err := Encode(ms)
	if err != nil {
		return nil, invalid("messages: %v", err)
	}
	return ids, nil
}

// check returns an error for members that only chat completions have and that the model does not support.
func (c *chatRequest) check() error {
	switch {
	case !absent(c.Tools) || !absent(c.Functions):
		return invalid("tools: this model uses none")
	case c.ResponseFormat != nil && c.ResponseFormat.Type != "" && c.ResponseFormat.Type != "text":
		return invalid("response_format %q: this model answers in plain text only", c.ResponseFormat.Type)
	}
	return nil
}

// chat answers POST /v1/chat/completions.
func (e *Engine) chat(r *http.Request) (any, error) {
	var c chatRequest
	if err := read(r, &c); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.MaxCompletionTokens != nil {
		c.MaxTokens = c.MaxCompletionTokens
	}
	prompt, err := c.prompt()
	if err != nil {
		return nil, err
	}
	req, err := c.request(prompt)
	if err != nil {
		return nil, err
	}
	if c.Stream {
		return reply{req, true, c.Options.IncludeUsage}, nil
	}
	res, used, err := e.answered(r.Context(), req)
	if err != nil {
		return nil, err
	}
	message := map[string]any{"role": "assistant", "content": res.Text, "refusal": nil}
	choice := map[string]any{"index": 0, "message": message, "logprobs": nil, "finish_reason": res.Reason}
	return map[string]any{"id": e.id("chatcmpl"), "object": "chat.completion", "created": time.Now().Unix(), "model": Name, "choices": []any{choice}, "usage": used}, nil
}

type completionRequest struct {
	params
	Prompt *string `json:"prompt"`
}

// completion answers POST /v1/completions. It sends the prompt as one user turn, since the model was trained on conversations only.
func (e *Engine) completion(r *http.Request) (any, error) {
	var c completionRequest
	if err := read(r, &c); err != nil {
		return nil, err
	}
	if c.Prompt == nil {
		return nil, invalid("prompt is missing: it must be a string")
	}
	prompt, err := Encode([]Message{{"user", *c.Prompt}})
	if err != nil {
		return nil, err
	}
	req, err := c.request(prompt)
	if err != nil {
		return nil, err
	}
	if c.Stream {
		return reply{req, false, c.Options.IncludeUsage}, nil
	}
	res, used, err := e.answered(r.Context(), req)
	if err != nil {
		return nil, err
	}
	choice := map[string]any{"index": 0, "text": res.Text, "logprobs": nil, "finish_reason": res.Reason}
	return map[string]any{"id": e.id("cmpl"), "object": "text_completion", "created": time.Now().Unix(), "model": Name, "choices": []any{choice}, "usage": used}, nil
}
