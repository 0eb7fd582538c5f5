package catalog

import (
	"cmp"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// Modalities (Bedrock: ModelModality).
const (
	text      = "TEXT"
	image     = "IMAGE"
	embedding = "EMBEDDING"
)

// providers maps the first segment of a model id to the provider's name (Bedrock: providerName,
// at most 20 characters).
var providers = map[string]string{
	"ai21": "AI21 Labs", "amazon": "Amazon", "anthropic": "Anthropic", "batholith": "Batholith", "cohere": "Cohere",
	"deepseek": "DeepSeek", "google": "Google", "meta": "Meta", "minimax": "MiniMax", "mistral": "Mistral AI", "moonshot": "Moonshot AI",
	"moonshotai": "Moonshot AI", "nvidia": "NVIDIA", "openai": "OpenAI", "qwen": "Qwen", "zai": "Z.AI",
}

// describe fills empty members of m from its id.
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

// seesImages reports whether bodies of the family can contain images. The model behind them may
// still not support images.
func seesImages(family string) bool {
	switch family {
	case "anthropic", "nova":
		return true
	}
	return false
}

// split derives a provider and a display name from an id:
// "anthropic.claude-3-haiku-20240307-v1:0" gives Anthropic and "Claude 3 Haiku 20240307 V1:0";
// "Qwen/Qwen2.5-7B-Instruct" gives Qwen and "Qwen2.5 7B Instruct".
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

// maxProvider is the longest provider name that is derived from an id, in bytes (Bedrock: 20
// characters).
const maxProvider = 20

// words turns "a-b_c" into "A B C".
func words(s string) string {
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == '-' || r == '_' })
	for i, p := range parts {
		parts[i] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(parts, " ")
}
