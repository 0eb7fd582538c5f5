package upstream

import (
	"context"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// Abilities asks the server what the model can do, and remembers the answer for Known. What the
// server does not say stays unknown. The sources are
//
//   - vLLM and SGLang: max_model_len in the list of models,
//   - llama.cpp: n_ctx of a slot and the modalities in /props,
//   - Ollama: the capabilities in /api/show, and the context length that the model was trained for,
//   - TEI and TGI: max_input_length or max_total_tokens in /info.
func (b *Backend) Abilities(ctx context.Context) batholith.Abilities {
	models, listed, err := b.list(ctx)
	if err != nil {
		return b.Known()
	}
	var can batholith.Abilities
	switch entry := b.entryOf(models); {
	case entry.Context > 0:
		can.Context = entry.Context
	case entry.Owner == "llamacpp":
		can = b.propsOf(ctx)
	case b.o.Protocol == dialect.ProtocolOllama || entry.Owner == "library": // Ollama's word for the models that it has downloaded
		can = b.shown(ctx)
	case !listed:
		can = b.infoOf(ctx)
	}
	if ctx.Err() == nil {
		b.can.Store(&can)
	}
	return can
}

// Known returns the latest answer to Abilities. It asks nothing.
func (b *Backend) Known() batholith.Abilities {
	if can := b.can.Load(); can != nil {
		return *can
	}
	return batholith.Abilities{}
}

// entryOf returns the model's entry in a list, or an empty one.
func (b *Backend) entryOf(models []listed) listed {
	if i := slices.IndexFunc(models, func(m listed) bool { return m.answersTo(b.o.Model) }); i >= 0 {
		return models[i]
	}
	return listed{}
}

// propsOf reads llama.cpp's /props.
func (b *Backend) propsOf(ctx context.Context) (can batholith.Abilities) {
	var props struct {
		Defaults struct {
			Context int `json:"n_ctx"`
		} `json:"default_generation_settings"`
		Modalities *struct {
			Vision bool `json:"vision"`
		} `json:"modalities"`
	}
	for _, path := range []string{"/props", "/props" + b.routed()} {
		if body, _, err := b.ask(ctx, b.beside(path)); err != nil || json.Unmarshal(body, &props, lenient) != nil || props.Defaults.Context <= 0 {
			continue
		}
		can.Context = props.Defaults.Context
		if m := props.Modalities; m != nil {
			can.Images = batholith.AbilityOf(m.Vision)
		}
		break
	}
	return can
}

// shown reads Ollama's /api/show. The context that it really uses may be smaller.
func (b *Backend) shown(ctx context.Context) (can batholith.Abilities) {
	var show struct {
		Capabilities []string       `json:"capabilities"`
		Info         map[string]any `json:"model_info"`
	}
	if !b.tell(ctx, b.beside("/api/show"), map[string]string{"model": b.o.Model}, &show) {
		return can
	}
	if len(show.Capabilities) > 0 {
		can.Images = batholith.AbilityOf(slices.Contains(show.Capabilities, "vision"))
		can.Tools = batholith.AbilityOf(slices.Contains(show.Capabilities, "tools"))
	}
	for name, v := range show.Info { // such as llama.context_length
		if n, ok := v.(float64); ok && strings.HasSuffix(name, ".context_length") {
			can.Context = int(n)
		}
	}
	return can
}

// infoOf reads /info of TEI and TGI.
func (b *Backend) infoOf(ctx context.Context) (can batholith.Abilities) {
	var info struct {
		Input int `json:"max_input_length"`
		Total int `json:"max_total_tokens"`
	}
	if body, _, err := b.ask(ctx, b.beside("/info")); err == nil && json.Unmarshal(body, &info, lenient) == nil {
		can.Context = max(info.Input, info.Total)
	}
	return can
}
