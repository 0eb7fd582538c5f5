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
