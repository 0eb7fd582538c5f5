package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/batholith/batholith/internal/words"
)

// promptOf finds what a person asked in a modelInput of whatever family: the last user message, or the prompt.
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

// answerOf finds what the model said in a modelOutput of whatever family.
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

// textOf is the first text in a value: a string, or the text of a block, of a message or of the first entry that has any.
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

// toolName is the tool that a block or a message calls.
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

// countNumbers is the length of the first list of numbers in v.
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
