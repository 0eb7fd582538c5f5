package engine

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/catalog"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/managed"
	"github.com/batholith/batholith/internal/runtime"
	"github.com/batholith/batholith/internal/simlm"
	"github.com/batholith/batholith/internal/tinylm"
	"github.com/batholith/batholith/internal/upstream"
)

// ModelOptions say which models are served.
type ModelOptions struct {
	Served              []Served
	Embedded            bool          // serve the embedded models too, except one whose name a served model has
	Simulated           simlm.Options // how the embedded simulated model behaves
	RefuseConverseTools bool          // fail Converse records that have tools (the profile "aws")
	Documents           dialect.Documents
	DocumentLimits      bool // fail records with more or larger documents than Bedrock takes (the profile "aws")
	// Managed are the servers that this process runs; backends name them as their Process. nil: none.
	Managed *managed.Servers
}

// Served is one model with its backends. A backend without its own name of the model uses the model's id.
type Served struct {
	batholith.Model
	Backends []upstream.Options
}

// Models are the models of a process: the catalogue, and the engine of the embedded model.
type Models struct {
	*catalog.Catalog
	tiny    *tinylm.Engine   // nil: the embedded model is not served
	managed *managed.Servers // nil: none
	served  []Served
}

// OpenModels checks the models, and loads the embedded one if it is served. It sends nothing to a server.
func OpenModels(o ModelOptions) (m *Models, err error) {
	m = &Models{managed: o.Managed, served: o.Served}
	entries, err := o.entries()
	if err != nil {
		return nil, err
	}
	if o.Embedded {
		own, err := m.embedded(o)
		if err != nil {
			return nil, err
		}
		entries = append(entries, own...)
	}
	if m.Catalog, err = catalog.New(entries, o.catalog()); err != nil {
		return nil, err
	}
	return m, nil
}

// Catalogue returns the catalogue without loading the embedded model. It can translate records, and cannot send them.
func Catalogue(o ModelOptions) (*catalog.Catalog, error) {
	entries, err := o.entries()
	if err != nil {
		return nil, err
	}
	if o.Embedded {
		entries = append(entries, o.free(catalog.Embedded(nil, nil))...)
	}
	return catalog.New(entries, o.catalog())
}

func (o ModelOptions) catalog() catalog.Options {
	return catalog.Options{Streaming: runtime.Serves("InvokeModelWithResponseStream"), RefuseConverseTools: o.RefuseConverseTools, Documents: o.Documents, DocumentLimits: o.DocumentLimits}
}

// entries are the models with their servers.
func (o ModelOptions) entries() (entries []catalog.Entry, err error) {
	for _, served := range o.Served {
		e := catalog.Entry{Model: served.Model}
		for _, b := range served.Backends {
			b.Model = cmp.Or(b.Model, served.ID)
			backend, err := upstream.New(b)
			if err != nil {
				return nil, fmt.Errorf("model %q: %w", served.ID, err)
			}
			e.Backends = append(e.Backends, backend)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// free are the embedded models whose names no served model has.
func (o ModelOptions) free(embedded []catalog.Entry) []catalog.Entry {
	return slices.DeleteFunc(embedded, func(e catalog.Entry) bool {
		return slices.ContainsFunc(o.Served, func(s Served) bool { return s.ID == e.Model.ID || slices.Contains(s.Aliases, e.Model.ID) })
	})
}

// withoutTime is the limit for a simulated model whose answers take no time: enough that one sync of the disk covers many outcomes. A
// search for the limit would only measure the speed of the machine; it sometimes ended at thousands, with twice the CPU time.
const withoutTime = 128

// embedded makes the models that are part of the program. They are used like any server, without a socket.
func (m *Models) embedded(o ModelOptions) ([]catalog.Entry, error) {
	weights, err := tinylm.Load(tinylm.Weights())
	if err != nil {
		return nil, fmt.Errorf("load the embedded model: %w", err)
	}
	m.tiny = tinylm.NewEngine(weights, tinylm.Options{})
	tiny, err := upstream.New(upstream.Options{URL: "http://tiny.embedded/v1", Model: catalog.TinyModel, Transport: upstream.InProcess(m.tiny)})
	if err != nil {
		return nil, err
	}
	limit := 0
	if o.Simulated.Free() {
		limit = withoutTime
	}
	simulated, err := upstream.New(upstream.Options{URL: "http://simulated.embedded/v1", Model: catalog.SimulatedModel, MaxInFlight: limit,
		Transport: upstream.InProcess(simlm.New(o.Simulated))})
	if err != nil {
		return nil, err
	}
	return o.free(catalog.Embedded(tiny, simulated)), nil
}

// Only makes Run start only the servers of one model, named by its id or an alias.
func (m *Models) Only(name string) {
	model, ok := m.Lookup(name)
	if m.managed == nil || !ok {
		return
	}
	m.managed.Keep(func(s *managed.Server) bool {
		return slices.ContainsFunc(m.served, func(served Served) bool {
			return served.ID == model.ID && slices.ContainsFunc(served.Backends, func(b upstream.Options) bool { return b.Process == upstream.Process(s) })
		})
	})
}

// Notes returns a line for each server that this process runs and that is not ready.
func (m *Models) Notes() []string {
	if m == nil || m.managed == nil {
		return nil
	}
	return m.managed.Notes()
}

// Run computes for the embedded model, and runs the model servers that this process starts, until ctx ends. dir is the folder of their
// logs and states; "": none is started.
func (m *Models) Run(ctx context.Context, dir string, log *slog.Logger) error {
	var g errgroup.Group
	if m.tiny != nil {
		g.Go(func() error { return m.tiny.Run(ctx) })
	}
	if m.managed != nil && dir != "" {
		g.Go(func() error { return m.managed.Run(ctx, dir, log) })
	}
	return g.Wait()
}
