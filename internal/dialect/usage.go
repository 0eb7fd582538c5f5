package dialect

import (
	"strconv"

	"github.com/batholith/batholith"
)

// openAIUsage is Usage for OpenAI's protocol.
func openAIUsage(body []byte) batholith.Tokens {
	doc, err := parseAnswer(body)
	if err != nil || doc.kind() != '{' {
		return batholith.Tokens{}
	}
	return usage(doc.member("usage"))
}

// usage reads a usage object. A server's token counts enter the program only here. A missing or
// impossible count is 0.
func usage(v value) (t batholith.Tokens) {
	for name, m := range v.members() {
		switch name {
		case "prompt_tokens":
			t.Input = tokenCount(m)
		case "completion_tokens":
			t.Output = tokenCount(m)
		case "prompt_tokens_details":
			t.CacheRead = tokenCount(m.member("cached_tokens"))
			t.CacheWrite = tokenCount(m.member("cache_creation_tokens"))
		}
	}
	t.CacheRead = min(t.CacheRead, t.Input)
	t.CacheWrite = min(t.CacheWrite, t.Input-t.CacheRead)
	return t
}

// tokenCount converts a number to a token count that batholith.BelievedTokens accepts. A
// fraction is dropped, because some servers write 12.0 or 1.2e1. Other values are 0.
func tokenCount(v value) int64 {
	if n, ok := v.integer(); ok {
		return batholith.BelievedTokens(n)
	}
	if v.kind() != '0' {
		return 0
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || !(f >= 0 && f <= batholith.MaxRequestTokens) {
		return 0
	}
	return int64(f)
}

// tokenLimit returns a body's limit of output tokens; 0 if it is not a whole number or not
// credible.
func tokenLimit(v value) int64 {
	n, _ := v.integer()
	return batholith.BelievedTokens(n)
}
