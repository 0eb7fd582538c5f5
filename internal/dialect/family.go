package dialect

import (
	"slices"
	"strings"

	"github.com/batholith/batholith"
)

// geographies are the prefixes of the ids of inference profiles (Bedrock: cross-region
// inference).
var geographies = []string{"us.", "eu.", "apac.", "au.", "jp.", "ca.", "global.", "us-gov."}

// LastPart returns the part of an ARN after its last slash, which is the model id. Other names
// are returned unchanged.
func LastPart(idOrARN string) string {
	if strings.HasPrefix(idOrARN, "arn:") {
		return idOrARN[strings.LastIndexByte(idOrARN, '/')+1:]
	}
	return idOrARN
}

// CutGeography removes the geography prefix from the id of an inference profile. ok is false if
// there is none.
func CutGeography(id string) (string, bool) {
	for _, g := range geographies {
		if rest, ok := strings.CutPrefix(id, g); ok {
			return rest, true
		}
	}
	return id, false
}

// marks map ids to families; the first match wins. Prefixes with a provider come before parts
// of bare names, because a model's name may contain another's (DeepSeek-R1-Distill-Llama).
var marks = []struct{ prefix, holds, family string }{
	{"batholith.", "", FamilyAny},
	{"anthropic.", "", "anthropic"},
	{"amazon.nova", "embed", "nova-embed"},
	{"amazon.nova-canvas", "", ""}, // image, video and speech models have other bodies, which are not supported
	{"amazon.nova-reel", "", ""},
	{"amazon.nova", "sonic", ""},
	{"amazon.nova", "", "nova"},
	{"amazon.titan-embed", "", "titan-embed"},
	{"amazon.titan-text", "", "titan-text"},
	{"amazon.titan-tg1", "", "titan-text"},
	{"meta.", "", "llama"},
	{"openai.gpt-oss", "", "gpt-oss"},
	{"openai.", "", "openai"},
	{"qwen.", "", "openai"},
	{"deepseek.r1", "", "deepseek-r1"},
	{"deepseek.", "", "openai"},
	{"mistral.", "", "mistral"},
	{"cohere.embed", "", "cohere-embed"},
	{"cohere.command-r", "", "cohere"},
	{"ai21.jamba", "", "jamba"},
	{"zai.", "", "openai"},
	{"minimax.", "", "openai"},
	{"google.", "", "openai"},
	{"nvidia.", "", "openai"},
	{"moonshot", "", "openai"},
}

// FamilyOf returns a model's family from its id, an inference profile's id, an ARN of either,
// or any other name. It returns "" for an unknown id of a provider with bodies of its own. A
// name that is not a Bedrock id gets FamilyAny.
func FamilyOf(modelID string) string {
	id, _ := CutGeography(strings.ToLower(LastPart(modelID)))
	for _, m := range marks {
		if strings.HasPrefix(id, m.prefix) && strings.Contains(id, m.holds) {
			return m.family
		}
	}
	if provider, _, ok := strings.Cut(id, "."); ok && knownProviders[provider] {
		return ""
	}
	if id == "" {
		return ""
	}
	return FamilyAny
}

// knownProviders are providers with body formats of their own. An unknown id of theirs must not
// be treated as an open model.
var knownProviders = map[string]bool{
	"amazon": true, "ai21": true, "cohere": true, "stability": true, "writer": true, "twelvelabs": true, "luma": true,
}

// cutProvider removes geography and provider from an id. ok is false if the provider is
// another.
func cutProvider(id, provider string) (string, bool) {
	rest, _ := CutGeography(id)
	return strings.CutPrefix(rest, provider)
}

// cutVersion removes "-v1:0" or "-v2" from the end of an id.
func cutVersion(name string) string {
	i := strings.LastIndex(name, "-v")
	if i < 0 || strings.Trim(name[i+2:], "0123456789:") != "" {
		return name
	}
	return name[:i]
}

// namedGPTOSS reports whether one of the model's names contains gpt-oss, whatever its
// configured family.
func namedGPTOSS(o Options) bool {
	for _, n := range o.Names {
		if strings.Contains(n, "gpt-oss") {
			return true
		}
	}
	return false
}

// Takes reports whether models of a family can have jobs of an invocation type: models that make
// embeddings have no conversations, and models with a conversation of their own make no embeddings. Open models may do
// either.
func Takes(name string, typ batholith.InvocationType) bool {
	i := slices.IndexFunc(families, func(f family) bool { return f.name == name })
	switch {
	case i < 0:
		return true
	case typ == Embeddings:
		return families[i].embeds || name == FamilyAny || name == "openai"
	case typ == batholith.Converse || isDoor(typ):
		return !families[i].embeds
	}
	return true
}
