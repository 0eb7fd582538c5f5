package dialect

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/batholith/batholith"
)

// Ask is a request for one answer, in the words of no family.
type Ask struct {
	System      string // "": none
	Text        string
	MaxTokens   int64    // limit of output tokens; 0: none is written, if the family allows that
	Temperature *float64 // nil: none is written
}

// Compose returns the body of a family that asks, as compact JSON. It fails if the family is unknown, or cannot express the ask.
func Compose(family string, typ batholith.InvocationType, a Ask) ([]byte, error) {
	write, ok := composers[family]
	switch {
	case !ok:
		return nil, fmt.Errorf("the family %q is not known: it is one of %s", family, strings.Join(Families(), ", "))
	case !Takes(family, typ):
		return nil, fmt.Errorf("models of the family %s make embeddings and have no conversations", family)
	case !Takes(family, batholith.Converse) && (a.System != "" || a.MaxTokens != 0 || a.Temperature != nil):
		return nil, fmt.Errorf("models of the family %s make embeddings: they have no system prompt, no limit of tokens and no temperature", family)
	case typ == batholith.Converse:
		write = composeConverse
	}
	var b buffer
	b.open('{')
	write(&b, a)
	b.close('}')
	return b, nil
}

// legacyMax is the limit that is written where a family requires one.
const legacyMax = 1024

// composers write the members of a body, by family.
var composers = map[string]func(*buffer, Ask){
	"anthropic": func(b *buffer, a Ask) {
		b.textMember("anthropic_version", "bedrock-2023-05-31")
		if a.MaxTokens == 0 {
			a.MaxTokens = legacyMax
		}
		b.limits(a, "max_tokens")
		if a.System != "" {
			b.textMember("system", a.System)
		}
		b.messages(Ask{Text: a.Text})
	},
	"nova": composeConverse,
	"llama": func(b *buffer, a Ask) {
		prompt := "<|begin_of_text|>"
		if a.System != "" {
			prompt += "<|start_header_id|>system<|end_header_id|>\n\n" + a.System + "<|eot_id|>"
		}
		b.textMember("prompt", prompt+"<|start_header_id|>user<|end_header_id|>\n\n"+a.Text+"<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")
		b.limits(a, "max_gen_len")
	},
	"mistral": func(b *buffer, a Ask) {
		b.textMember("prompt", "<s>[INST] "+before(a.System)+a.Text+" [/INST]")
		b.limits(a, "max_tokens")
	},
	"cohere": func(b *buffer, a Ask) {
		if a.System != "" {
			b.textMember("preamble", a.System)
		}
		b.textMember("message", a.Text)
		b.limits(a, "max_tokens")
	},
	"deepseek-r1": func(b *buffer, a Ask) {
		b.textMember("prompt", "<｜begin▁of▁sentence｜>"+a.System+"<｜User｜>"+a.Text+"<｜Assistant｜><think>\n")
		b.limits(a, "max_tokens")
	},
	"titan-text": func(b *buffer, a Ask) {
		b.textMember("inputText", before(a.System)+a.Text)
		b.nestedLimits(a, "textGenerationConfig", "maxTokenCount")
	},
	"jamba": composeChat, "openai": composeChat, "gpt-oss": composeChat, FamilyAny: composeChat,
	"titan-embed": func(b *buffer, a Ask) { b.textMember("inputText", a.Text) },
	"nova-embed": func(b *buffer, a Ask) {
		b.textMember("taskType", "SINGLE_EMBEDDING")
		b.key("singleEmbeddingParams")
		b.open('{')
		b.textMember("embeddingPurpose", "GENERIC_INDEX")
		b.key("text")
		b.open('{')
		b.textMember("truncationMode", "END")
		b.textMember("value", a.Text)
		b.close('}')
		b.close('}')
	},
	"cohere-embed": func(b *buffer, a Ask) {
		b.key("texts")
		b.open('[')
		b.text(a.Text)
		b.close(']')
		b.textMember("input_type", "search_document")
	},
}

// composeChat writes OpenAI's body.
func composeChat(b *buffer, a Ask) {
	b.messages(a)
	b.limits(a, "max_tokens")
}

// composeConverse writes the body of Converse and of Nova.
func composeConverse(b *buffer, a Ask) {
	if a.System != "" {
		b.key("system")
		b.literal(`[{"text":`)
		b.text(a.System)
		*b = append(*b, "}]"...)
	}
	b.key("messages")
	b.literal(`[{"role":"user","content":[{"text":`)
	b.text(a.Text)
	*b = append(*b, "}]}]"...)
	b.nestedLimits(a, "inferenceConfig", "maxTokens")
}

// before returns the system prompt of a family without one: it stands before the text.
func before(system string) string {
	if system == "" {
		return ""
	}
	return system + "\n\n"
}

// messages writes the system prompt and the text as messages with contents of text.
func (b *buffer) messages(a Ask) {
	b.key("messages")
	b.open('[')
	for _, m := range [...][2]string{{"system", a.System}, {"user", a.Text}} {
		if m[0] == "system" && m[1] == "" {
			continue
		}
		b.open('{')
		b.textMember("role", m[0])
		b.textMember("content", m[1])
		b.close('}')
	}
	b.close(']')
}

// limits writes the limit of tokens, under the family's name, and the temperature.
func (b *buffer) limits(a Ask, most string) {
	if a.MaxTokens > 0 {
		b.integerMember(most, a.MaxTokens)
	}
	if a.Temperature != nil {
		b.key("temperature")
		b.raw(strconv.AppendFloat(nil, *a.Temperature, 'f', -1, 64))
	}
}

// nestedLimits writes the limits in an object of their own, or nothing if there are none.
func (b *buffer) nestedLimits(a Ask, object, most string) {
	if a.MaxTokens > 0 || a.Temperature != nil {
		b.key(object)
		b.open('{')
		b.limits(a, most)
		b.close('}')
	}
}
