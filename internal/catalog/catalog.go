package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// Backend is one model server as dispatch uses it.
type Backend interface {
	// Do sends one call. The error is a [*batholith.Failure], or the cause of ctx.
	Do(ctx context.Context, call batholith.Call) ([]byte, error)
	// Probe asks whether the server is there and serves the model.
	Probe(ctx context.Context) error
	// Slots is how many requests the server says it works on at once; not ok when it does not say.
	Slots(ctx context.Context) (n int, ok bool)
	// Gauges are what the server says of itself at the moment; not ok when it says nothing.
	Gauges(ctx context.Context) (batholith.Gauges, bool)
	// MaxInFlight is the configured limit, 0 when it is to be found.
	MaxInFlight() int
	// ModelName is the name that the server knows the model by.
	ModelName() string
	// String names the server in messages.
	String() string
}

// Entry is one model with the servers that have it. What is empty of the model is filled in from its id.
type Entry struct {
	batholith.Model
	Protocol string // of the backends; "" is openai
	Backends []Backend
}

// Options hold for every model.
type Options struct {
	// RefuseConverseTools fails Converse records that have tools (the profile "aws").
	RefuseConverseTools bool
}

// Serving is what dispatch needs of a model.
type Serving struct {
	Model    batholith.Model
	Backends []Backend
	// Dialect translates the bodies of an invocation type; the error says that the model cannot take it.
	Dialect func(batholith.InvocationType) (dialect.Dialect, error)
}

// Catalog is safe for concurrent use.
type Catalog struct {
	o       Options
	entries []Entry
	byName  map[string]int // ids and aliases
}

// New checks that every model has a name of its own, a backend and a family that is known.
func New(entries []Entry, o Options) (*Catalog, error) {
	c := &Catalog{o: o, byName: map[string]int{}}
	for _, e := range entries {
		if err := c.add(e); err != nil {
			return nil, fmt.Errorf("model %q: %w", e.ID, err)
		}
	}
	return c, nil
}

func (c *Catalog) add(e Entry) error {
	if e.ID == "" {
		return fmt.Errorf("an id is required")
	}
	e.Protocol = cmp.Or(e.Protocol, dialect.ProtocolOpenAI)
	e.Model = describe(e.Model)
	if _, err := c.dialect(e, batholith.InvokeModel); err != nil {
		return err
	}
	if len(e.Backends) == 0 {
		return fmt.Errorf("a backend is required")
	}
	for _, name := range append([]string{e.ID}, e.Aliases...) {
		if i, taken := c.byName[name]; taken {
			return fmt.Errorf("the name %q is that of the model %q already", name, c.entries[i].ID)
		}
		c.byName[name] = len(c.entries)
	}
	c.entries = append(c.entries, e)
	return nil
}

// Models lists the models in the order in which they were configured.
func (c *Catalog) Models() []batholith.Model {
	models := make([]batholith.Model, 0, len(c.entries))
	for _, e := range c.entries {
		models = append(models, e.Model)
	}
	return models
}

// Lookup finds a model by its id, an alias, or an ARN of either: of a foundation model, an inference profile or a custom model.
// An inference profile's id finds the model without its geography, unless it is an alias of another.
func (c *Catalog) Lookup(idOrARN string) (batholith.Model, bool) {
	i, ok := c.find(idOrARN)
	if !ok {
		return batholith.Model{}, false
	}
	return c.entries[i].Model, true
}

// Serving finds where a model is served, by any of its names.
func (c *Catalog) Serving(idOrARN string) (Serving, bool) {
	i, ok := c.find(idOrARN)
	if !ok {
		return Serving{}, false
	}
	e := c.entries[i]
	return Serving{
		Model:    e.Model,
		Backends: e.Backends,
		Dialect:  func(t batholith.InvocationType) (dialect.Dialect, error) { return c.dialect(e, t) },
	}, true
}

func (c *Catalog) find(idOrARN string) (int, bool) {
	if i, ok := c.byName[idOrARN]; ok {
		return i, true // also an ARN that was configured as an alias
	}
	id := dialect.LastPart(idOrARN)
	if i, ok := c.byName[id]; ok {
		return i, true
	}
	bare, ok := dialect.CutGeography(id)
	if !ok {
		return 0, false
	}
	i, ok := c.byName[bare]
	return i, ok
}

func (c *Catalog) dialect(e Entry, t batholith.InvocationType) (dialect.Dialect, error) {
	return dialect.For(e.Family, e.Protocol, t, dialect.Options{
		Names:               slices.Concat([]string{e.ID}, e.Aliases),
		RefuseConverseTools: c.o.RefuseConverseTools,
		Checked:             true, // by jsonl, which the records of a job come from
	})
}
