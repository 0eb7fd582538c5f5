package dialect

import (
	"bytes"
	"encoding/base64"
	"image/png"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
)

// TestACanaryHasTheFeaturesOfItsClass: it has the path and the features of the records, one token of answer, and is JSON.
func TestACanaryHasTheFeaturesOfItsClass(t *testing.T) {
	for _, path := range []string{chatPath, completionsPath, embeddingsPath} {
		for f := Features(0); f <= FeatureMedia|FeatureTools|FeatureSchema; f++ {
			if f.Has(FeatureStream) {
				continue
			}
			seen := map[string]bool{}
			for n := range CanaryTexts {
				call, ok := Canary(ProtocolOpenAI, path, f, `a "model"`, n)
				if !ok || call.Path != path || !jsontext.Value(call.Body).IsValid() {
					t.Fatalf("%s %b: %v %s", path, f, ok, call.Body)
				}
				if again, _ := Canary(ProtocolOpenAI, path, f, `a "model"`, n+CanaryTexts); !bytes.Equal(again.Body, call.Body) {
					t.Errorf("%s %b: the %d-th canary is another the next time", path, f, n)
				}
				seen[string(call.Body)] = true
				if p := PromptOf(call.Body); path == chatPath && (p.Features != f || p.MaxTokens != 1) {
					t.Errorf("%b: the canary has %b and asks for %d tokens: %s", f, p.Features, p.MaxTokens, call.Body)
				}
			}
			if len(seen) != CanaryTexts {
				t.Errorf("%s %b: %d different canaries", path, f, len(seen))
			}
		}
	}
}

func TestThereIsNoCanaryForWhatIsNotKnown(t *testing.T) {
	for _, c := range []struct {
		protocol, path string
		f              Features
	}{{"other", chatPath, 0}, {ProtocolOpenAI, "/x", 0}, {ProtocolOpenAI, chatPath, FeatureStream}} {
		if call, ok := Canary(c.protocol, c.path, c.f, "m", 0); ok {
			t.Errorf("%+v: %s", c, call.Body)
		}
	}
}

func TestTheCanarysPictureIsAPNGOf32Pixels(t *testing.T) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(canaryPicture(), "data:image/png;base64,"))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := png.DecodeConfig(bytes.NewReader(b)); err != nil || c.Width != 32 || c.Height != 32 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestACanaryIsAnsweredByAnAnswerOnly(t *testing.T) {
	for body, want := range map[string]bool{
		`{"choices":[{"message":{"content":""},"finish_reason":"length"}]}`: true,
		`{"choices":[{"text":"y"}]}`:                                        true,
		`{"data":[{"embedding":[1]}]}`:                                      true,
		`{"choices":[]}`:                                                    false,
		`{"data":[]}`:                                                       false,
		`{"choices":[{"message":{},"finish_reason":"error"}]}`:              false,
		`{"choices":[{"message":{},"finish_reason":"abort"}]}`:              false,
		`{"choices":[{"message":{},"error":{"code":502}}]}`:                 false,
		`{"error":{"message":"x"},"choices":[{"message":{}}]}`:              false,
		`{"object":"error","message":"x","code":400}`:                       false,
		`<html>`: false, ``: false, `[]`: false, `"yes"`: false, `{"choices":["a"]}`: false,
	} {
		if got := CanaryAnswered(ProtocolOpenAI, []byte(body)); got != want {
			t.Errorf("%s: %v", body, got)
		}
	}
}

// TestARecordsPathIsKnownBeforeItIsSent: the path that is told is the path that the request has.
func TestARecordsPathIsKnownBeforeItIsSent(t *testing.T) {
	for _, c := range []struct{ family, body, path string }{
		{"anthropic", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"messages":[{"role":"user","content":"x"}]}`, chatPath},
		{"anthropic", `{"prompt":"\n\nHuman: x\n\nAssistant:","max_tokens_to_sample":1}`, chatPath},
		{"openai", `{"messages":[{"role":"user","content":"x"}]}`, chatPath},
		{"mistral", `{"messages":[{"role":"user","content":"x"}]}`, chatPath},
		{"mistral", ` {"prompt":"x"}`, completionsPath},
		{"llama", `{"prompt":"x"}`, completionsPath},
		{"titan-text", `{"inputText":"x"}`, chatPath},
		{"titan-embed", `{"inputText":"x"}`, embeddingsPath},
		{"cohere-embed", `{"texts":["x"],"input_type":"search_query"}`, embeddingsPath},
		{"any", `{"inputText":"x","dimensions":256}`, embeddingsPath},
		{"any", `{"prompt":"x"}`, completionsPath},
		{"any", `{"message":"x"}`, chatPath},
	} {
		d, err := For(c.family, ProtocolOpenAI, batholith.InvokeModel, Options{})
		if err != nil {
			t.Fatal(err)
		}
		call, err := d.Request([]byte(c.body), "m")
		if told := PathOf(d, []byte(c.body)); err != nil || told != c.path || call.Path != c.path {
			t.Errorf("%s %s: told %s, sent to %s, want %s (%v)", c.family, c.body, told, call.Path, c.path, err)
		}
	}
}

// TestToolsThatTheServerRunsAreTold: such a request may have effects, and is not to be repeated once it was sent.
func TestToolsThatTheServerRunsAreTold(t *testing.T) {
	openAI, err := For("openai", ProtocolOpenAI, batholith.InvokeModel, Options{})
	if err != nil {
		t.Fatal(err)
	}
	converse, err := For("openai", ProtocolOpenAI, batholith.Converse, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for members, want := range map[string]bool{
		`"temperature":0`: false,
		`"tools":[{"type":"function","function":{"name":"web_search"}}]`:              false,
		`"tools":[{"type":"custom","custom":{"name":"x"}}]`:                           false,
		`"tools":[{"type":"function","function":{"name":"x"}},{"type":"web_search"}]`: true,
		`"tools":[{"type":"mcp","server_url":"https://example.com"}]`:                 true,
		`"tools":[{"type":"code_interpreter","container":{"type":"auto"}}]`:           true,
		`"web_search_options":{}`:   true,
		`"web_search_options":null`: false,
		`"plugins":[{"id":"web"}]`:  true,
		`"enable_search":true`:      true,
		`"enable_search":false`:     false,
	} {
		call, err := openAI.Request([]byte(`{"messages":[{"role":"user","content":"x"}],`+members+`}`), "m")
		if err != nil || call.ServerTools != want {
			t.Errorf("%s: %v, %v", members, call.ServerTools, err)
		}
		call, err = converse.Request([]byte(`{"messages":[{"role":"user","content":[{"text":"x"}]}],"additionalModelRequestFields":{`+members+`}}`), "m")
		if err != nil || call.ServerTools != want {
			t.Errorf("converse %s: %v, %v", members, call.ServerTools, err)
		}
	}
}
