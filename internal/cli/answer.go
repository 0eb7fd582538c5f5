package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/batholith/batholith/internal/words"
)

// promptOf returns the user's text of a modelInput, in any model family: the text of the last message that is not
// the assistant's, otherwise the prompt member of the family. It returns "" if the body is not JSON or has no
// text. It serves previews only; requests are never built from it.
func promptOf(input []byte) string {
	var body map[string]any
	if json.Unmarshal(input, &body) != nil {
		return ""
	}
	if messages, ok := body["messages"].([]any); ok {
		for i := len(messages) - 1; i >= 0; i-- {
			if m, ok := messages[i].(map[string]any); ok && m["role"] != "assistant" {
				if text := textOf(m["content"]); text != "" {
					return text
				}
			}
		}
	}
	for _, key := range []string{"prompt", "inputText", "message", "texts", "inputs", "singleEmbeddingParams"} {
		if text := textOf(body[key]); text != "" {
			return text
		}
	}
	return ""
}

// answerOf returns the model's text of a modelOutput, in any model family. A tool call and an embedding are
// described in words ("calls the tool …", "an embedding of 1,024 numbers"). If no known member has a text, it
// returns the output as it is; if the output is not JSON, "". The members are tried in a fixed order, so equal
// outputs give equal texts.
func answerOf(output []byte) string {
	var body map[string]any
	if json.Unmarshal(output, &body) != nil {
		return ""
	}
	for _, key := range []string{"content", "output", "choices", "results", "generation", "outputs", "completion", "text", "message"} {
		if text := textOf(body[key]); text != "" {
			return text
		}
	}
	for _, key := range []string{"embedding", "embeddings", "embeddingsByType"} {
		if n := countNumbers(body[key]); n > 0 {
			return fmt.Sprintf("an embedding of %s", words.Plural(int64(n), "number"))
		}
	}
	return string(output)
}

// textOf returns the first non-empty text in v, trimmed: v itself if it is a string, otherwise the text of the
// first entry or of the first known member that has one. A block without text that calls a tool gives "calls the
// tool NAME". It returns "" if there is nothing to show.
func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v)
	case []any:
		for _, e := range v {
			if text := textOf(e); text != "" {
				return text
			}
		}
	case map[string]any:
		for _, key := range []string{"text", "outputText", "content", "message", "value"} {
			if text := textOf(v[key]); text != "" {
				return text
			}
		}
		if name := toolName(v); name != "" {
			return "calls the tool " + name
		}
	}
	return ""
}

// toolName returns the name of the tool that a content block or a message calls, or "". It knows the forms of
// Converse and Nova (toolUse), of OpenAI (function, tool_calls) and of Anthropic (type tool_use).
func toolName(block map[string]any) string {
	for _, key := range []string{"toolUse", "function"} {
		if call, ok := block[key].(map[string]any); ok {
			name, _ := call["name"].(string)
			return name
		}
	}
	if block["type"] == "tool_use" {
		name, _ := block["name"].(string)
		return name
	}
	if calls, ok := block["tool_calls"].([]any); ok && len(calls) > 0 {
		if call, ok := calls[0].(map[string]any); ok {
			return toolName(call)
		}
	}
	return ""
}

// countNumbers returns the length of the first list of numbers in v, at any depth: the dimension of an embedding.
// It returns 0 if v has no such list. All embeddings of one answer have the same dimension, so the first is
// enough.
func countNumbers(v any) int {
	switch v := v.(type) {
	case []any:
		if len(v) == 0 {
			return 0
		}
		if _, ok := v[0].(float64); ok {
			return len(v)
		}
		return countNumbers(v[0])
	case map[string]any:
		for _, e := range v {
			if n := countNumbers(e); n > 0 {
				return n
			}
		}
	}
	return 0
}
