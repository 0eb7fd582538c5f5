package dialect

import (
	"fmt"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

func typeName(v any) string {
	name := fmt.Sprintf("%T", v)
	return name[strings.LastIndexByte(name, '.')+1:]
}

// requested is the request that a family makes of a body, or its refusal.
func requested(t *testing.T, table, body string) string {
	t.Helper()
	call, err := dialectOf(t, table).Request([]byte(body), "m")
	if err != nil {
		return err.Error()
	}
	return string(call.Body)
}

// TestEmptyMembersAreOmitted: gateways and helpers write empty members for none, and servers refuse them.
func TestEmptyMembersAreOmitted(t *testing.T) {
	const (
		plain  = `{"model":"m","messages":[{"role":"user","content":"x"}]`
		prompt = `{"model":"m","prompt":"x","max_tokens":512}`
		claude = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"messages":[{"role":"user","content":"x"}],`
	)
	for _, c := range []struct{ table, body, want string }{
		{"anthropic", claude + `"system":"","tools":[],"tool_choice":{"type":"auto","disable_parallel_tool_use":true},"stop_sequences":[]}`, plain + `,"max_tokens":1}`},
		{"anthropic", claude + `"system":[{"type":"text","text":""}],"tool_choice":{"type":"none"}}`, plain + `,"max_tokens":1}`},
		{"anthropic (text)", `{"prompt":"\n\nHuman: x\n\nAssistant:","max_tokens_to_sample":1,"stop_sequences":[]}`, plain + `,"max_tokens":1}`},
		{"converse", `{"messages":[{"role":"user","content":[{"text":"x"}]}],"system":[{"text":""}],"inferenceConfig":{"stopSequences":[]},"toolConfig":{"tools":[],"toolChoice":{"auto":{}}}}`, plain + `}`},
		{"converse", `{"messages":[{"role":"user","content":[{"text":"x"}]}],"system":[],"additionalModelRequestFields":{"stop_sequences":[],"tools":[],"tool_choice":{"type":"auto"}}}`, plain + `}`},
		{"nova", `{"messages":[{"role":"user","content":[{"text":"x"}]}],"system":[],"inferenceConfig":{"stopSequences":[]}}`, plain + `}`},
		{"titan-text", `{"inputText":"x","textGenerationConfig":{"stopSequences":[]}}`, plain + `,"max_tokens":512}`},
		{"cohere", `{"message":"x","preamble":"","stop_sequences":[],"tools":[],"chat_history":[],"tool_results":[],"documents":[]}`, plain + `}`},
		{"llama", `{"prompt":"x","stop":[]}`, prompt},
		{"mistral", `{"prompt":"x","stop":[]}`, prompt},
		{"mistral (chat)", `{"messages":[{"role":"user","content":"x"}],"stop":[],"tools":[],"tool_choice":"auto"}`, plain + `}`},
		{"openai", `{"messages":[{"role":"user","content":"x"}],"stop":[],"tools":[],"tool_choice":"none","parallel_tool_calls":true}`, plain + `}`},
	} {
		if got := requested(t, c.table, c.body); got != c.want {
			t.Errorf("%s: %s\n is %s\nwant %s", c.table, c.body, got, c.want)
		}
	}
}

// TestAForcedChoiceWithoutToolsIsRefused: what the body wants cannot be had.
func TestAForcedChoiceWithoutToolsIsRefused(t *testing.T) {
	for table, body := range map[string]string{
		"anthropic": `{"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tools":[],"tool_choice":{"type":"any"}}`,
		"converse":  `{"messages":[{"role":"user","content":[{"text":"x"}]}],"toolConfig":{"toolChoice":{"tool":{"name":"f"}}}}`,
		"openai":    `{"messages":[{"role":"user","content":"x"}],"tool_choice":"required"}`,
	} {
		if got := requested(t, table, body); !strings.Contains(got, "there are no tools to choose from") {
			t.Errorf("%s: %s", table, got)
		}
	}
}

// TestAGuardrailIsRefusedInEveryFamily: an answer that no guardrail looked at is worse than none.
func TestAGuardrailIsRefusedInEveryFamily(t *testing.T) {
	bodies := map[string]value{}
	for _, s := range readSamples(t) {
		bodies[s.family] = s.body
	}
	for _, table := range tables {
		body := `{"amazon-bedrock-guardrailConfig":{"tagSuffix":"a"},` + string(bodies[table.family][1:])
		if got := requested(t, table.family, body); !strings.Contains(got, "guardrail") || strings.HasPrefix(got, "{") {
			t.Errorf("%s: %s", table.family, got)
		}
	}
	fields := `{"messages":[{"role":"user","content":[{"text":"x"}]}],"additionalModelRequestFields":{"amazon-bedrock-guardrailConfig":{}}}`
	if got := requested(t, "converse", fields); !strings.Contains(got, "Batholith applies no guardrails") {
		t.Errorf("converse: %s", got)
	}
}

// TestAToolThatCannotBeServedIsRefusedForItsOwnReason: the client runs some tools of Anthropic's types, Anthropic the others.
func TestAToolThatCannotBeServedIsRefusedForItsOwnReason(t *testing.T) {
	for typ, want := range map[string]string{
		"bash_20250124": "is built into Claude", "text_editor_20250728": "is built into Claude", "computer_20250124": "is built into Claude",
		"memory_20250818": "is built into Claude", "web_search_20250305": "a tool that Anthropic runs", "code_execution_20250825": "a tool that Anthropic runs",
	} {
		tools := `"tools":[{"type":"` + typ + `","name":"t"}]`
		for table, body := range map[string]string{
			"anthropic": `{"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"messages":[{"role":"user","content":"x"}],` + tools + `}`,
			"converse":  `{"messages":[{"role":"user","content":[{"text":"x"}]}],"additionalModelRequestFields":{` + tools + `}}`,
		} {
			if got := requested(t, table, body); !strings.Contains(got, "tools.0.type: ") || !strings.Contains(got, want) || !strings.Contains(got, "custom tool") {
				t.Errorf("%s: %s", table, got)
			}
		}
	}
}

func TestAFailureOfAToolIsSaidOnce(t *testing.T) {
	const head = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","is_error":`
	for body, want := range map[string]string{
		`true}]}]}`:                            `"content":"Error: the tool failed and gave no reason."`,
		`true,"content":""}]}]}`:               `"content":"Error: the tool failed and gave no reason."`,
		`true,"content":[]}]}]}`:               `"content":"Error: the tool failed and gave no reason."`,
		`true,"content":"no such town"}]}]}`:   `"content":"Error: no such town"`,
		`true,"content":"ERROR: no town"}]}]}`: `"content":"ERROR: no town"`,
		`false,"content":"12"}]}]}`:            `"content":"12"`,
	} {
		if got := requested(t, "anthropic", head+body); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

func TestPythonsTypesBecomeThoseOfJSONSchema(t *testing.T) {
	for typ, want := range map[string]string{
		"str": `{"type":"string"}`, "List[str]": `{"type":"array","items":{"type":"string"}}`, "list": `{"type":"array"}`, "typing.List[int]": `{"type":"array","items":{"type":"integer"}}`,
		"Dict[str, List[float]]": `{"type":"object","additionalProperties":{"type":"array","items":{"type":"number"}}}`, "dict": `{"type":"object"}`,
		"Optional[bool]": `{"anyOf":[{"type":"boolean"},{"type":"null"}]}`, "int | None": `{"anyOf":[{"type":"integer"},{"type":"null"}]}`,
		"Union[str, List[Union[int, float]]]": `{"anyOf":[{"type":"string"},{"type":"array","items":{"anyOf":[{"type":"integer"},{"type":"number"}]}}]}`,
		"Literal['a', \"b\", 3, True]":        `{"enum":["a","b",3,true]}`, "Tuple[int, str]": `{"type":"array"}`, "Tuple[int, ...]": `{"type":"array","items":{"type":"integer"}}`,
		"string": `{"type":"string"}`, "Any": `{}`, "": `{}`, "List[Widget]": `{"type":"array","items":{}}`,
	} {
		var b buffer
		b.open('{')
		ok := b.pythonType(typ)
		b.close('}')
		if string(b) != want || !ok {
			t.Errorf("%s is %s, %v, want %s", typ, b, ok, want)
		}
	}
	got := requested(t, "cohere", `{"message":"x","tools":[{"name":"f","parameter_definitions":{"d":{"type":"datetime.date","description":"when"}}}]}`)
	if want := `"d":{"description":"when\nType: datetime.date"}`; !strings.Contains(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestTheMarkOfTheBeginningIsSeenHoweverItIsWritten: a server that adds its own would show the model two.
func TestTheMarkOfTheBeginningIsSeenHoweverItIsWritten(t *testing.T) {
	for prompt, want := range map[string]bool{
		`<|begin_of_text|>x`: true, `\n<|begin_of_text|>x`: true, ` \t\u000a<|begin_of_text|>x`: true, `\u003c|begin_of_text|\u003ex`: true,
		`<s>[INST] x`: true, ` <s>x`: true, `<\uff5cbegin\u2581of\u2581sentence\uff5c>x`: true, "<｜begin▁of▁sentence｜>x": true, `<bos>x`: true,
		`x <s>`: false, ``: false, `\ud83d\ude00`: false, `<`: false, `\\n<s>`: false,
	} {
		got := requested(t, "llama", `{"prompt":"`+prompt+`"}`)
		if strings.Contains(got, `"add_special_tokens":false`) != want {
			t.Errorf("%s: %s", prompt, got)
		}
	}
}

// TestOnlyBodiesOfNovaHaveACachePointBesideAText, as the services do.
func TestOnlyBodiesOfNovaHaveACachePointBesideAText(t *testing.T) {
	for _, block := range []string{`{"text":"x","cachePoint":{"type":"default"}}`, `{"cachePoint":{"type":"default"},"text":"x"}`} {
		body := `{"messages":[{"role":"user","content":[` + block + `]}]}`
		if got := requested(t, "nova", body); !strings.Contains(got, `"content":"x"`) {
			t.Errorf("nova: %s", got)
		}
		if got := requested(t, "converse", body); !strings.Contains(got, "only one of") {
			t.Errorf("converse: %s", got)
		}
	}
	two := `{"messages":[{"role":"user","content":[{"text":"x","cachePoint":{"type":"default"},"image":{}}]}]}`
	if got := requested(t, "nova", two); !strings.Contains(got, "only one of") {
		t.Errorf("nova: %s", got)
	}
}

// TestAModelThatIsNoChatIsNotStarted: its id tells no family, and the error says what to do.
func TestAModelThatIsNoChatIsNotStarted(t *testing.T) {
	for _, id := range []string{"amazon.nova-canvas-v1:0", "amazon.nova-reel-v1:1", "us.amazon.nova-2-sonic-v1:0", "stability.sd3-large-v1:0", "cohere.rerank-v3-5:0"} {
		_, err := For(FamilyOf(id), ProtocolOpenAI, batholith.InvokeModel, Options{})
		if err == nil || !strings.Contains(err.Error(), "set family: ") {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// TestAConversationMayHaveTurnsOfTheSystem, and ends with one; alone they are none.
func TestAConversationMayHaveTurnsOfTheSystem(t *testing.T) {
	const head = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"messages":[`
	got := requested(t, "anthropic", head+`{"role":"user","content":"x"},{"role":"system","content":"be brief"}]}`)
	if want := `[{"role":"user","content":"x"},{"role":"system","content":"be brief"}]`; !strings.Contains(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := requested(t, "anthropic", head+`{"role":"system","content":"be brief"}]}`); !strings.Contains(got, "at least one message is required") {
		t.Error(got)
	}
	if got := requested(t, "converse", `{"messages":[{"role":"user","content":[{"text":"x"}]},{"role":"system","content":[{"text":"be brief"}]}]}`); !strings.HasPrefix(got, "{") {
		t.Error(got)
	}
}

// TestABodyOfNovaInAConverseJobIsNamedAsSuch: the two differ in few members.
func TestABodyOfNovaInAConverseJobIsNamedAsSuch(t *testing.T) {
	got := requested(t, "converse", `{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"maxTokens":5,"topK":4}}`)
	if !strings.Contains(got, "set modelInvocationType to InvokeModel") || !strings.Contains(got, "inferenceConfig.topK") {
		t.Error(got)
	}
}

// TestEveryCallOfATurnHasItsType: Mistral's own bodies have none, and helpers write null for it, before the function or behind it.
func TestEveryCallOfATurnHasItsType(t *testing.T) {
	for _, call := range []string{`"function":F`, `"type":null,"function":F`, `"function":F,"type":null`, `"type":"function","function":F`, `"function":F,"type":"function"`} {
		call = strings.Replace(call, "F", `{"name":"f","arguments":{"a":1}}`, 1)
		got := requested(t, "openai", `{"messages":[{"role":"assistant","tool_calls":[{"id":"c",`+call+`}]},{"role":"tool","tool_call_id":"c","content":"1"}]}`)
		if strings.Count(got, `"type":"function"`) != 1 || strings.Contains(got, "null") || !strings.Contains(got, `"arguments":"{\"a\":1}"`) {
			t.Errorf("%s: %s", call, got)
		}
	}
}

// TestATypeOfPythonsIsReadAsPythonDoes: marks within quotes part nothing, and a type of any depth takes no time to speak of.
func TestATypeOfPythonsIsReadAsPythonDoes(t *testing.T) {
	deep := strings.Repeat("List[", 100000) + "str" + strings.Repeat("]", 100000)
	for typ, want := range map[string]string{
		`Literal['yes, please', 'no|never', 'a]b']`: `"p":{"enum":["yes, please","no|never","a]b"]}`,
		`Literal['a'] | None`:                       `"p":{"anyOf":[{"enum":["a"]},{"type":"null"}]}`,
		`Dict[str, List[int]]`:                      `"p":{"type":"object","additionalProperties":{"type":"array","items":{"type":"integer"}}}`,
		deep:                                        `"p":{"description":"Type: List[List[`,
	} {
		got := requested(t, "cohere", `{"message":"x","tools":[{"name":"f","parameter_definitions":{"p":{"type":"`+typ+`"}}}]}`)
		if !strings.Contains(got, want) {
			t.Errorf("%.100s: %.300s", typ, got)
		}
	}
}
