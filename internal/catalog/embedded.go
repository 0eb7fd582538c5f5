package catalog

import "github.com/batholith/batholith"

// The models that need no server beside this one.
const (
	TinyModel      = "batholith.tiny-v1"
	SimulatedModel = "batholith.simulated-v1"
)

// Embedded are the entries that stand when no models are configured.
func Embedded(tiny, simulated Backend) []Entry {
	return []Entry{
		{Model: batholith.Model{ID: TinyModel, Name: "Tiny v1"}, Backends: []Backend{tiny}},
		{Model: batholith.Model{ID: SimulatedModel, Name: "Simulated v1 (not a model)"}, Backends: []Backend{simulated}},
	}
}
