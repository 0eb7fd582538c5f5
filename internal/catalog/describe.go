package catalog

import (
	"cmp"
	"regexp"
	"strings"
	"time"

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
	if m.Released.IsZero() {
		m.Released = since(m.ID)
	}
	embeds := strings.Contains(m.Family, "embed")
	if len(m.Inputs) == 0 {
		m.Inputs = []string{text}
		if seesImages(m.Family, m.ID) {
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
func seesImages(family, id string) bool {
	switch family {
	case "anthropic", "nova", "nova-embed":
		return true
	case "titan-embed":
		return strings.Contains(id, "image")
	}
	return false
}

// split derives a provider and a display name from an id:
// "anthropic.claude-3-haiku-20240307-v1:0" gives Anthropic and "Claude 3 Haiku";
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

// release matches the end of an id that is no part of the name: a date, a version, a context length.
var release = regexp.MustCompile(`(-\d{8})?(-v\d+)?(:\d+[a-z]*)*$`)

// maxName is the longest name that is derived from an id, in bytes (Bedrock: modelName, 20
// characters).
const maxName = 20

// words turns "a-b_c" into "A B C", at most maxName bytes of whole words.
func words(s string) string {
	parts := strings.FieldsFunc(release.ReplaceAllString(s, ""), func(r rune) bool { return r == '-' || r == '_' })
	name := ""
	for _, p := range parts {
		p = strings.ToUpper(p[:1]) + p[1:]
		if name != "" && len(name)+1+len(p) > maxName {
			break
		}
		name = strings.TrimPrefix(name+" "+p, " ")
	}
	return strings.ToValidUTF8(cmp.Or(name, s)[:min(len(cmp.Or(name, s)), maxName)], "")
}

// dated matches the date in an id such as anthropic.claude-3-haiku-20240307-v1:0.
var dated = regexp.MustCompile(`-(20\d{6})(?:-|$)`)

// since returns the date in a model's id, which is that of its release, or the zero time.
func since(id string) time.Time {
	if m := dated.FindStringSubmatch(id); m != nil {
		if t, err := time.Parse("20060102", m[1]); err == nil {
			return t
		}
	}
	return time.Time{}
}
