package catalog

import (
	"cmp"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// The modalities of Bedrock (Bedrock: ModelModality).
const (
	text      = "TEXT"
	image     = "IMAGE"
	embedding = "EMBEDDING"
)

// providers are the names behind the first segment of an id (Bedrock: providerName, at most 20 characters).
var providers = map[string]string{
	"ai21": "AI21 Labs", "amazon": "Amazon", "anthropic": "Anthropic", "batholith": "Batholith", "cohere": "Cohere",
	"deepseek": "DeepSeek", "google": "Google", "meta": "Meta", "minimax": "MiniMax", "mistral": "Mistral AI", "moonshot": "Moonshot AI",
	"moonshotai": "Moonshot AI", "nvidia": "NVIDIA", "openai": "OpenAI", "qwen": "Qwen", "zai": "Z.AI",
}

// describe fills in what a configuration leaves out, from the id.
func describe(m batholith.Model) batholith.Model {
	m.Family = cmp.Or(m.Family, dialect.FamilyOf(m.ID))
	provider, name := split(m.ID)
	m.Provider = cmp.Or(m.Provider, provider)
	m.Name = cmp.Or(m.Name, name)
	embeds := strings.Contains(m.Family, "embed")
	if len(m.Inputs) == 0 {
		m.Inputs = []string{text}
		if seesImages(m.Family) {
			m.Inputs = append(m.Inputs, image)
		}
	}
	if len(m.Outputs) == 0 {
		m.Outputs = []string{text}
		if embeds {
			m.Outputs = []string{embedding}
		}
	}
	return m
}

// seesImages tells of families whose bodies have images; whether the model behind them sees any is its own matter.
func seesImages(family string) bool {
	switch family {
	case "anthropic", "nova":
		return true
	}
	return false
}

// split makes a provider and a name for people of an id: "anthropic.claude-3-haiku-20240307-v1:0" is Anthropic's
// "Claude 3 Haiku 20240307 V1:0", "Qwen/Qwen2.5-7B-Instruct" is Qwen's "Qwen2.5 7B Instruct".
func split(id string) (provider, name string) {
	id, _ = dialect.CutGeography(dialect.LastPart(id))
	segment, rest, ok := strings.Cut(id, ".")
	if known := providers[segment]; ok && known != "" {
		return known, words(rest)
	}
	if owner, rest, ok := strings.Cut(id, "/"); ok {
		known := cmp.Or(providers[strings.ToLower(owner)], owner)
		return known[:min(len(known), maxProvider)], words(rest)
	}
	return "Custom", words(id)
}

// maxProvider is the longest provider name in bytes (Bedrock: 20 characters).
const maxProvider = 20

func words(s string) string {
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == '-' || r == '_' })
	for i, p := range parts {
		parts[i] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(parts, " ")
}
