package dialect

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// The context is a power of two that holds the prompt, at two bytes a token, and the answer; the bytes of an image do not count. An Ollama that
// cuts the prompt all the same gets no success for it.
func TestEveryRecordFitsTheContextThatOllamaIsAskedFor(t *testing.T) {
	d, err := For("openai", ProtocolOllama, batholith.InvokeModel, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		words, limit, image int
		want                string
	}{
		{10, 100, 0, `"num_ctx":4096,`}, {2000, 0, 0, `"num_ctx":8192,`}, {3000, 1000, 0, `"num_ctx":16384,`}, {10, 100_000, 0, `"num_ctx":131072,`}, {10, 10, 1 << 20, `"num_ctx":4096,`},
		{10, 3400, 1 << 20, `"num_ctx":8192,`}, {10, 5_000_000, 0, `"num_ctx":1048576,`},
	} {
		parts := `{"type":"text","text":"` + strings.Repeat("word ", c.words) + `"}`
		if c.image > 0 {
			parts += `,{"type":"image_url","image_url":{"url":"data:image/png;base64,` + strings.Repeat("A", c.image) + `"}}`
		}
		input := `{"messages":[{"role":"user","content":[` + parts + `]}]`
		if c.limit > 0 {
			input += fmt.Sprintf(`,"max_tokens":%d`, c.limit)
		}
		call, err := d.Request([]byte(input+"}"), "m")
		if err != nil || !strings.HasPrefix(string(call.Body), `{"options":{`+c.want[:len(c.want)-1]) {
			t.Errorf("%+v: %.60s, %v", c, call.Body, err)
		}
		if c.words < 1000 {
			continue
		}
		answer := func(read int) []byte {
			return fmt.Appendf(nil, `{"model":"m","message":{"content":"x"},"done":true,"done_reason":"stop","prompt_eval_count":%d,"eval_count":1}`, read)
		}
		if _, err := d.Answer([]byte(input+"}"), call, answer(c.words+20)); err != nil {
			t.Errorf("a whole prompt: %v", err)
		}
		_, err = d.Answer([]byte(input+"}"), call, answer(768))
		if e, ok := errors.AsType[*batholith.RecordError](err); !ok || !strings.Contains(e.Message, "it has cut the prompt") {
			t.Errorf("a prompt of %d words of which 768 tokens were read: %v", c.words, err)
		}
	}
}

// A model without thoughts gets the record without the switch, and every protocol's canary is answered by a whole answer only.
func TestOllamaIsAskedAgainWithoutThoughts(t *testing.T) {
	d, err := For("openai", ProtocolOllama, batholith.InvokeModel, Options{})
	if err != nil {
		t.Fatal(err)
	}
	call, err := d.Request([]byte(`{"messages":[{"role":"user","content":"x"}],"reasoning_effort":"high"}`), "m")
	if err != nil {
		t.Fatal(err)
	}
	refused := Refused(call, &batholith.Failure{Status: 400, Message: `"m" does not support thinking`})
	if again := Without(call, refused); strings.Contains(string(again.Body), "think") || again.Changes.Dropped == nil {
		t.Errorf("%b: %s, dropped %v", refused, again.Body, again.Changes.Dropped)
	}
	for _, protocol := range []string{ProtocolOllama, ProtocolTEI} {
		for _, path := range []string{chatPath, completionsPath, embeddingsPath} {
			if call, ok := Canary(protocol, path, 0, "m", 0); ok != (protocol == ProtocolOllama || path == embeddingsPath) {
				t.Errorf("%s %s: %v %s", protocol, path, ok, call.Body)
			}
		}
	}
	for body, want := range map[string]bool{
		`{"done":true,"message":{"content":""},"done_reason":"length"}`: true, `{"done":true,"response":""}`: true, `{"embeddings":[[1]]}`: true,
		`{"done":false,"message":{"content":"x"}}`: false, `{"done":true,"message":{"content":""},"done_reason":"load"}`: false, `{"embeddings":[]}`: false, `{}`: false,
	} {
		if CanaryAnswered(ProtocolOllama, []byte(body)) != want {
			t.Errorf("%s answers a canary: %v", body, !want)
		}
	}
	if !CanaryAnswered(ProtocolTEI, []byte(`[[1]]`)) || CanaryAnswered(ProtocolTEI, []byte(`[]`)) || Usage(ProtocolTEI, []byte(`{"tokens":3}`)).Input != 3 {
		t.Error("TEI's answers")
	}
}
