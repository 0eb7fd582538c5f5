package catalog

import "github.com/batholith/batholith"

// The embedded models, which run inside this process and need no server.
const (
	TinyModel      = "batholith.tiny-v1"
	SimulatedModel = "batholith.simulated-v1"
)

// Embedded returns the catalogue entries of the embedded models.
func Embedded(tiny, simulated Backend) []Entry {
	return []Entry{
		{Model: batholith.Model{ID: TinyModel, Name: "Tiny v1"}, Backends: []Backend{tiny}},
		{Model: batholith.Model{ID: SimulatedModel, Name: "Simulated (no model)"}, Backends: []Backend{simulated}},
	}
}
