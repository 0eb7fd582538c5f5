package dialect

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// TestAProtocolCarriesAFamilyOrSaysWhyNot: a combination that cannot work is refused with its reason before anything is sent.
func TestAProtocolCarriesAFamilyOrSaysWhyNot(t *testing.T) {
	for _, c := range []struct {
		family, protocol string
		typ              batholith.InvocationType
		want             string // in the error; "": it works
	}{
		{"anthropic", "anthropic", batholith.InvokeModel, ""},
		{"nova", "anthropic", batholith.InvokeModel, ""},
		{"any", "anthropic", batholith.InvokeModel, ""},
		{"llama", "anthropic", batholith.InvokeModel, ""}, // bodies with images; others are refused record by record
		{"llama", "anthropic", batholith.Converse, ""},
		{"deepseek-r1", "anthropic", batholith.InvokeModel, "chat template"},
		{"titan-embed", "anthropic", batholith.InvokeModel, "makes no embeddings"},
		{"titan-embed", "anthropic", batholith.Converse, "cannot converse"},
		{"titan-embed", "openai", batholith.Converse, ""}, // refused record by record, as Bedrock does
		{"anthropic", "carrier", batholith.InvokeModel, "known: openai, anthropic"},
	} {
		_, err := For(c.family, c.protocol, c.typ, Options{})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s by %s, %s: %v, want %q", c.family, c.protocol, c.typ, err, c.want)
		}
	}
}

// TestClaudesBodiesPassUnchangedToTheMessagesAPI: byte for byte, but for what Bedrock adds.
func TestClaudesBodiesPassUnchangedToTheMessagesAPI(t *testing.T) {
	d, err := For("anthropic", ProtocolAnthropic, batholith.InvokeModel, Options{Checked: true})
	if err != nil {
		t.Fatal(err)
	}
	const rest = `"max_tokens":1e1 , "x" : {"b":1.50,"a":[ 1,  2 ]},"messages":[{"role":"user","content":[{"type":"text","text":"\u00e9\/","cache_control":{"type":"ephemeral","ttl":"1h"}}]}],"thinking":{"type":"adaptive"}`
	call, err := d.Request([]byte(`{"anthropic_version":"bedrock-2023-05-31",`+rest+`}`), "served")
	if err != nil {
		t.Fatal(err)
	}
	squeeze := func(s string) string {
		return strings.NewReplacer(`1e1 , "x" : {`, `1e1,"x":{`).Replace(s) // white space around names
	}
	if got, want := string(call.Body), squeeze(`{"model":"served",`+rest+`}`); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	const answer = `{"id":"i","type":"message","role":"assistant","model":"served","content":[{"type":"text","text":"\u00e9\/","citations":[{"x":1.50}]},{"type":"server_tool_use","id":"s"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":2,"x":{"y":[]}},"container":null}`
	a, err := d.Answer([]byte(`{}`), call, []byte(answer))
	if err != nil || string(a.Output) != answer {
		t.Errorf("%v\ngot  %s\nwant %s", err, a.Output, answer)
	}
}

// TestAMessageIsSentAgainWithoutWhatItsServerRefuses: servers of one protocol differ, and a record should not fail for what it can do without.
func TestAMessageIsSentAgainWithoutWhatItsServerRefuses(t *testing.T) {
	d, err := For("openai", ProtocolAnthropic, batholith.InvokeModel, Options{})
	if err != nil {
		t.Fatal(err)
	}
	const messages = `"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y","reasoning_content":"hm"},{"role":"user","content":"z"}]`
	call, err := d.Request([]byte(`{`+messages+`,"temperature":1.5,"top_p":0.5,"reasoning_effort":"low"}`), "m")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ refusal, lacks, has, dropped string }{
		{"temperature: range: 0..1", `"temperature":1.5`, `"temperature":1,`, "temperature"},
		{"`temperature` and `top_p` cannot both be specified for this model. Please use only one.", `"top_p"`, `"temperature":1`, "top_p"},
		{"output_config.effort: Extra inputs are not permitted", `"output_config"`, `"messages"`, "reasoning_effort"},
		{"messages.1.content.0: Invalid `signature` in `thinking` block", `"thinking"`, `[{"type":"text","text":"y"}]`, "reasoning_content"},
	} {
		refused := Refused(call, &batholith.Failure{Status: 400, Message: c.refusal})
		again := Without(call, refused)
		wholesome(t, c.refusal, again.Body)
		if refused == 0 || !bytes.Contains(call.Body, []byte(c.lacks)) || bytes.Contains(again.Body, []byte(c.lacks)) || !bytes.Contains(again.Body, []byte(c.has)) {
			t.Errorf("%s: %s became %s", c.refusal, call.Body, again.Body)
		}
		if got := strings.Join(again.Changes.Dropped, " "); !strings.Contains(got, c.dropped) {
			t.Errorf("%s: dropped is %q", c.refusal, got)
		}
	}
	if refused := Refused(call, &batholith.Failure{Status: 400, Message: "prompt is too long: 9 tokens > 8 maximum"}); refused != 0 {
		t.Errorf("a prompt that is too long counts as the refusal of a member: %b", refused)
	}
}

// TestCanariesOfTheMessagesAPIHaveTheFeaturesOfTheirClass and are answered by whole answers only.
func TestCanariesOfTheMessagesAPIHaveTheFeaturesOfTheirClass(t *testing.T) {
	for f, want := range map[Features][]string{
		0:                            {`"content":"Say yes."`, `"max_tokens":1`},
		FeatureMedia:                 {`"type":"base64","media_type":"image/png","data":"iVBOR`},
		FeatureTools:                 {`"input_schema":{`},
		FeatureTools | FeatureSchema: {`"tool_choice":{"type":"tool","name":"note"`},
		FeatureSchema:                {`"output_config":{"format":{"type":"json_schema"`},
	} {
		call, ok := Canary(ProtocolAnthropic, chatPath, f, "m", 1)
		if !ok || call.Path != messagesPath {
			t.Fatalf("no canary for %b", f)
		}
		wholesome(t, "canary", call.Body)
		for _, w := range want {
			if !bytes.Contains(call.Body, []byte(w)) {
				t.Errorf("%b: %s has no %s", f, call.Body, w)
			}
		}
	}
	for _, path := range []string{completionsPath, embeddingsPath} {
		if _, ok := Canary(ProtocolAnthropic, path, 0, "m", 0); ok {
			t.Errorf("there is a canary for %s", path)
		}
	}
	for body, want := range map[string]bool{
		`{"type":"message","content":[{"type":"text","text":"Y"}],"stop_reason":"max_tokens"}`: true,
		`{"type":"message","content":[],"stop_reason":"max_tokens"}`:                           true,
		`{"type":"message","content":[],"stop_reason":null}`:                                   true,
		`{"type":"message","content":[{"type":"text","text":"Y"}],"stop_reason":"error"}`:      false,
		`{"type":"error","error":{"type":"api_error","message":"m"}}`:                          false,
		`{"choices":[{"finish_reason":"stop"}]}`:                                               false,
		`{`:                                                                                    false,
	} {
		if got := CanaryAnswered(ProtocolAnthropic, []byte(body)); got != want {
			t.Errorf("%s answers a canary: %v", body, got)
		}
	}
}

// TestACutPromptIsNoSuccessInTheMessagesAPI: Ollama cuts long prompts there too, and its usage shows it. The cache's tokens count.
func TestACutPromptIsNoSuccessInTheMessagesAPI(t *testing.T) {
	for _, family := range []string{"anthropic", "openai"} {
		d, err := For(family, ProtocolAnthropic, batholith.InvokeModel, Options{})
		if err != nil {
			t.Fatal(err)
		}
		body := `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"` + strings.Repeat("word ", 3000) + `"}]}`
		if family == "openai" {
			body = strings.Replace(body, `"anthropic_version":"bedrock-2023-05-31",`, "", 1)
		}
		call, err := d.Request([]byte(body), "m")
		if err != nil {
			t.Fatal(err)
		}
		for usage, whole := range map[string]bool{
			`{"input_tokens":768,"output_tokens":2}`:                                  false,
			`{"input_tokens":3300,"output_tokens":2}`:                                 true,
			`{"input_tokens":68,"cache_read_input_tokens":3232,"output_tokens":2}`:    true,
			`{"input_tokens":8,"cache_creation_input_tokens":3292,"output_tokens":2}`: true,
			`{}`: true, // nothing is known
		} {
			_, err := d.Answer([]byte(body), call, []byte(`{"type":"message","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":`+usage+`}`))
			if e, cut := errors.AsType[*batholith.RecordError](err); cut == whole || cut && !strings.Contains(e.Message, "num_ctx") {
				t.Errorf("%s: usage %s: %v", family, usage, err)
			}
		}
	}
}

// TestBedrocksCanariesAreOfTheModelsFamily: a chat model gets Converse, one of embeddings the body that its id asks for.
func TestBedrocksCanariesAreOfTheModelsFamily(t *testing.T) {
	for _, c := range []struct {
		path, model string
		f           Features
		want        string // in "PATH BODY"; "": there is none
	}{
		{chatPath, "us.anthropic.claude-3-haiku-20240307-v1:0", 0, `/model/us.anthropic.claude-3-haiku-20240307-v1%3A0/converse {"messages":[{"role":"user","content":[{"text":"Say yes."}]}],"inferenceConfig":{"maxTokens":1}}`},
		{completionsPath, "meta.llama3-8b-instruct-v1:0", 0, `"maxTokens":1`},
		{chatPath, "m", FeatureMedia, `{"image":{"format":"png","source":{"bytes":"iVBOR`},
		{chatPath, "m", FeatureTools | FeatureSchema, `"toolChoice":{"tool":{"name":"note"}}`},
		{chatPath, "m", FeatureSchema, ""},
		{embeddingsPath, "amazon.titan-embed-text-v2:0", 0, `/model/amazon.titan-embed-text-v2%3A0/invoke {"inputText":"Say yes."}`},
		{embeddingsPath, "cohere.embed-english-v3", 0, `{"texts":["Say yes."],"input_type":"search_document"}`},
		{embeddingsPath, "amazon.nova-2-multimodal-embeddings-v1:0", 0, `"value":"Say yes."`},
		{embeddingsPath, "arn:aws:bedrock:us-east-1:000000000000:provisioned-model/abc", 0, ""},
	} {
		call, ok := Canary(ProtocolBedrock, c.path, c.f, c.model, 1)
		if got := call.Path + " " + string(call.Body); ok != (c.want != "") || !strings.Contains(got, c.want) {
			t.Errorf("%s of %s, features %b: %v, %s", c.path, c.model, c.f, ok, got)
		}
		if ok {
			wholesome(t, c.model, call.Body)
		}
	}
}
