package dialect

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// TestTheFewestTokensAreNeverMoreThanRealOnes: with every real tokenizer that was counted, in each language, as text and as a prompt. English
// has at most four times as many as are found.
func TestTheFewestTokensAreNeverMoreThanRealOnes(t *testing.T) {
	for _, c := range countedTexts(t) {
		quoted, err := json.Marshal(c.Text)
		if err != nil {
			t.Fatal(err)
		}
		for _, body := range []string{
			fmt.Sprintf(`{"messages":[{"role":"user","content":%s}]}`, quoted),
			fmt.Sprintf(`{"messages":[{"role":"user","content":[{"text":%s}]}]}`, quoted),
			fmt.Sprintf(`{"prompt":%s,"max_gen_len":5}`, quoted),
		} {
			n := FewestTokens([]byte(body))
			for name, real := range c.Tokens {
				if n > real || c.Name == "english" && n < real/4 {
					t.Errorf("%s: %s has %d tokens, the fewest are said to be %d", c.Name, name, real, n)
				}
			}
		}
	}
}

// TestWhatMayBeLeftOutOfAPromptIsNotCounted: thoughts, tools, media, runs of one character, and prompts that the server may cut.
func TestWhatMayBeLeftOutOfAPromptIsNotCounted(t *testing.T) {
	many := strings.Repeat("word ", 100)
	for name, body := range map[string]string{
		"thoughts":            `{"messages":[{"content":[{"reasoningContent":{"reasoningText":{"text":"` + many + `"}}}]}]}`,
		"Claude's thoughts":   `{"messages":[{"content":[{"type":"thinking","thinking":"` + many + `"}]}]}`,
		"Qwen's thoughts":     `{"messages":[{"content":"<think>` + many + `</think>"}]}`,
		"tools":               `{"tools":[{"name":"f","description":"` + many + `"}]}`,
		"a cut prompt":        `{"truncate_prompt_tokens":10,"prompt":"` + many + `"}`,
		"a cut prompt, later": `{"prompt":"` + many + `","truncate":"END"}`,
		"spaces":              `{"prompt":"` + strings.Repeat("     ", 100) + `"}`,
		"a line":              `{"prompt":"` + strings.Repeat("=====", 100) + `"}`,
		"one word":            `{"prompt":"` + strings.Repeat("word", 100) + `"}`,
		"bytes":               `{"image":{"source":{"bytes":"` + many + `"}}}`,
		"no JSON":             `"`,
	} {
		if n := FewestTokens([]byte(body)); n > 1 {
			t.Errorf("%s: %d tokens were counted", name, n)
		}
	}
}
