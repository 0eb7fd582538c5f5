package cli

import (
	"cmp"
	"context"
	"fmt"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/catalog"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/simlm"
	"github.com/batholith/batholith/internal/tinylm"
	"github.com/batholith/batholith/internal/upstream"
)

// models are those that the settings name, or the embedded ones when they name none.
type models struct {
	catalog *catalog.Catalog
	tiny    *tinylm.Engine // nil when it is not served
}

func openModels(c *config.Config) (*models, error) {
	m := &models{}
	entries, err := m.entries(c)
	if err != nil {
		return nil, err
	}
	m.catalog, err = catalog.New(entries, catalog.Options{RefuseConverseTools: c.AWS()})
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (m *models) entries(c *config.Config) ([]catalog.Entry, error) {
	if len(c.Models) == 0 {
		return m.embedded(c)
	}
	var entries []catalog.Entry
	for _, set := range c.Models {
		e := catalog.Entry{Model: batholith.Model{ID: set.ID, Aliases: set.Aliases, Family: set.Family}}
		for _, b := range set.Backends {
			backend, err := upstream.New(upstream.Options{URL: b.URL, Protocol: b.Protocol, Model: cmp.Or(b.Model, set.ID),
				APIKey: b.APIKey, MaxInFlight: b.MaxInFlight, Timeout: b.Timeout})
			if err != nil {
				return nil, fmt.Errorf("model %q: %w", set.ID, err)
			}
			e.Backends = append(e.Backends, backend)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// withoutTime is how many requests a model gets that takes no time for them: enough for the disk to be written for many of them together.
// To find out how many it takes is to measure how fast the machine happens to be, and ended now and then at thousands, at twice the CPU.
const withoutTime = 128

// embedded makes the models that are part of the program. They are reached like any server, without a socket.
func (m *models) embedded(c *config.Config) ([]catalog.Entry, error) {
	weights, err := tinylm.Load(tinylm.Weights())
	if err != nil {
		return nil, fmt.Errorf("load the embedded model: %w", err)
	}
	m.tiny = tinylm.NewEngine(weights, tinylm.Options{})
	tiny, err := upstream.New(upstream.Options{URL: "http://tiny.embedded/v1", Model: catalog.TinyModel, Transport: upstream.InProcess(m.tiny)})
	if err != nil {
		return nil, err
	}
	how, limit := simulated(c.Simulated), 0
	if how.Free() {
		limit = withoutTime
	}
	simulated, err := upstream.New(upstream.Options{URL: "http://simulated.embedded/v1", Model: catalog.SimulatedModel, MaxInFlight: limit,
		Transport: upstream.InProcess(simlm.New(how))})
	if err != nil {
		return nil, err
	}
	return catalog.Embedded(tiny, simulated), nil
}

// simulated is how the settings want the simulated model to behave.
func simulated(s config.Simulated) simlm.Options {
	f := s.Failures
	schedule, _ := simlm.ParseSchedule(s.Schedule) // checked by config
	return simlm.Options{Latency: s.Latency, PerToken: s.PerToken, Step: s.Step, Decode: s.Decode, Prefill: s.Prefill, Chunk: s.Chunk, Cache: s.Cache,
		OutputTokens: s.OutputTokens, OutputTokensMax: s.OutputTokensMax, Slots: s.Slots, Schedule: schedule, Queue: s.Queue,
		RefuseStatus: s.Refuse, RetryAfter: s.RetryAfter, Seed: uint64(s.Seed),
		Failures: simlm.Failures{RateLimit: f.RateLimit, Internal: f.Internal, Unavailable: f.Unavailable, BadRequest: f.BadRequest,
			Reset: f.Reset, Nonsense: f.Nonsense, Times: f.Times}}
}

// Run computes for the embedded model until ctx ends.
func (m *models) Run(ctx context.Context) error {
	if m.tiny == nil {
		return nil
	}
	return m.tiny.Run(ctx)
}
