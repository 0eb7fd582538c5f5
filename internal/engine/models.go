package engine

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/catalog"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/dispatch"
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
	// Also are further names of models, beside their aliases, with the models' ids.
	Also map[string]string
	// Managed are the servers that this process runs; backends name them as their Process. nil: none.
	Managed *managed.Servers
}

// Served is one model with its backends. A backend without its own name of the model uses the model's id.
type Served struct {
	batholith.Model
	Backends []upstream.Options
}

// Models are the models of a process: the catalogue, and the engine of the embedded model. They can be replaced while they are used.
type Models struct {
	now     atomic.Pointer[modelSet]
	tiny    *tinylm.Engine   // nil: the embedded model is not served
	own     []catalog.Entry  // the embedded models
	managed *managed.Servers // nil: none
}

// modelSet is a set of models. It is replaced as a whole, so that nobody sees half of a change.
type modelSet struct {
	*catalog.Catalog
	models []Served
	names  map[string]bool // Server of each backend
}

// OpenModels checks the models, and loads the embedded one if it is served. It sends nothing to a server.
func OpenModels(o ModelOptions) (m *Models, err error) {
	m = &Models{managed: o.Managed}
	if o.Embedded {
		if m.own, err = m.embedded(o); err != nil {
			return nil, err
		}
	}
	to, err := m.set(o)
	if err != nil {
		return nil, err
	}
	m.now.Store(to)
	return m, nil
}

// set makes a set of models. A backend whose options are those of one in use is the same backend, with its connections and with what it knows
// of its server.
func (m *Models) set(o ModelOptions) (*modelSet, error) {
	known := map[string]catalog.Backend{}
	if now := m.now.Load(); now != nil {
		for _, b := range now.Backends() {
			if u, ok := b.(*upstream.Backend); ok {
				known[u.Server()] = b
			}
		}
	}
	entries, err := o.entries()
	if err != nil {
		return nil, err
	}
	entries = append(entries, o.free(m.own)...)
	to := &modelSet{models: o.Served, names: map[string]bool{}}
	for _, e := range entries {
		for i, b := range e.Backends {
			u, ok := b.(*upstream.Backend)
			if !ok {
				continue
			}
			to.names[u.Server()] = true
			if same := known[u.Server()]; same != nil {
				e.Backends[i] = same
			}
		}
	}
	to.Catalog, err = catalog.New(entries, o.catalog())
	return to, err
}

// Plan checks other models and returns what makes them take the place of the present ones. The embedded models stay as they are. replace
// returns what stops the model servers that no backend has any more; it is called when nothing is in flight there.
func (m *Models) Plan(o ModelOptions) (replace func() (stop func()), err error) {
	to, err := m.set(o)
	if err != nil {
		return nil, err
	}
	return func() func() {
		before := m.now.Swap(to)
		return func() {
			if m.managed != nil {
				m.managed.Keep(func(s *managed.Server) bool { return !before.starts(s) || m.now.Load().starts(s) })
			}
		}
	}, nil
}

// starts reports whether a backend of the set has a server that this process starts.
func (s *modelSet) starts(server *managed.Server) bool {
	return slices.ContainsFunc(s.models, func(m Served) bool {
		return slices.ContainsFunc(m.Backends, func(b upstream.Options) bool { return b.Process == upstream.Process(server) })
	})
}

// Has reports whether a backend is one of the present ones.
func (m *Models) Has(b dispatch.Backend) bool {
	u, ok := b.(*upstream.Backend)
	return !ok || m.now.Load().names[u.Server()]
}

// Models implements control.Models, runtime.Models and others, as [catalog.Catalog] does.
func (m *Models) Models() []batholith.Model { return m.now.Load().Models() }

// Lookup finds a model: see [catalog.Catalog].
func (m *Models) Lookup(idOrARN string) (batholith.Model, bool) { return m.now.Load().Lookup(idOrARN) }

// Serving finds a model and its backends: see [catalog.Catalog].
func (m *Models) Serving(idOrARN string) (catalog.Serving, bool) {
	return m.now.Load().Serving(idOrARN)
}

// Takes reports why a model cannot take bodies of a type: see [catalog.Catalog].
func (m *Models) Takes(idOrARN string, t batholith.InvocationType) error {
	return m.now.Load().Takes(idOrARN, t)
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
		e := catalog.Entry{Model: o.named(served.Model)}
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

// named returns a model with its further names.
func (o ModelOptions) named(m batholith.Model) batholith.Model {
	for _, name := range slices.Sorted(maps.Keys(o.Also)) {
		if o.Also[name] == m.ID {
			m.Aliases = append(slices.Clone(m.Aliases), name)
		}
	}
	return m
}

// free are the embedded models whose names no served model has.
func (o ModelOptions) free(embedded []catalog.Entry) []catalog.Entry {
	all := slices.DeleteFunc(slices.Clone(embedded), func(e catalog.Entry) bool {
		return slices.ContainsFunc(o.Served, func(s Served) bool { return s.ID == e.Model.ID || slices.Contains(s.Aliases, e.Model.ID) })
	})
	for i := range all {
		all[i].Model = o.named(all[i].Model)
	}
	return all
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
	return catalog.Embedded(tiny, simulated), nil
}

// Only makes Run start only the servers of one model, named by its id or an alias.
func (m *Models) Only(name string) {
	model, ok := m.Lookup(name)
	if m.managed == nil || !ok {
		return
	}
	m.managed.Keep(func(s *managed.Server) bool {
		return slices.ContainsFunc(m.now.Load().models, func(served Served) bool {
			return served.ID == model.ID && slices.ContainsFunc(served.Backends, func(b upstream.Options) bool { return b.Process == upstream.Process(s) })
		})
	})
}

// start starts the servers that were added since Run began.
func (m *Models) start() error {
	if m.managed == nil {
		return nil
	}
	return m.managed.Start()
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
