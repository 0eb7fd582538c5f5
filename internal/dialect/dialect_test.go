package dialect

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/batholith/batholith"
)

func TestFamilyOfReadsIDsProfilesARNsAndBareNames(t *testing.T) {
	for id, want := range map[string]string{
		"anthropic.claude-3-haiku-20240307-v1:0":                                                                  "anthropic",
		"us.anthropic.claude-3-haiku-20240307-v1:0":                                                               "anthropic",
		"us-gov.anthropic.claude-3-haiku-20240307-v1:0":                                                           "anthropic",
		"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2":                                         "anthropic",
		"arn:aws:bedrock:us-east-1:000000000000:inference-profile/global.anthropic.claude-sonnet-4-20250514-v1:0": "anthropic",
		"openai.gpt-oss-20b-1:0":                                                                                  "gpt-oss",
		"openai/gpt-oss-120b":                                                                                     "any",
		"qwen.qwen3-32b-v1:0":                                                                                     "openai",
		"deepseek.v3-v1:0":                                                                                        "openai",
		"Qwen/Qwen2.5-7B-Instruct":                                                                                "any",
		"my-model":                                                                                                "any",
		"claude-at-home":                                                                                          "any",
		"amazon.titan-text-express-v1":                                                                            "titan-text",
		"amazon.titan-embed-text-v2:0":                                                                            "titan-embed",
		"us.meta.llama3-3-70b-instruct-v1:0":                                                                      "llama",
		"meta-llama/Llama-3.1-8B-Instruct":                                                                        "any",
		"amazon.nova-lite-v1:0":                                                                                   "nova",
		"us.amazon.nova-2-lite-v1:0":                                                                              "nova",
		"amazon.nova-2-multimodal-embeddings-v1:0":                                                                "nova-embed",
		"amazon.nova-canvas-v1:0":                                                                                 "",
		"us.amazon.nova-reel-v1:1":                                                                                "",
		"amazon.nova-sonic-v1:0":                                                                                  "",
		"amazon.nova-2-sonic-v1:0":                                                                                "",
		"batholith.tiny-v1":                                                                                       "any",
		"stability.sd3-large-v1:0":                                                                                "",
		"":                                                                                                        "",
	} {
		if got := FamilyOf(id); got != want {
			t.Errorf("FamilyOf(%q) = %q, want %q", id, got, want)
		}
	}
}

func TestForNamesWhatItKnows(t *testing.T) {
	for _, f := range Families() {
		if _, err := For(f, ProtocolOpenAI, batholith.InvokeModel, Options{}); err != nil {
			t.Errorf("family %s: %v", f, err)
		}
	}
	if _, err := For("sonnet", ProtocolOpenAI, batholith.InvokeModel, Options{}); err == nil {
		t.Error("an unknown family was taken")
	}
	if _, err := For("anthropic", "carrier-pigeon", batholith.InvokeModel, Options{}); err == nil {
		t.Error("an unknown protocol was taken")
	}
}

func TestABadBodyIsARecordErrorThatNamesTheField(t *testing.T) {
	for _, c := range []struct{ family, input, want string }{
		{"anthropic", `{"max_tokens":1,"messages":[{"role":"user","content":"x"}]}`, "anthropic_version: Field required"},
		{"anthropic", `{"anthropic_version":"bedrock-2023-05-31","messages":[]}`, "max_tokens: Field required"},
		{"anthropic", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"model":"m","messages":[]}`, "model: Extra inputs are not permitted"},
		{"anthropic", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"stream":false,"messages":[]}`, "stream: Extra inputs are not permitted"},
		{"openai", `{"messages":[{"role":"user"}],"model":"other"}`, "model: Input should be the job's model 'm', or absent"},
	} {
		d, err := For(c.family, ProtocolOpenAI, batholith.InvokeModel, Options{Names: []string{"m"}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Request([]byte(c.input), "backend")
		e, ok := errors.AsType[*batholith.RecordError](err)
		if !ok || e.Code != 400 || e.Message != c.want {
			t.Errorf("%s %s\n got %v\nwant %s", c.family, c.input, err, c.want)
		}
	}
}

func TestToolsInConverseAreRefusedWhereTheServiceDoes(t *testing.T) {
	body := []byte(`{"messages":[{"role":"user","content":[{"text":"Hi"}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]}}`)
	for refuse, want := range map[bool]string{false: "", true: "toolConfig: tools are not supported in batch inference jobs of type Converse"} {
		d, err := For("anthropic", ProtocolOpenAI, batholith.Converse, Options{RefuseConverseTools: refuse})
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Request(body, "m")
		e, _ := errors.AsType[*batholith.RecordError](err)
		if e == nil && want != "" || e != nil && (e.Message != want || e.Code != 400) {
			t.Errorf("refused %v: got %v, want %q", refuse, err, want)
		}
	}
}

func TestTheModelOfABodyMustBeTheJobs(t *testing.T) {
	d, err := For("openai", ProtocolOpenAI, batholith.InvokeModel, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for model, want := range map[string]bool{"served": true, "other": false} {
		_, err := d.Request([]byte(`{"model":"`+model+`","messages":[{"role":"user","content":"x"}]}`), "served")
		if got := err == nil; got != want {
			t.Errorf("without names, %q was taken: %v (%v)", model, got, err)
		}
	}
}

func TestGPTOSSIsKnownByItsName(t *testing.T) {
	d, err := For("openai", ProtocolOpenAI, batholith.InvokeModel, Options{Names: []string{"openai.gpt-oss-20b-1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := d.Answer([]byte(`{}`), batholith.Call{}, []byte(`{"choices":[{"message":{"reasoning_content":"a","content":"b"}}]}`))
	if want := `{"choices":[{"message":{"content":"<reasoning>a</reasoning>b"},"finish_reason":"stop"}]}`; string(answer.Output) != want || err != nil {
		t.Errorf("got %s, %v, want %s", answer.Output, err, want)
	}
}

func TestClaudeAnswersByItsShortName(t *testing.T) {
	for id, want := range map[string]string{
		"anthropic.claude-3-haiku-20240307-v1:0":     "claude-3-haiku-20240307",
		"us.anthropic.claude-sonnet-4-20250514-v1:0": "claude-sonnet-4-20250514",
		"anthropic.claude-opus-4-6-v1":               "claude-opus-4-6",
		"anthropic.claude-instant-vivid":             "claude-instant-vivid",
		"Qwen/Qwen2.5-7B-Instruct":                   "Qwen/Qwen2.5-7B-Instruct",
	} {
		if got := claudeName(id); got != want {
			t.Errorf("claudeName(%q) = %q, want %q", id, got, want)
		}
	}
}

func TestARefusalIsShortWhateverTheClientWrote(t *testing.T) {
	d, err := For("anthropic", ProtocolOpenAI, batholith.InvokeModel, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Request([]byte(`{"`+strings.Repeat("é", 5000)+`":1}`), "m")
	e, ok := errors.AsType[*batholith.RecordError](err)
	if !ok || len(e.Message) > 1000 || !utf8.ValidString(e.Message) {
		t.Errorf("got a message of %d bytes: %v", len(e.Message), err)
	}
}
