package dialect

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// endpointDialect is that of an endpoint of OpenAI's batches.
func endpointDialect(t *testing.T, family, protocol string, typ batholith.InvocationType) Dialect {
	t.Helper()
	d, err := For(family, protocol, typ, Options{Names: []string{"m"}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOpenAIEmbeddingsGoToEveryServerThatEmbeds(t *testing.T) {
	for _, tt := range []struct{ protocol, input, answer, sent string }{
		{ProtocolOpenAI, `"a"`, `{"data":[{"index":0,"embedding":[0.5,-1]}],"model":"x","usage":{"prompt_tokens":3}}`, `{"model":"server","input":"a","encoding_format":"float"}`},
		{ProtocolOpenAI, `[1,2]`, `{"data":[{"embedding":[0.5,-1]}],"usage":{"prompt_tokens":3}}`, `{"model":"server","input":[1,2],"encoding_format":"float"}`},
		{ProtocolOpenAI, `["a"]`, "{\"data\":[\n{\"embedding\":[0.5,-1]}],\"usage\":{\"prompt_tokens\":3}}", `{"model":"server","input":["a"],"encoding_format":"float"}`},
		{ProtocolTEI, `"a"`, `{"embeddings":[[0.5,-1]],"tokens":3}`, `{"inputs":"a","truncate":false}`},
		{ProtocolOllama, `"a"`, `{"embeddings":[[0.5,-1]],"prompt_eval_count":3}`, `{"model":"server","input":"a","truncate":false}`},
	} {
		for format, vector := range map[string]string{``: `[0.5,-1]`, `,"encoding_format":"float"`: `[0.5,-1]`, `,"encoding_format":"base64"`: `"AAAAPwAAgL8="`} {
			d := endpointDialect(t, FamilyAny, tt.protocol, Embeddings)
			body := []byte(`{"model":"m","input":` + tt.input + format + `}`)
			call, err := d.Request(body, "server")
			if err != nil || string(call.Body) != tt.sent {
				t.Fatalf("%s: %s becomes %s, %v; want %s", tt.protocol, body, call.Body, err, tt.sent)
			}
			a, err := d.Answer(body, call, []byte(tt.answer))
			want := `{"object":"list","data":[{"object":"embedding","index":0,"embedding":` + vector + `}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}`
			if err != nil || string(a.Output) != want || a.Tokens.Input != 3 {
				t.Errorf("%s: %s, %v; want %s", tt.protocol, a.Output, err, want)
			}
			if r := Read(a.Output); string(r.Vector) != vector && vector[0] == '[' || r.Tokens.Input != 3 {
				t.Errorf("it reads as %s, %+v", r.Vector, r.Tokens)
			}
		}
	}
}

func TestSeveralTextsAreEmbeddedInTheirOrder(t *testing.T) {
	d := endpointDialect(t, "titan-embed", ProtocolOpenAI, Embeddings)
	body := []byte(`{"input":["a","b"],"dimensions":1}`)
	call, err := d.Request(body, "server")
	if err != nil || PathOf(d, body) != "/embeddings" {
		t.Fatal(err)
	}
	a, err := d.Answer(body, call, []byte(`{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1]}]}`))
	if err != nil || !strings.Contains(string(a.Output), `"index":0,"embedding":[1]},{"object":"embedding","index":1,"embedding":[2]}`) {
		t.Errorf("%s, %v", a.Output, err)
	}
	for answer, why := range map[string]string{
		`{"data":[{"index":0,"embedding":[1]}]}`:                                 "1 embeddings for 2 texts",
		`{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":[1,2]}]}`: "dimensions",
	} {
		if _, err := d.Answer(body, call, []byte(answer)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

func TestBodiesOfOpenAIsEndpointsAreChecked(t *testing.T) {
	for _, tt := range []struct {
		typ       batholith.InvocationType
		body, why string
	}{
		{Embeddings, `{}`, "input"}, {Embeddings, `{"input":""}`, "input"}, {Embeddings, `{"input":[]}`, "input"}, {Embeddings, `{"input":7}`, "input"},
		{Embeddings, `{"input":["a",7]}`, "input"}, {Embeddings, `{"input":[true]}`, "input"}, {Embeddings, `{"input":"a","encoding_format":"int8"}`, "encoding_format"},
		{Embeddings, `{"input":"a","model":"other"}`, "model"}, {Embeddings, `{"input":"a","messages":[]}`, "messages"}, {Embeddings, `{"input":"a","dimensions":0}`, "dimensions"},
		{Completions, `{}`, "prompt"}, {Completions, `{"prompt":["a","b"]}`, "prompt"}, {Completions, `{"prompt":"a","stream":true}`, "stream"}, {Completions, `{"prompt":"a","model":"other"}`, "model"},
	} {
		_, err := endpointDialect(t, FamilyAny, ProtocolOpenAI, tt.typ).Request([]byte(tt.body), "server")
		var refused *batholith.RecordError
		if refused, _ = err.(*batholith.RecordError); refused == nil || refused.Code != 400 || !strings.Contains(refused.Message, tt.why) {
			t.Errorf("%s %s: %v", tt.typ, tt.body, err)
		}
	}
}

func TestCompletionsPassThrough(t *testing.T) {
	d := endpointDialect(t, FamilyAny, ProtocolOpenAI, Completions)
	body := []byte(`{"model":"m","prompt":"Once","max_tokens":5,"best\u005fof":2,"stream":false,"user":"u"}`)
	call, err := d.Request(body, "server")
	if want := `{"model":"server","prompt":"Once","max_tokens":5,"best_of":2}`; err != nil || string(call.Body) != want || PathOf(d, body) != "/completions" || call.Path != "/completions" || len(call.Changes.Dropped) != 1 {
		t.Fatalf("%s to %s, %+v, %v", call.Body, call.Path, call.Changes, err)
	}
	a, err := d.Answer(body, call, []byte("{\"id\":\"1\",\"model\":\"server\",\n\"choices\":[{\"text\":\" upon a time\",\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":5}}"))
	if want := `{"id":"1","model":"m","choices":[{"text":" upon a time","finish_reason":"length"}],"usage":{"prompt_tokens":2,"completion_tokens":5}}`; err != nil || string(a.Output) != want ||
		a.Tokens.Output != 5 || !json.Valid(a.Output) {
		t.Errorf("%s, %+v, %v", a.Output, a.Tokens, err)
	}
	for _, answer := range []string{`{"choices":[]}`, `{"choices":[{"message":{"content":"x"}}]}`} {
		if _, err := d.Answer(body, call, []byte(answer)); err == nil {
			t.Errorf("%s is taken", answer)
		}
	}
}

// A protocol without such an endpoint says so, for the whole job.
func TestEndpointsThatAServerLacksAreRefused(t *testing.T) {
	for _, tt := range []struct {
		family, protocol string
		typ              batholith.InvocationType
	}{{FamilyAny, ProtocolAnthropic, Embeddings}, {FamilyAny, ProtocolBedrock, Embeddings}, {FamilyAny, ProtocolBedrock, Completions}, {FamilyAny, ProtocolTEI, Completions}, {FamilyAny, ProtocolTEI, Responses}} {
		if _, err := For(tt.family, tt.protocol, tt.typ, Options{}); err == nil {
			t.Errorf("%s over %s is taken", tt.typ, tt.protocol)
		}
	}
	for family, takes := range map[string]map[batholith.InvocationType]bool{
		"anthropic":    {ChatCompletions: true, Responses: true, Completions: true, Embeddings: false, batholith.InvokeModel: true},
		"cohere-embed": {ChatCompletions: false, Responses: false, Completions: false, Embeddings: true, batholith.InvokeModel: true, batholith.Converse: false},
		FamilyAny:      {ChatCompletions: true, Responses: true, Completions: true, Embeddings: true},
	} {
		for typ, want := range takes {
			if Takes(family, typ) != want {
				t.Errorf("%s takes %s: %v", family, typ, !want)
			}
		}
	}
}
