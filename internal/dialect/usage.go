package dialect

import (
	"strconv"

	"github.com/batholith/batholith"
)

// Usage is what an answer of an OpenAI-compatible server says that it cost, also when the answer itself is of no use: 0 where it
// does not say.
func Usage(body []byte) batholith.Tokens {
	doc, err := parseAnswer(body)
	if err != nil || doc.kind() != '{' {
		return batholith.Tokens{}
	}
	return usage(doc.member("usage"))
}

// usage reads the counts of a usage object. It is the one place where a server's counts enter the program: what the server does not
// tell, or cannot be, is 0.
func usage(v value) (t batholith.Tokens) {
	for name, m := range v.members() {
		switch name {
		case "prompt_tokens":
			t.Input = tokenCount(m)
		case "completion_tokens":
			t.Output = tokenCount(m)
		case "prompt_tokens_details":
			t.CacheRead = tokenCount(m.member("cached_tokens"))
		}
	}
	t.CacheRead = min(t.CacheRead, t.Input)
	return t
}

// tokenCount is a number as a count of tokens: whole, and believable. A fraction is cut off, since some servers write whole numbers as
// 12.0 or 1.2e1. Anything but a number is 0.
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

// tokenLimit is the bound that a body sets on its answer. What is no whole number, or beyond belief, sets none.
func tokenLimit(v value) int64 {
	n, _ := v.integer()
	return batholith.BelievedTokens(n)
}
