package engine

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/catalog"
	"github.com/batholith/batholith/internal/upstream"
)

// Configured models come beside the embedded ones, and one of the same name takes an embedded one's place.
func TestTheEmbeddedModelsStayBesideConfiguredOnes(t *testing.T) {
	served := func(id string, aliases ...string) Served {
		return Served{Model: batholith.Model{ID: id, Aliases: aliases}, Backends: []upstream.Options{{URL: "http://127.0.0.1:9/v1"}}}
	}
	for name, c := range map[string]struct {
		options ModelOptions
		want    []string
	}{
		"none configured": {ModelOptions{Embedded: true}, []string{catalog.TinyModel, catalog.SimulatedModel}},
		"one configured":  {ModelOptions{Embedded: true, Served: []Served{served("m")}}, []string{"m", catalog.TinyModel, catalog.SimulatedModel}},
		"left out":        {ModelOptions{Served: []Served{served("m")}}, []string{"m"}},
		"replaced":        {ModelOptions{Embedded: true, Served: []Served{served(catalog.SimulatedModel), served("m", catalog.TinyModel)}}, []string{catalog.SimulatedModel, "m"}},
	} {
		ids := func(models []batholith.Model) (ids []string) {
			for _, m := range models {
				ids = append(ids, m.ID)
			}
			return ids
		}
		known, err := Catalogue(c.options)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(c.want, ids(known.Models())); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		opened, err := OpenModels(c.options)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(c.want, ids(opened.Models())); d != "" {
			t.Errorf("%s, opened: %s", name, d)
		}
	}
}

// A recipe changes with whatever decides an answer, and with nothing else: answers are not paid for twice because a server has moved.
func TestARecipeChangesWithWhatDecidesAnAnswer(t *testing.T) {
	recipe := func(m batholith.Model, typ batholith.InvocationType, o upstream.Options) string {
		t.Helper()
		if o.URL == "" {
			o.URL = "http://127.0.0.1:9/v1"
		}
		models, err := OpenModels(ModelOptions{Served: []Served{{Model: m, Backends: []upstream.Options{o}}}})
		if err != nil {
			t.Fatal(err)
		}
		s, _ := models.Serving(m.ID)
		all := s.Servings(typ)
		if len(all) != 1 {
			t.Fatalf("%+v", all)
		}
		return all[0].Recipe
	}
	m := batholith.Model{ID: "m", Family: "openai"}
	usual := recipe(m, batholith.InvokeModel, upstream.Options{Model: "qwen"})
	for _, o := range []upstream.Options{{Model: "qwen", URL: "http://127.0.0.1:10/v1"}, {Model: "qwen", MaxInFlight: 3, APIKey: "k", Weight: 2}} {
		if recipe(m, batholith.InvokeModel, o) != usual {
			t.Errorf("another recipe with %+v", o)
		}
	}
	for _, o := range []upstream.Options{{Model: "qwen2"}, {Model: "qwen", ExtraBody: `{"top_k":1}`}, {Model: "qwen", Protocol: "ollama"}, {Model: "qwen", Made: "llama-server -m other.gguf"}} {
		if recipe(m, batholith.InvokeModel, o) == usual {
			t.Errorf("the same recipe with %+v", o)
		}
	}
	if recipe(m, batholith.Converse, upstream.Options{Model: "qwen"}) == usual || recipe(batholith.Model{ID: "m", Family: "gpt-oss"}, batholith.InvokeModel, upstream.Options{Model: "qwen"}) == usual {
		t.Error("the same recipe for another type or family")
	}
}
