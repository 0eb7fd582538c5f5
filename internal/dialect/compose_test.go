package dialect

import (
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// composedAnswers is what a model server answers at each path.
var composedAnswers = map[string]string{
	chatPath:       `{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Good \"day\"."},"finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`,
	"/completions": `{"id":"1","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"Good \"day\".","finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`,
	embeddingsPath: `{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.6,0.8]}],"usage":{"prompt_tokens":3,"total_tokens":3}}`,
}

// Every family takes the body that Compose writes, the server gets all parts of the ask, and Read finds the answer in the output.
func TestWhatIsComposedIsTakenAndItsAnswerRead(t *testing.T) {
	cold := 0.25
	for _, family := range Families() {
		for _, typ := range []batholith.InvocationType{batholith.InvokeModel, batholith.Converse} {
			embeds := !Takes(family, batholith.Converse)
			ask := Ask{System: "Be \"brief\".", Text: "Say\n\"hello\" <b>", MaxTokens: 77, Temperature: &cold}
			if embeds {
				if _, err := Compose(family, batholith.InvokeModel, ask); err == nil || !strings.Contains(err.Error(), "make embeddings") {
					t.Errorf("%s: a system prompt for an embedding: %v", family, err)
				}
				ask = Ask{Text: ask.Text}
			}
			body, err := Compose(family, typ, ask)
			if embeds && typ == batholith.Converse {
				if err == nil {
					t.Errorf("%s has a conversation: %s", family, body)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			d, err := For(family, ProtocolOpenAI, typ, Options{Names: []string{"m"}, Checked: true})
			if err != nil {
				t.Fatal(err)
			}
			call, err := d.Request(body, "m")
			if err != nil {
				t.Fatalf("%s, %s: %v in %s", family, typ, err, body)
			}
			sent := string(call.Body)
			for _, part := range []string{`Say\n\"hello\" <b>`, `Be \"brief\".`, ":77", ":0.25"} {
				if !strings.Contains(sent, part) && !(embeds && part != `Say\n\"hello\" <b>`) {
					t.Errorf("%s, %s: the server gets no %s: %s", family, typ, part, sent)
				}
			}
			answer, err := d.Answer(body, call, []byte(composedAnswers[call.Path]))
			if err != nil {
				t.Fatalf("%s, %s: %v", family, typ, err)
			}
			r := Read(answer.Output)
			switch {
			case embeds && (string(r.Vector) != "[0.6,0.8]" || r.Text != ""):
				t.Errorf("%s: read %+v of %s", family, r, answer.Output)
			case !embeds && (r.Text != `Good "day".` || r.Stop == "" || r.Vector != nil):
				t.Errorf("%s, %s: read %+v of %s", family, typ, r, answer.Output)
			case r.Counts && r.Tokens.Input != 3:
				t.Errorf("%s, %s: tokens %+v of %s", family, typ, r.Tokens, answer.Output)
			}
		}
	}
	if _, err := Compose("unheard-of", batholith.InvokeModel, Ask{}); err == nil || !strings.Contains(err.Error(), "anthropic") {
		t.Errorf("an unknown family: %v", err)
	}
}

func TestReadTakesAnswersOfOtherForms(t *testing.T) {
	for _, tt := range []struct{ output, text, vector, stop string }{
		{`{"content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"a"},{"type":"text","text":"b"}],"stop_reason":"end_turn"}`, "ab", "", "end_turn"},
		{`{"content":[{"type":"tool_use","id":"1","name":"f","input":{}}],"stop_reason":"tool_use"}`, `[{"type":"tool_use","id":"1","name":"f","input":{}}]`, "", "tool_use"},
		{`{"choices":[{"message":{"content":null,"tool_calls":[{"id":"1"}]},"finish_reason":"tool_calls"}]}`, `[{"id":"1"}]`, "", "tool_calls"},
		{`{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}`, "", "", "stop"},
		{`{"output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}]}`, "hi", "", ""},
		{`{"completion":" hi","stop_reason":"stop_sequence"}`, " hi", "", "stop_sequence"},
		{`{"embeddings":{"int8":[[1]],"float":[[2]]}}`, "", `{"int8":[[1]],"float":[[2]]}`, ""},
		{`{"embeddings":[[1],[2]]}`, "", `[[1],[2]]`, ""},
		{`{"embeddingsByType":{"binary":[1]}}`, "", `{"binary":[1]}`, ""},
		{`{"something":1}`, `{"something":1}`, "", ""},
		{`"text"`, `"text"`, "", ""},
		{`{"choices":[]}`, "", "", ""},
	} {
		if r := Read([]byte(tt.output)); r.Text != tt.text || string(r.Vector) != tt.vector || r.Stop != tt.stop {
			t.Errorf("%s: %+v", tt.output, r)
		}
	}
}
