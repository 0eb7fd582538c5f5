package console

import (
	"encoding/json"
	"fmt"
	"strings"
)

// texts returns what people read of a body, in any family: of an input the turns of a conversation with their roles, or the prompt; of an
// answer its text, and the tools that it calls. "" if there is nothing to read.
func texts(raw json.RawMessage, input bool) string {
	var body map[string]any
	if json.Unmarshal(raw, &body) != nil {
		return ""
	}
	if !input {
		for _, key := range []string{"content", "output", "choices", "results", "generation", "outputs", "completion", "text", "message"} {
			if text := flat(body[key]); text != "" {
				return cut(text)
			}
		}
		for _, key := range []string{"embedding", "embeddings", "embeddingsByType", "data"} {
			if n := numbers(body[key]); n > 0 {
				return fmt.Sprintf("An embedding of %d numbers.", n)
			}
		}
		return ""
	}
	var all []string
	if text := flat(body["system"]); text != "" {
		all = append(all, "system: "+text)
	}
	if messages, ok := body["messages"].([]any); ok {
		for _, m := range messages {
			turn, ok := m.(map[string]any)
			if !ok {
				continue
			}
			role, _ := turn["role"].(string)
			if text := flat(turn["content"]); text != "" {
				all = append(all, role+": "+text)
			}
		}
		if len(all) == 1 {
			all[0] = strings.TrimPrefix(all[0], "user: ")
		}
	}
	for _, key := range []string{"prompt", "inputText", "message", "texts", "inputs", "input", "singleEmbeddingParams"} {
		if text := flat(body[key]); text != "" {
			all = append(all, text)
		}
	}
	return cut(strings.Join(all, "\n\n"))
}

// flat returns the texts in v, one a paragraph.
func flat(v any) string {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v)
	case []any:
		var all []string
		for _, e := range v {
			if text := flat(e); text != "" {
				all = append(all, text)
			}
		}
		return strings.Join(all, "\n")
	case map[string]any:
		for _, key := range []string{"text", "outputText", "content", "message", "value"} {
			if text := flat(v[key]); text != "" {
				return text
			}
		}
		for _, key := range []string{"toolUse", "function"} {
			if call, ok := v[key].(map[string]any); ok {
				return fmt.Sprintf("calls the tool %v", call["name"])
			}
		}
		if v["type"] == "tool_use" {
			return fmt.Sprintf("calls the tool %v", v["name"])
		}
		if v["image"] != nil || v["image_url"] != nil || v["type"] == "image" {
			return "[an image]"
		}
		return flat(v["tool_calls"])
	}
	return ""
}

// numbers returns the length of the first list of numbers in v.
func numbers(v any) int {
	switch v := v.(type) {
	case []any:
		if len(v) == 0 {
			return 0
		}
		if _, ok := v[0].(float64); ok {
			return len(v)
		}
		return numbers(v[0])
	case map[string]any:
		for _, e := range v {
			if n := numbers(e); n > 0 {
				return n
			}
		}
	}
	return 0
}
