package dialect

import "github.com/batholith/batholith"

// Usage is what an answer of an OpenAI-compatible server says that it cost, also when the answer itself is of no use: 0 where it
// does not say.
func Usage(body []byte) batholith.Tokens {
	doc, err := parse(body)
	if err != nil || doc.kind() != '{' {
		return batholith.Tokens{}
	}
	return usage(doc.member("usage"))
}
