package preview

import (
	"encoding/json"
	"strings"

	"github.com/batholith/batholith/internal/words"
)

// Members of bodies that hold what people read, in the order in which they are tried.
var (
	promptMembers    = []string{"prompt", "inputText", "message", "texts", "inputs", "input", "singleEmbeddingParams"}
	answerMembers    = []string{"content", "output", "choices", "results", "generation", "outputs", "completion", "text", "message"}
	embeddingMembers = []string{"embedding", "embeddings", "embeddingsByType", "data"}
)

// Prompt returns the user's text of a modelInput: the text of the last message that is not the assistant's, otherwise the prompt member of the
// family. It returns "" if the body is not a JSON object or has no text.
func Prompt(input []byte) string {
	body := object(input)
	messages, _ := body["messages"].([]any)
	for i := len(messages) - 1; i >= 0; i-- {
		if m, ok := messages[i].(map[string]any); ok && m["role"] != "assistant" {
			if all := texts(m["content"], false); len(all) > 0 {
				return all[0]
			}
		}
	}
	if all := of(body, promptMembers); len(all) > 0 {
		return all[0]
	}
	return ""
}

// Conversation returns all of a modelInput that people read: the system prompt and the turns with their roles, or the prompt.
func Conversation(input []byte) string {
	body := object(input)
	var all []string
	if system := texts(body["system"], true); len(system) > 0 {
		all = append(all, "system: "+strings.Join(system, "\n"))
	}
	messages, _ := body["messages"].([]any)
	for _, m := range messages {
		turn, _ := m.(map[string]any)
		role, _ := turn["role"].(string)
		if said := texts(turn["content"], true); len(said) > 0 {
			all = append(all, role+": "+strings.Join(said, "\n"))
		}
	}
	if len(all) == 1 {
		all[0] = strings.TrimPrefix(all[0], "user: ")
	}
	for _, key := range promptMembers {
		if said := texts(body[key], true); len(said) > 0 {
			all = append(all, strings.Join(said, "\n"))
		}
	}
	return strings.Join(all, "\n\n")
}

// Answer returns the texts of a modelOutput, of which there are several if it has several blocks or choices. A tool call and an embedding are described in
// words: "calls the tool …", "an embedding of 1,024 numbers". It returns none if the body is not a JSON object, or no known member has a text.
func Answer(output []byte) []string {
	body := object(output)
	if all := of(body, answerMembers); len(all) > 0 {
		return all
	}
	for _, key := range embeddingMembers {
		if n := dimension(body[key]); n > 0 {
			return []string{"an embedding of " + words.Plural(int64(n), "number")}
		}
	}
	return nil
}

// object is a JSON object; nil: it is none.
func object(raw []byte) (body map[string]any) {
	if json.Unmarshal(raw, &body) != nil {
		return nil
	}
	return body
}

// of returns the texts of the first of the members that has any.
func of(body map[string]any, members []string) []string {
	for _, key := range members {
		if all := texts(body[key], false); len(all) > 0 {
			return all
		}
	}
	return nil
}

// texts returns the texts in v, trimmed: v itself if it is a string, otherwise those of its entries, or of its first known member that has any. A block
// that calls a tool gives "calls the tool NAME", and with images one that is an image "[an image]".
func texts(v any, images bool) (all []string) {
	switch v := v.(type) {
	case string:
		if text := strings.TrimSpace(v); text != "" {
			return []string{text}
		}
	case []any:
		for _, e := range v {
			all = append(all, texts(e, images)...)
		}
	case map[string]any:
		for _, key := range []string{"text", "outputText", "content", "message", "value"} {
			if all := texts(v[key], images); len(all) > 0 {
				return all
			}
		}
		if name := toolName(v); name != "" {
			return []string{"calls the tool " + name}
		}
		if images && (v["image"] != nil || v["image_url"] != nil || v["type"] == "image") {
			return []string{"[an image]"}
		}
		return texts(v["tool_calls"], images)
	}
	return all
}

// toolName returns the name of the tool that a block calls, or "". It knows the forms of Converse and Nova (toolUse), of OpenAI (function) and of
// Anthropic (type tool_use).
func toolName(block map[string]any) string {
	if block["type"] == "tool_use" {
		return name(block)
	}
	for _, key := range []string{"toolUse", "function"} {
		if call, ok := block[key].(map[string]any); ok {
			return name(call)
		}
	}
	return ""
}

func name(call map[string]any) string {
	name, _ := call["name"].(string)
	return name
}

// dimension returns the length of the first list of numbers in v, at any depth; 0: there is none. All embeddings of an answer have the same one.
func dimension(v any) int {
	switch v := v.(type) {
	case []any:
		if len(v) == 0 {
			return 0
		}
		if _, ok := v[0].(float64); ok {
			return len(v)
		}
		return dimension(v[0])
	case map[string]any:
		for _, e := range v {
			if n := dimension(e); n > 0 {
				return n
			}
		}
	}
	return 0
}
