package dialect

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
)

// TokensIn returns the token counts that a modelOutput of any family tells; ok is false if it tells
// none, or is no JSON.
func TokensIn(output []byte) (t batholith.Tokens, ok bool) {
	var u tellsTokens
	if json.Unmarshal(output, &u, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return batholith.Tokens{}, false
	}
	return u.tokens()
}

// tellsTokens holds the token counts in answers of all body families. Each family has its own member
// names.
type tellsTokens struct {
	Usage struct {
		Anthropic     *int64 `json:"input_tokens"`
		AnthropicRead int64  `json:"cache_read_input_tokens"`
		AnthropicOut  int64  `json:"output_tokens"`
		Converse      *int64 `json:"inputTokens"`
		ConverseRead  int64  `json:"cacheReadInputTokens"`
		NovaRead      int64  `json:"cacheReadInputTokenCount"`
		ConverseOut   int64  `json:"outputTokens"`
		OpenAI        *int64 `json:"prompt_tokens"`
		OpenAIOut     int64  `json:"completion_tokens"`
	} `json:"usage"`
	Titan   *int64 `json:"inputTextTokenCount"`
	Results []struct {
		TokenCount int64 `json:"tokenCount"`
	} `json:"results"`
	Llama    *int64 `json:"prompt_token_count"`
	LlamaOut int64  `json:"generation_token_count"`
}

// tokens returns the counts as a job adds them: input includes cached tokens, and counts
// that batholith.BelievedTokens rejects are 0. ok is false if the answer has none.
func (t tellsTokens) tokens() (batholith.Tokens, bool) {
	u, n := t.Usage, batholith.BelievedTokens
	switch {
	case u.Anthropic != nil:
		return batholith.Tokens{Input: n(n(*u.Anthropic) + n(u.AnthropicRead)), Output: n(u.AnthropicOut)}, true
	case u.Converse != nil:
		return batholith.Tokens{Input: n(n(*u.Converse) + n(u.ConverseRead) + n(u.NovaRead)), Output: n(u.ConverseOut)}, true
	case u.OpenAI != nil:
		return batholith.Tokens{Input: n(*u.OpenAI), Output: n(u.OpenAIOut)}, true
	case t.Titan != nil:
		sum := batholith.Tokens{Input: n(*t.Titan)}
		for _, r := range t.Results {
			sum = sum.Add(batholith.Tokens{Output: n(r.TokenCount)})
		}
		return sum, true
	case t.Llama != nil:
		return batholith.Tokens{Input: n(*t.Llama), Output: n(t.LlamaOut)}, true
	}
	return batholith.Tokens{}, false
}
