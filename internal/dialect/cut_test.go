package dialect

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// read is what becomes of an answer whose usage is given, to a record whose prompt is a text.
func read(t *testing.T, asker int, text, usage string) error {
	t.Helper()
	d, err := For(askers[asker].family, ProtocolOpenAI, askers[asker].typ, Options{Names: []string{askers[asker].id}})
	if err != nil {
		t.Fatal(err)
	}
	quoted, _ := json.Marshal(text)
	body := []byte(strings.Replace(askers[asker].body, `"q"`, string(quoted), 1))
	if askers[asker].id == "anthropic.claude-v2" {
		body = []byte(strings.Replace(askers[asker].body, `Human: q`, `Human: `+string(quoted[1:len(quoted)-1]), 1))
	}
	call, err := d.Request(body, "served")
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Answer(body, call, fmt.Appendf(nil, `{"choices":[{%s,"finish_reason":"stop"}],"usage":%s}`, words(asker, `"x"`), usage))
	return err
}

// A prompt that the server cut without a word is an error that says so, and not an answer: 3,000 words of which an Ollama read 768 tokens.
func TestAPromptThatTheServerCutIsNoSuccess(t *testing.T) {
	text := strings.Repeat("The harvest of the year before was small. ", 375)
	chinese := strings.Repeat("今年的收成比去年少得多，农民们很担心。", 200)
	for a, f := range askers {
		for _, c := range []struct{ text, usage string }{
			{text, `{"prompt_tokens":768,"completion_tokens":3,"total_tokens":771}`},
			{text, `{"prompt_tokens":768}`}, {text, `{"prompt_tokens":768.0,"prompt_tokens_details":{"cached_tokens":512}}`},
			{text, `{"prompt_tokens":0,"total_tokens":700,"completion_tokens":20}`}, {chinese, `{"prompt_tokens":256}`},
		} {
			err := read(t, a, c.text, c.usage)
			var e *batholith.RecordError
			if !errors.As(err, &e) || e.Code != 400 || !strings.Contains(e.Message, "cut the prompt") {
				t.Errorf("%s: a prompt of %d bytes with %s is %v", f.id, len(c.text), c.usage, err)
			}
		}
	}
	for _, body := range []string{`{"texts":["TEXT"],"input_type":"search_document"}`} {
		d, _ := For("cohere-embed", ProtocolOpenAI, batholith.InvokeModel, Options{})
		for truncate, cut := range map[string]bool{"": true, `,"truncate":"END"`: false} {
			body := []byte(strings.Replace(strings.Replace(body, "TEXT", text, 1), "}", truncate+"}", 1))
			call, err := d.Request(body, "served")
			if err != nil {
				t.Fatal(err)
			}
			_, err = d.Answer(body, call, []byte(`{"data":[{"embedding":[1,0]}],"usage":{"prompt_tokens":512}}`))
			if (err != nil) != cut {
				t.Errorf("a text of 3,000 words of which 512 tokens were embedded, with %q: %v", truncate, err)
			}
		}
	}
}

// No tokenizer, cache, picture or template makes a whole prompt look cut.
func TestAWholePromptNeverLooksCut(t *testing.T) {
	english := strings.Repeat("The harvest of the year before was small. ", 375)
	for name, c := range map[string]struct {
		text   string
		sparse float64 // tokens, at least
	}{
		"English, tokens across words": {english, 3000 * 0.65},
		"English, as most":             {english, 3000 * 1.2},
		"German compounds":             {strings.Repeat("Donaudampfschifffahrtsgesellschaft ", 500), 500 * 4},
		"Chinese":                      {strings.Repeat("今年的收成比去年少得多，农民们很担心。", 200), 200 * 18 * 0.4},
		"Japanese":                     {strings.Repeat("今年の収穫は去年よりずっと少なかった。", 200), 200 * 18 * 0.4},
		"Korean":                       {strings.Repeat("올해 수확은 작년보다 훨씬 적었다. ", 200), 200 * 5},
		"Thai, without spaces":         {strings.Repeat("ปีนี้ผลผลิตน้อยกว่าปีที่แล้วมาก", 200), 200 * 8},
		"one long run":                 {strings.Repeat("a", 20000), 200},
		"lines of a table":             {strings.Repeat("| --- | --- |\n", 1000), 60},
		"spaces":                       {"x" + strings.Repeat(" ", 50000) + "y", 400},
		"line breaks":                  {strings.Repeat("\n", 20000), 160},
		"Base64":                       {strings.Repeat("QmFzZTY0IGlzIG9uZSB3b3JkIG5v", 1000), 9000},
		"numbers":                      {strings.Repeat("12345678 ", 1000), 3000},
		"code":                         {strings.Repeat("        if x == nil {\n\t\treturn err\n\t}\n", 300), 300 * 8},
		"emoji":                        {strings.Repeat("😀 ", 2000), 2000},
	} {
		for _, many := range []float64{1, 1.5, 3, 20} { // templates, tools and pictures add to it
			n := int64(c.sparse * many)
			for _, usage := range []string{
				fmt.Sprintf(`{"prompt_tokens":%d}`, n), fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":9,"total_tokens":%d}`, n, n+9),
				fmt.Sprintf(`{"prompt_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}`, n, n-1), // OpenAI: among them
				fmt.Sprintf(`{"prompt_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}`, 1, n),   // others: beside them
				fmt.Sprintf(`{"prompt_tokens":%d,"prompt_cache_hit_tokens":%d}`, n/8, n-n/8),
				`{"prompt_tokens":0,"completion_tokens":9}`, `null`, `{}`, `{"prompt_tokens":null}`, `{"prompt_tokens":-5}`, `{"prompt_tokens":1}`,
			} {
				if err := read(t, 0, c.text, usage); err != nil {
					t.Errorf("%s: %s is %v", name, usage, err)
				}
			}
		}
	}
}

// A server that counts only the tokens that were not in its cache has not cut the prompt, in whatever form it tells of the cache: 3,000 words of which
// 40 tokens were new. Where the cache does not make up for the words, the prompt was cut all the same.
func TestTokensOfTheCacheAreNotTakenForCut(t *testing.T) {
	text := strings.Repeat("The harvest of the year before was small. ", 375)
	for name, form := range map[string]string{
		"OpenAI's details":         `{"prompt_tokens":40,"completion_tokens":3,"total_tokens":43,"prompt_tokens_details":{"cached_tokens":N}}`,
		"Responses' details":       `{"input_tokens":40,"output_tokens":3,"total_tokens":43,"input_tokens_details":{"cached_tokens":N}}`,
		"Anthropic's, read":        `{"prompt_tokens":40,"completion_tokens":3,"cache_read_input_tokens":N,"cache_creation_input_tokens":0}`,
		"Anthropic's, written":     `{"prompt_tokens":40,"completion_tokens":3,"cache_read_input_tokens":0,"cache_creation_input_tokens":N}`,
		"LiteLLM's":                `{"prompt_tokens":40,"total_tokens":43,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":0,"cache_creation_tokens":N},"cache_creation_input_tokens":N}`,
		"OpenRouter's":             `{"prompt_tokens":40,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":N,"audio_tokens":0}}`,
		"DeepSeek's":               `{"prompt_tokens":40,"prompt_cache_hit_tokens":N,"prompt_cache_miss_tokens":40}`,
		"Bedrock's":                `{"prompt_tokens":40,"cacheReadInputTokens":N,"cacheWriteInputTokens":0}`,
		"Mistral's and Moonshot's": `{"prompt_tokens":40,"completion_tokens":3,"total_tokens":43,"cached_tokens":N}`,
		"llama-server's beside":    `{"prompt_tokens":40},"timings":{"cache_n":N,"prompt_n":40,"predicted_n":3}`,
	} {
		for tokens, cut := range map[int]bool{3600: false, 2000: false, 400: true} {
			err := read(t, 0, text, strings.ReplaceAll(form, "N", fmt.Sprint(tokens)))
			if (err != nil) != cut {
				t.Errorf("%s, %d from the cache: %v", name, tokens, err)
			}
		}
	}
}
