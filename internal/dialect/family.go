package dialect

import "strings"

// geographies are the prefixes of inference profile ids (Bedrock: cross-region inference).
var geographies = []string{"us.", "eu.", "apac.", "au.", "jp.", "ca.", "global.", "us-gov."}

// LastPart is the model id in an ARN, the part after its last slash; any other name is returned as it is.
func LastPart(idOrARN string) string {
	if strings.HasPrefix(idOrARN, "arn:") {
		return idOrARN[strings.LastIndexByte(idOrARN, '/')+1:]
	}
	return idOrARN
}

// CutGeography removes the geography from the id of an inference profile, and tells whether there was one.
func CutGeography(id string) (string, bool) {
	for _, g := range geographies {
		if rest, ok := strings.CutPrefix(id, g); ok {
			return rest, true
		}
	}
	return id, false
}

// marks tell families by the id, the first that fits. Provider segments come before fragments of bare names, because a
// model's name may hold another's (DeepSeek-R1-Distill-Llama).
var marks = []struct{ prefix, holds, family string }{
	{"batholith.", "", FamilyAny},
	{"anthropic.", "", "anthropic"},
	{"amazon.nova", "embed", "nova-embed"},
	{"amazon.nova-canvas", "", ""}, // they make images, videos and speech, by bodies of their own
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

// FamilyOf tells a model's family by its id, an inference profile's id, an ARN of either, or the bare name that a model
// server knows it by. It is "" for ids of a family that is not known here. A name that is no id of Bedrock's takes the bodies of every chat
// family, told by their shape.
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

// knownProviders have bodies of their own, so that an unknown id of theirs must not be taken for an open model's.
var knownProviders = map[string]bool{
	"amazon": true, "ai21": true, "cohere": true, "stability": true, "writer": true, "twelvelabs": true, "luma": true,
}

// cutProvider removes the geography and the provider from an id, and tells whether it was this provider's.
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

// namedGPTOSS tells whether the model is one of OpenAI's open ones, whatever family it was configured as.
func namedGPTOSS(o Options) bool {
	for _, n := range o.Names {
		if strings.Contains(n, "gpt-oss") {
			return true
		}
	}
	return false
}
