package upstream

import (
	"testing"

	"github.com/batholith/batholith"
)

// TestAbilitiesAreThoseThatTheServerSays: in the forms of each server. What it does not say is unknown, and so is a page of nonsense.
func TestAbilitiesAreThoseThatTheServerSays(t *testing.T) {
	for name, c := range map[string]struct {
		paths map[string]string
		want  batholith.Abilities
	}{
		"vLLM":               {map[string]string{"/v1/models": `{"data":[{"id":"other","max_model_len":1},{"id":"m","owned_by":"vllm","max_model_len":32768}]}`}, batholith.Abilities{Context: 32768}},
		"SGLang":             {map[string]string{"/v1/models": `{"data":[{"id":"m","owned_by":"sglang","max_model_len":131072}]}`}, batholith.Abilities{Context: 131072}},
		"llama.cpp":          {map[string]string{"/v1/models": `{"data":[{"id":"m","owned_by":"llamacpp","meta":{"n_ctx_train":99}}]}`, "/props": `{"default_generation_settings":{"n_ctx":4096},"total_slots":4,"modalities":{"vision":false,"audio":false}}`}, batholith.Abilities{Context: 4096, Images: batholith.Unable}},
		"llama.cpp, vision":  {map[string]string{"/v1/models": `{"data":[{"id":"m","owned_by":"llamacpp"}]}`, "/props": `{"default_generation_settings":{"n_ctx":4096},"modalities":{"vision":true}}`}, batholith.Abilities{Context: 4096, Images: batholith.Able}},
		"llama.cpp, old":     {map[string]string{"/v1/models": `{"data":[{"id":"m","owned_by":"llamacpp"}]}`, "/props": `{"default_generation_settings":{"n_ctx":4096}}`}, batholith.Abilities{Context: 4096}},
		"Ollama":             {map[string]string{"/v1/models": `{"data":[{"id":"m:latest","owned_by":"library"}]}`, "/api/show": `{"capabilities":["completion","tools"],"model_info":{"general.architecture":"llama","llama.context_length":8192}}`}, batholith.Abilities{Context: 8192, Images: batholith.Unable, Tools: batholith.Able}},
		"Ollama, vision":     {map[string]string{"/v1/models": `{"data":[{"id":"m","owned_by":"library"}]}`, "/api/show": `{"capabilities":["completion","vision"]}`}, batholith.Abilities{Images: batholith.Able, Tools: batholith.Unable}},
		"Ollama, old":        {map[string]string{"/v1/models": `{"data":[{"id":"m","owned_by":"library"}]}`, "/api/show": `{"model_info":{}}`}, batholith.Abilities{}},
		"TEI":                {map[string]string{"/info": `{"model_id":"m","max_input_length":512,"max_concurrent_requests":512}`}, batholith.Abilities{Context: 512}},
		"TGI":                {map[string]string{"/info": `{"max_input_tokens":1000,"max_total_tokens":2048}`}, batholith.Abilities{Context: 2048}},
		"a gateway":          {map[string]string{"/v1/models": `{"data":[{"id":"m","owned_by":"openai"}]}`, "/info": `{"max_total_tokens":1}`, "/props": `{"default_generation_settings":{"n_ctx":1}}`}, batholith.Abilities{}},
		"another model only": {map[string]string{"/v1/models": `{"data":[{"id":"other","max_model_len":7}]}`}, batholith.Abilities{}},
		"nonsense":           {map[string]string{"/v1/models": `{"data":[{"id":"m","owned_by":"llamacpp"}]}`, "/props": `<html>`}, batholith.Abilities{}},
		"a negative number":  {map[string]string{"/v1/models": `{"data":[{"id":"m","max_model_len":-1}]}`}, batholith.Abilities{}},
	} {
		b := serving(t, "m", c.paths)
		if known := b.Known(); known != (batholith.Abilities{}) {
			t.Errorf("%s: %+v is known before it was asked", name, known)
		}
		if got := b.Abilities(t.Context()); got != c.want || b.Known() != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}
