package dialect

import (
	"slices"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// Each member that is ours, or that can be said otherwise, is known by the refusals of servers; what is the user's own is never left out.
func TestOnlyMembersThatARecordCanDoWithoutAreLeftOut(t *testing.T) {
	const claude = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"messages":`
	for _, c := range []struct {
		family, body, refusal string
		has, lacks            string // of the second request; no text: there is none
		dropped               string
	}{
		{"titan-embed", `{"inputText":"x","dimensions":1024}`, `Model "m" does not support matryoshka representation, changing output dimensions will lead to poor results.`, `"input":"x"`, "dimensions", ""},
		{"titan-embed", `{"inputText":"x","dimensions":1024}`, "Extra inputs are not permitted: body.encoding_format", `"dimensions":1024`, "encoding_format", ""},
		{"titan-embed", `{"inputText":"x"}`, "model does not support matryoshka representation", "", "", ""},
		{"titan-embed", `{"inputText":"x","inputImage":"/9j/A"}`, "[{'type': 'missing', 'loc': ('body', 'input'), 'msg': 'Field required'}]", `"input":[{"text":"x","image":"data:image/jpeg;base64,/9j/A"}],"enc`, "messages", ""},
		{"titan-embed", `{"inputImage":"/9j/A"}`, "Failed to deserialize the JSON body into the target type: missing field `input` at line 1 column 90", `"input":[{"image":"data:image/jpeg;base64,/9j/A"}]`, "messages", ""},
		{"titan-embed", `{"inputImage":"/9j/A"}`, "served is not a multimodal model", "", "", ""},
		{"titan-embed", `{"inputText":"x"}`, "missing field `input`", "", "", ""},
		{"cohere-embed", `{"images":["data:image/png;base64,A","data:image/png;base64,B"],"input_type":"image"}`, "missing field `input`", "", "", ""},
		{"cohere-embed", `{"texts":["x"],"input_type":"classification","output_dimension":8}`, "This model does not support specifying dimensions.", `["x"]`, "dimensions", ""},
		{"anthropic", claude + `[{"role":"user","content":"q"},{"role":"assistant","content":"{"}]}`, "Unrecognized request arguments supplied: add_generation_prompt, continue_final_message", `"enable_thinking":false`, "add_generation_prompt", "continue_final_message"},
		{"anthropic", claude + `[{"role":"user","content":"q"},{"role":"assistant","content":"{"}]}`, "property 'chat_template_kwargs' is unsupported", `"continue_final_message":true`, "chat_template_kwargs", ""},
		{"anthropic", claude + `[{"role":"user","content":"q"}],"thinking":{"type":"enabled","budget_tokens":1024}}`, "property 'chat_template_kwargs' is unsupported", "", "", ""},
		{"anthropic", claude + `[{"role":"user","content":"q"}],"thinking":{"type":"enabled","budget_tokens":1024}}`, "thinking_token_budget is set but reasoning_config is not configured. Please set --reasoning-config to use thinking_token_budget.",
			`"enable_thinking":true`, "budget_tokens", "thinking.budget_tokens"},
		{"anthropic", claude + `[{"role":"user","content":"q"}],"thinking":{"type":"enabled"}}`, "thinking_token_budget is set but reasoning_config is not configured", "", "", ""},
		{"anthropic", claude + `[{"role":"user","content":"q"}]}`, "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", `"max_completion_tokens":5`, `"max_tokens"`, ""},
		{"anthropic", claude + `[{"role":"user","content":"q"}]}`, "max_tokens is too large: 5. This model supports at most 4 completion tokens", "", "", ""},
		{"anthropic", claude + `[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"thinking","thinking":"h","signature":""},{"type":"text","text":"a"}]},{"role":"user","content":"r"}]}`,
			"messages.1.reasoning_content: Extra inputs are not permitted", `"content":"a"`, "reasoning_content", "reasoning_content"},
		{"anthropic", claude + `[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}`,
			"Failed to deserialize the JSON body into the target type: messages[0]: invalid type: sequence, expected a string", `"content":"a\nb"`, `"type":"text"`, ""},
		{"anthropic", claude + `[{"role":"user","content":"a"}]}`, "Failed to deserialize the JSON body: invalid type: sequence, expected a string", "", "", ""},
		{"anthropic", claude + `[{"role":"user","content":"a"}],"top_k":3}`, "Unrecognized request argument supplied: top_k", "", "", ""},
		{"llama", `{"prompt":"<|begin_of_text|>x"}`, "unexpected keyword argument 'add_special_tokens'", `"max_tokens":512`, "add_special_tokens", "add_special_tokens"},
		{"openai", `{"messages":[{"role":"user","content":"q"}],"max_tokens":5,"chat_template_kwargs":{"enable_thinking":true}}`, "chat_template_kwargs is unsupported", "", "", ""},
		{"openai", `{"messages":[{"role":"user","content":"q"}],"max_tokens":5}`, "Use 'max_completion_tokens' instead.", `"max_completion_tokens":5`, `"max_tokens"`, ""},
	} {
		d, err := For(c.family, ProtocolOpenAI, batholith.InvokeModel, Options{})
		if err != nil {
			t.Fatal(err)
		}
		call, err := d.Request([]byte(c.body), "served")
		if err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		before := string(call.Body)
		refused := Refused(call, &batholith.Failure{Status: 400, Message: c.refusal})
		if (refused != 0) != (c.has != "") {
			t.Errorf("%s to %s: %b is left out", c.refusal, before, refused)
			continue
		}
		again := Without(call, refused)
		wholesome(t, c.refusal, again.Body)
		if body := string(again.Body); c.has != "" && (!strings.Contains(body, c.has) || strings.Contains(body, c.lacks)) {
			t.Errorf("%s to %s: the second request is %s", c.refusal, before, body)
		}
		if c.dropped != "" && !slices.Contains(again.Changes.Dropped, c.dropped) || string(call.Body) != before || len(again.Changes.Dropped)-len(call.Changes.Dropped) != len(strings.Fields(c.dropped)) {
			t.Errorf("%s: dropped is %v", c.refusal, again.Changes.Dropped)
		}
		if Refused(again, &batholith.Failure{Status: 400, Message: c.refusal})&refused != 0 {
			t.Errorf("%s: it is left out twice", c.refusal)
		}
		for _, status := range []int{0, 200, 401, 403, 429, 503} {
			if Refused(call, &batholith.Failure{Status: status, Message: c.refusal}) != 0 {
				t.Errorf("status %d counts as a refusal of a member", status)
			}
		}
	}
}

// Two turns of one role in a row are one message, in every family that has turns, and nothing of them is lost.
func TestTurnsOfOneRoleInARowAreOne(t *testing.T) {
	for _, c := range []struct {
		family string
		typ    batholith.InvocationType
		body   string
		want   string
	}{
		{"anthropic", batholith.InvokeModel, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"},{"role":"assistant","content":"c"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"w","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"r"}]},{"role":"user","content":"d"}]}`,
			`[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":"c","tool_calls":[{"id":"t","type":"function","function":{"name":"w","arguments":"{}"}}]},{"role":"tool","tool_call_id":"t","content":"r"},{"role":"user","content":"d"}]`},
		{"anthropic", batholith.InvokeModel, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"w","input":{}},{"type":"tool_use","id":"2","name":"w","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"r"}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"2","content":"s"},{"type":"text","text":"t"}]}]}`,
			`{"role":"tool","tool_call_id":"1","content":"r"},{"role":"tool","tool_call_id":"2","content":"s"},{"role":"user","content":"t"}]`},
		{"anthropic", batholith.Converse, `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"user","content":[{"text":"b"}]}]}`, `[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]`},
		{"nova", batholith.InvokeModel, `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"user","content":[{"text":"b"}]}]}`, `[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]`},
		{"cohere", batholith.InvokeModel, `{"message":"b","chat_history":[{"role":"USER","message":"a"}]}`, `[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]`},
	} {
		d, err := For(c.family, ProtocolOpenAI, c.typ, Options{})
		if err != nil {
			t.Fatal(err)
		}
		call, err := d.Request([]byte(c.body), "served")
		if err != nil || !strings.Contains(string(call.Body), c.want) {
			t.Errorf("%s: %v, %s; want %s", c.family, err, call.Body, c.want)
		}
	}
}
