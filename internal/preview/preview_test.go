package preview

import (
	"strings"
	"testing"
)

func TestPromptsAndAnswersAreFoundInEveryFamily(t *testing.T) {
	for _, tt := range []struct{ name, input, output, prompt, answer string }{
		{"anthropic", `{"system":"s","messages":[{"role":"user","content":"Hi"}],"max_tokens":9}`,
			`{"type":"message","role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"Hello."}]}`, "Hi", "Hello."},
		{"anthropic blocks", `{"messages":[{"role":"user","content":[{"type":"image","source":{}},{"type":"text","text":"What is it?"}]}]}`,
			`{"content":[{"type":"tool_use","id":"1","name":"look","input":{}}]}`, "What is it?", "calls the tool look"},
		{"last user message", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}`, `{"completion":"d"}`, "c", "d"},
		{"converse", `{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}`,
			`{"output":{"message":{"role":"assistant","content":[{"text":"Hello."}]}},"stopReason":"end_turn"}`, "Hi", "Hello."},
		{"openai", `{"messages":[{"role":"user","content":"Hi"}]}`,
			`{"choices":[{"index":0,"message":{"role":"assistant","content":"Hello."}}]}`, "Hi", "Hello."},
		{"openai tool", `{"messages":[{"role":"user","content":"Hi"}]}`,
			`{"choices":[{"message":{"content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]}`, "Hi", "calls the tool f"},
		{"titan text", `{"inputText":"Hi"}`, `{"inputTextTokenCount":1,"results":[{"outputText":"Hello.","tokenCount":2}]}`, "Hi", "Hello."},
		{"titan embeddings", `{"inputText":"Hi"}`, `{"embedding":[0.5,1,2],"inputTextTokenCount":1}`, "Hi", "an embedding of 3 numbers"},
		{"llama", `{"prompt":"Hi"}`, `{"generation":"Hello.","prompt_token_count":1}`, "Hi", "Hello."},
		{"mistral", `{"prompt":"<s>[INST] Hi [/INST]"}`, `{"outputs":[{"text":"Hello.","stop_reason":"stop"}]}`, "<s>[INST] Hi [/INST]", "Hello."},
		{"cohere", `{"message":"Hi"}`, `{"text":"Hello.","finish_reason":"COMPLETE"}`, "Hi", "Hello."},
		{"cohere embeddings", `{"texts":["Hi","there"]}`, `{"id":"x","embeddings":{"float":[[1,2]]}}`, "Hi", "an embedding of 2 numbers"},
		{"deepseek", `{"prompt":"Hi"}`, `{"choices":[{"text":"Hello.","stop_reason":"stop"}]}`, "Hi", "Hello."},
		{"openai embeddings", `{"input":"Hi"}`, `{"data":[{"embedding":[1,2,3]}]}`, "Hi", "an embedding of 3 numbers"},
		{"several choices", `{"prompt":"Hi"}`, `{"choices":[{"text":"a"},{"message":{"content":null,"tool_calls":[{"function":{"name":"f"}},{"function":{"name":"g"}}]}}]}`, "Hi", "a|calls the tool f|calls the tool g"},
		{"unheard of", `{"x":1}`, `{"y":2}`, "", ""},
		{"no object", `[]`, `3`, "", ""},
	} {
		if got := Prompt([]byte(tt.input)); got != tt.prompt {
			t.Errorf("%s: prompt %q, want %q", tt.name, got, tt.prompt)
		}
		if got := strings.Join(Answer([]byte(tt.output)), "|"); got != tt.answer {
			t.Errorf("%s: answer %q, want %q", tt.name, got, tt.answer)
		}
	}
}

func TestAConversationHasEveryTurn(t *testing.T) {
	for _, tt := range []struct{ name, input, want string }{
		{"one turn", `{"messages":[{"role":"user","content":"Hi"}]}`, "Hi"},
		{"turns and blocks", `{"system":[{"text":"Be kind."}],"messages":[{"role":"user","content":[{"type":"image","source":{}},{"text":"What?"}]},{"role":"assistant","content":"A cat."},{"role":"user","content":"Sure?"}]}`,
			"system: Be kind.\n\nuser: [an image]\nWhat?\n\nassistant: A cat.\n\nuser: Sure?"},
		{"prompt", `{"prompt":" Hi "}`, "Hi"},
		{"wrong types", `{"system":3,"messages":[4,{"role":5,"content":6}],"prompt":null}`, ""},
		{"no object", `[]`, ""},
	} {
		if got := Conversation([]byte(tt.input)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
