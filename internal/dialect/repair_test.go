package dialect

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/batholith/batholith"
)

// What servers write that is no JSON by the standard is mended, and the rest of the answer kept.
func TestAnAnswerThatIsNearlyJSONIsKept(t *testing.T) {
	for content, want := range map[string]string{
		`"smile \ud83d"`:           "smile \ufffd",
		`"smile \ude00 on"`:        "smile \ufffd on",
		`"\ud83d\ud83d\ude00"`:     "\ufffd\U0001f600",
		"\"smile \xf0\x9f\x98\"":   "smile \ufffd",
		"\"caf\xe9 au lait\"":      "caf\ufffd au lait",
		"\"a\nb\tc\"":              "a\nb\tc",
		`"\\ud83d stays \\\ud83d"`: `\ud83d stays \` + "\ufffd",
		"\"\xed\xa0\xbd\"":         "\ufffd",
	} {
		for a, f := range askers {
			got, err := answered(t, a, words(a, content)+`,"finish_reason":"length","logprobs":{"x":[NaN,-Infinity,Infinity]}`)
			if err != nil {
				t.Errorf("%s: %q: %v", f.id, content, err)
				continue
			}
			wholesome(t, f.id, got.Output)
			if !holdsText(got.Output, want) {
				t.Errorf("%s: %q became %s; want %q in it", f.id, content, got.Output, want)
			}
			if got.Tokens.Output != 3 {
				t.Errorf("%s: %q: the tokens are lost: %+v", f.id, content, got.Tokens)
			}
		}
	}
	d, _ := For("openai", ProtocolOpenAI, batholith.InvokeModel, Options{})
	if _, err := d.Answer([]byte(`{"messages":[]}`), batholith.Call{}, []byte("\xef\xbb\xbf"+`{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}`)); err != nil {
		t.Errorf("with a byte order mark: %v", err)
	}
}

// holdsText tells whether a string anywhere in the JSON is the text.
func holdsText(b []byte, text string) bool {
	d := json.NewDecoder(bytes.NewReader(b))
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		if token == text {
			return true
		}
	}
}

// Mending changes nothing of what is JSON already, and never makes bytes that are no UTF-8.
func FuzzRepaired(f *testing.F) {
	for _, s := range []string{`{"a":"\ud83d\ude00","b":[1,null,"NaN"]}`, `{"a":NaN}`, "{\"a\":\"\xff\"}", `"\u`, `"\`, `{"a":"x`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		mended := repaired(b)
		if _, err := parse(b); err == nil && !bytes.Equal(b, mended) {
			t.Errorf("%q became %q", b, mended)
		}
		if again := repaired(mended); !bytes.Equal(again, mended) {
			t.Errorf("%q is mended to %q, and then to %q", b, mended, again)
		}
		if v, err := parseAnswer(b); err == nil && !utf8.Valid(v) {
			t.Errorf("%q is no UTF-8", v)
		}
		if v := cutObject(b); v.kind() != '{' || !json.Valid(v) {
			t.Errorf("%q is cut to %q", b, v)
		}
	})
}

// Of tool arguments that the bound of the answer cut, what is whole is kept, at every place of the cut.
func TestACallThatWasCutKeepsItsWholeArguments(t *testing.T) {
	const whole = `{"city": "Os\"lo", "days": [1, 22, {"deep": "x", "er": "y"}], "n": 1.5, "last": true}`
	var former int
	for at := range whole {
		v := cutObject([]byte(whole[:at]))
		var got, all map[string]any
		if err := json.Unmarshal(v, &got); err != nil {
			t.Fatalf("cut at %d: %s: %v", at, v, err)
		}
		_ = json.Unmarshal([]byte(whole), &all)
		if n := len(got); n < former || n > len(all) {
			t.Errorf("cut at %d of %d: %s; %d members, before %d", at, len(whole), v, n, former)
		} else {
			former = n
		}
		if got["city"] != nil && got["city"] != all["city"] || got["n"] != nil && got["n"] != all["n"] {
			t.Errorf("cut at %d: %s has half a value", at, v)
		}
	}
	if former < 3 {
		t.Errorf("only %d of 4 members are kept", former)
	}
	for in, want := range map[string]string{`{"city": "Os`: `{}`, `{"city": "Oslo"`: `{"city": "Oslo"}`, `{"a":1,"b":{"c":"d","e":[1,2`: `{"a":1,"b":{"c":"d","e":[1]}}`, `{"a":"x","b":"y\"`: `{"a":"x"}`,
		`[1,2`: `{}`, ``: `{}`, `{"a":"\ud83d","b":1`: "{\"a\":\"\ufffd\"}", `}`: `{}`, `{"a":1]`: `{}`} {
		if got := string(cutObject([]byte(in))); got != want {
			t.Errorf("%s is cut to %s; want %s", in, got, want)
		}
	}
}

// Tool calls come in many forms. Each is the call that it means, in each family that has calls.
func TestToolCallsAreReadInEveryForm(t *testing.T) {
	call := func(args string) string {
		return `{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"w","arguments":` + args + `}}]}`
	}
	for _, c := range []struct{ message, finish, input string }{
		{call(`"null"`), "tool_calls", `{}`}, {call(`""`), "tool_calls", `{}`}, {call(`"  "`), "tool_calls", `{}`}, {call(`null`), "tool_calls", `{}`}, {call(`{}`), "tool_calls", `{}`}, {call(`"[]"`), "tool_calls", `{}`},
		{call(`[]`), "stop", `{}`}, {call(`{"a":1}`), "stop", `{"a":1}`}, {call(`"{\"a\":1}"`), "stop", `{"a":1}`}, {call(`"\"{\\\"a\\\":1}\""`), "tool_calls", `{"a":1}`},
		{call(`"{\"a\":1, \"b\": \"Os"`), "length", `{"a":1}`}, {call(`"{\"mood\": \"\\ud83d\"}"`), "tool_calls", "{\"mood\": \"\ufffd\"}"}, {call(`"{\"a\":1e999,\"a\":2}"`), "tool_calls", `{"a":1e999,"a":2}`},
		{`{"content":null,"function_call":{"name":"w","arguments":"{\"a\":1}"}}`, "function_call", `{"a":1}`},
		{`{"content":[{"type":"text","text":"I look."},{"type":"tool_use","id":"call_1","name":"w","input":{"a":1}}]}`, "tool_use", `{"a":1}`},
		{`{"content":"","tool_calls":[{"function":{"name":"w","arguments":{"a":1}}},{"function":{"name":"","arguments":""}}]}`, "tool_calls", `{"a":1}`},
	} {
		for a, f := range askers {
			if f.text || f.family == "titan-text" || f.id == "anthropic.claude-v2" {
				continue
			}
			got, err := answered(t, a, `"message":`+c.message+`,"finish_reason":"`+c.finish+`"`)
			if err != nil {
				t.Errorf("%s: %s: %v", f.id, c.message, err)
				continue
			}
			wholesome(t, f.id, got.Output)
			out := string(got.Output)
			switch f.family {
			case "anthropic", "nova":
				if !strings.Contains(out, `"name":"w","input":`+c.input+`}`) {
					t.Errorf("%s: %s became %s; want the input %s", f.id, c.message, out, c.input)
				}
			case "cohere":
				if !strings.Contains(out, `"tool_calls":[{"name":"w","parameters":`+c.input+`}]`) {
					t.Errorf("%s: %s became %s", f.id, c.message, out)
				}
			default: // OpenAI's calls have an id, and arguments that are a string
				if strings.Contains(c.message, "tool_calls") && (!strings.Contains(out, `"arguments":"`) || !strings.Contains(out, `"id":"call_`) || strings.Count(out, `"type":"function"`) != 1 || !strings.Contains(out, `"content":`)) {
					t.Errorf("%s: %s became %s", f.id, c.message, out)
				}
			}
			if c.finish == "length" && strings.Contains(out, "tool_use\"}") {
				t.Errorf("%s: a call that was cut ends as %s", f.id, out)
			}
		}
	}
}

// Calls that the model wrote wrong are the model's, so that they are not asked for again where sampling is fixed. To clients of OpenAI's form they go as they are.
func TestACallThatTheModelWroteWrongIsTheModels(t *testing.T) {
	for _, call := range []string{`{"name":"w","arguments":"{city: Oslo}"}`, `{"name":"w","arguments":"[1]"}`, `{"name":"w","arguments":"7"}`, `{"name":"","arguments":"{\"a\":1}"}`, `{"arguments":"{\"a\":1}"}`} {
		for a, f := range askers {
			if f.text {
				continue
			}
			got, err := answered(t, a, `"message":{"content":null,"tool_calls":[{"id":"call_1","type":"function","function":`+call+`}]},"finish_reason":"tool_calls"`)
			switch f.family {
			case "openai", "gpt-oss", "mistral":
				if err != nil {
					t.Errorf("%s: %s: %v", f.id, call, err)
				} else {
					wholesome(t, f.id, got.Output)
				}
			default:
				if !errors.Is(err, ErrModel) || !errors.Is(err, ErrNonsense) {
					t.Errorf("%s: %s became %s, %v", f.id, call, got.Output, err)
				}
			}
		}
	}
}

// Content in typed parts gives the words of the answer and its thoughts, whatever else is between them.
func TestContentInPartsIsReadByItsTypes(t *testing.T) {
	for _, parts := range []string{
		`[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"done"}]`,
		`[{"type":"thinking","thinking":"h"},{"type":"thinking","thinking":"m"},{"type":"reference","reference_ids":[1]},{"type":"text","text":"do"},{"type":"text","text":"ne"}]`,
		`[{"type":"reasoning","text":"hm"},"do","ne"]`,
		`[{"type":"reasoning","reasoning":"hm"},{"type":"output_text","text":"done"},{"type":"image_url","image_url":{"url":"x"}},{"type":"brand_new","x":1}]`,
	} {
		for a, f := range askers {
			if f.text {
				continue
			}
			got, err := answered(t, a, words(a, parts)+`,"finish_reason":"stop"`)
			out := string(got.Output)
			if err != nil || !strings.Contains(out, `done"`) {
				t.Errorf("%s: %s is %s, %v", f.id, parts, out, err)
				continue
			}
			wholesome(t, f.id, got.Output)
			thinks := f.family != "titan-text" && f.family != "cohere" && f.id != "anthropic.claude-v2"
			if thinks && !strings.Contains(out, `hm`) {
				t.Errorf("%s: the thought of %s is lost: %s", f.id, parts, out)
			}
		}
	}
	for a := range askers {
		if _, err := answered(t, a, words(a, `[{"type":"brand_new","x":1}]`)+`,"finish_reason":"stop"`); !errors.Is(err, ErrNonsense) {
			t.Errorf("%s: parts without words are %v", askers[a].id, err)
		}
	}
}

// A vector with NaN is what the model makes of the text, each time it is asked: the record's error, and not asked for again.
func TestAVectorOfNoNumbersIsNotAskedForAgain(t *testing.T) {
	for _, f := range []struct{ family, body string }{{"titan-embed", `{"inputText":"x"}`}, {"cohere-embed", `{"texts":["x"],"input_type":"classification"}`}} {
		d, err := For(f.family, ProtocolOpenAI, batholith.InvokeModel, Options{})
		if err != nil {
			t.Fatal(err)
		}
		call, err := d.Request([]byte(f.body), "served")
		if err != nil {
			t.Fatal(err)
		}
		for _, vector := range []string{`[NaN,1]`, `[1,null]`, `[-Infinity,Infinity]`} {
			_, err := d.Answer([]byte(f.body), call, []byte(`{"data":[{"index":0,"embedding":`+vector+`}],"usage":{"prompt_tokens":1}}`))
			if e, ok := errors.AsType[*batholith.RecordError](err); !ok || e.Code != 500 || !strings.Contains(e.Message, "NaN") {
				t.Errorf("%s: the vector %s is %v", f.family, vector, err)
			}
		}
	}
}
