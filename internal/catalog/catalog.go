package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// Backend is one model server, as package dispatch uses it.
type Backend interface {
	// Do sends one call. The error is a [*batholith.Failure], or the cause of ctx if ctx was
	// cancelled.
	Do(ctx context.Context, call batholith.Call) ([]byte, error)
	// Probe checks that the server is reachable and serves the model.
	Probe(ctx context.Context) error
	// Slots returns how many requests the server processes in parallel; ok is false if the
	// server does not report it.
	Slots(ctx context.Context) (n int, ok bool)
	// Gauges returns the server's current load; ok is false if the server does not report it.
	Gauges(ctx context.Context) (batholith.Gauges, bool)
	// MaxInFlight returns the configured maximum of parallel requests; 0: Batholith finds the
	// limit.
	MaxInFlight() int
	// ModelName returns the server's own name for the model.
	ModelName() string
	// Protocol returns the name of the server's protocol: see [dialect.Protocols].
	Protocol() string
	// String returns the server's host and port, for messages.
	String() string
}

// Entry is one model and the servers that serve it. Members of Model that are empty are derived
// from the id.
type Entry struct {
	batholith.Model
	Backends []Backend
}

// Options apply to all models.
type Options struct {
	// Streaming means that the runtime passes answers on as streams.
	Streaming bool
	// RefuseConverseTools rejects Converse records that contain tools, as Bedrock's batch
	// inference does (the profile "aws").
	RefuseConverseTools bool
	// Documents reads documents that are not text. Nil: they are refused.
	Documents dialect.Documents
	// DocumentLimits refuses more or larger documents than Bedrock takes (the profile "aws").
	DocumentLimits bool
}

// Serving holds what dispatch needs to send requests to a model.
type Serving struct {
	Model    batholith.Model
	Backends []Backend
	// Dialect returns the translator between bodies of an invocation type and a protocol, or an
	// error if there is none.
	Dialect func(t batholith.InvocationType, protocol string) (dialect.Dialect, error)
	// Live is Dialect for interactive calls: it takes bodies that nobody has checked, and tools in
	// Converse bodies, which Bedrock refuses in batches only.
	Live func(t batholith.InvocationType, protocol string) (dialect.Dialect, error)
	// Forms is Dialect for checks of bodies before a job begins: it does not read documents.
	Forms func(t batholith.InvocationType, protocol string) (dialect.Dialect, error)
}

// For returns the backends that can take bodies of an invocation type, and their translators by
// protocol. If there is none, the error says why the first one cannot.
func (s Serving) For(t batholith.InvocationType) (able []Backend, dialects map[string]dialect.Dialect, err error) {
	return s.able(t, s.Dialect)
}

// ForCalls is For for interactive calls.
func (s Serving) ForCalls(t batholith.InvocationType) (able []Backend, dialects map[string]dialect.Dialect, err error) {
	return s.able(t, s.Live)
}

func (s Serving) able(t batholith.InvocationType, of func(batholith.InvocationType, string) (dialect.Dialect, error)) (able []Backend, dialects map[string]dialect.Dialect, err error) {
	dialects = map[string]dialect.Dialect{}
	for _, b := range s.Backends {
		d, unable := of(t, protocolOf(b))
		if unable != nil {
			if err == nil {
				err = unable
			}
			continue
		}
		able, dialects[protocolOf(b)] = append(able, b), d
	}
	if len(able) > 0 {
		return able, dialects, nil
	}
	return nil, nil, err
}

// Bodies returns the translator of the first backend that can take bodies of an invocation type,
// to check bodies without sending them.
func (s Serving) Bodies(t batholith.InvocationType) (dialect.Dialect, error) {
	able, dialects, err := s.For(t)
	if err != nil {
		return nil, err
	}
	return dialects[protocolOf(able[0])], nil
}

// Refused returns a function that tells why every backend would refuse a body of an invocation
// type, or "" if one would take it. Documents in bodies, and objects that they name, are not read.
func (s Serving) Refused(t batholith.InvocationType) (func(input []byte) string, error) {
	_, dialects, err := s.able(t, s.Forms)
	if err != nil {
		return nil, err
	}
	return func(input []byte) (why string) {
		input, err := dialect.StandIn(input)
		if err != nil {
			return err.Error()
		}
		for _, d := range dialects {
			call, err := d.Request(input, s.Model.ID)
			if err == nil {
				dialect.Discard(call)
				return ""
			}
			why = max(why, reason(err)) // the same one in any order of the protocols
		}
		return why
	}, nil
}

// reason is what an error of Request says about the body.
func reason(err error) string {
	if refused, ok := errors.AsType[*batholith.RecordError](err); ok {
		return refused.Message
	}
	return err.Error()
}

// Recipe returns a hash of the settings that decide what a backend answers to a record of an
// invocation type: the family, the protocol, the server's own name for the model, and what is
// merged into its requests. Two answers with one recipe are exchangeable.
func (s Serving) Recipe(t batholith.InvocationType, b Recipient) string {
	recipe := fmt.Sprintf("%q %q", b.Protocol(), b.ModelName())
	if own, ok := b.(interface{ Recipe() string }); ok {
		recipe = own.Recipe()
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %s", s.Model.Family, t, recipe))
	return hex.EncodeToString(sum[:6])
}

// Recipient is what a recipe needs of a backend.
type Recipient interface {
	ModelName() string
	Protocol() string
}

// Servings returns what decides the answers of the backends that can take bodies of an invocation
// type.
func (s Serving) Servings(t batholith.InvocationType) (all []batholith.Serving) {
	able, _, err := s.able(t, s.Forms)
	if err != nil {
		return nil
	}
	for _, b := range able {
		if b != nil {
			all = append(all, batholith.Serving{Model: b.ModelName(), Recipe: s.Recipe(t, b)})
		}
	}
	return all
}

// protocolOf returns the protocol of a backend. Without a server, which is so in a catalogue for
// checks, it is that of the embedded models.
func protocolOf(b Backend) string {
	if b == nil {
		return dialect.ProtocolOpenAI
	}
	return b.Protocol()
}

// Catalog is the immutable set of models. It is safe for concurrent use.
type Catalog struct {
	o       Options
	entries []Entry
	byName  map[string]int // index in entries, by id and alias
}

// New returns a catalogue. It fails if a name occurs twice, if a model has no backend, or if
// its family is unknown.
func New(entries []Entry, o Options) (*Catalog, error) {
	c := &Catalog{o: o, byName: map[string]int{}}
	for _, e := range entries {
		if err := c.add(e); err != nil {
			return nil, fmt.Errorf("model %q: %w", e.ID, err)
		}
	}
	return c, nil
}

// add checks one entry and appends it.
func (c *Catalog) add(e Entry) error {
	if e.ID == "" {
		return fmt.Errorf("an id is required")
	}
	e.Model = describe(e.Model)
	if len(e.Backends) == 0 {
		return fmt.Errorf("a backend is required")
	}
	for _, b := range e.Backends {
		invoke, whyNot := c.dialect(e, batholith.InvokeModel, protocolOf(b))
		converse, err := c.dialect(e, batholith.Converse, protocolOf(b))
		if whyNot != nil && err != nil {
			return whyNot
		}
		for _, d := range []dialect.Dialect{invoke, converse} {
			e.Streams = e.Streams || c.o.Streaming && d != nil && dialect.Streams(d)
		}
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

// Models returns the models in the order of the settings.
func (c *Catalog) Models() []batholith.Model {
	models := make([]batholith.Model, 0, len(c.entries))
	for _, e := range c.entries {
		models = append(models, e.present())
	}
	return models
}

// Backends returns the servers of all models.
func (c *Catalog) Backends() (all []Backend) {
	for _, e := range c.entries {
		all = append(all, e.Backends...)
	}
	return all
}

// Lookup finds a model by id, alias, or an ARN that ends in either: of a foundation model, an
// inference profile or a custom model. The id of an inference profile, such as "eu.anthropic…",
// also finds the model without its geography prefix, unless the complete id is an alias of
// another model.
func (c *Catalog) Lookup(idOrARN string) (batholith.Model, bool) {
	i, ok := c.find(idOrARN)
	if !ok {
		return batholith.Model{}, false
	}
	return c.entries[i].present(), true
}

// present returns the model with the inputs that its servers say, unless the settings say them: it
// reads images if one server sees them, and not if those that say so see none.
func (e Entry) present() batholith.Model {
	m := e.Model
	if m.Set.Images != batholith.AbilityUnknown || !slices.Contains(m.Outputs, text) {
		return m
	}
	sees := batholith.AbilityUnknown
	for _, b := range e.Backends {
		k, ok := b.(interface{ Known() batholith.Abilities })
		if !ok {
			continue
		}
		if can := k.Known().Images; can == batholith.Able || sees == batholith.AbilityUnknown {
			sees = can
		}
	}
	switch sees {
	case batholith.Able:
		m.Inputs = []string{text, image}
	case batholith.Unable:
		m.Inputs = []string{text}
	}
	return m
}

// Serving finds a model by the same names as Lookup, and returns how to reach it.
func (c *Catalog) Serving(idOrARN string) (Serving, bool) {
	i, ok := c.find(idOrARN)
	if !ok {
		return Serving{}, false
	}
	e := c.entries[i]
	return Serving{
		Model:    e.Model,
		Backends: e.Backends,
		Dialect: func(t batholith.InvocationType, protocol string) (dialect.Dialect, error) {
			return c.dialect(e, t, protocol)
		},
		Live: func(t batholith.InvocationType, protocol string) (dialect.Dialect, error) {
			o := c.options(e)
			o.Checked, o.RefuseConverseTools = false, false
			return dialect.For(e.Family, protocol, t, o)
		},
		Forms: func(t batholith.InvocationType, protocol string) (dialect.Dialect, error) {
			o := c.options(e)
			o.Documents = dialect.Unread{}
			return dialect.For(e.Family, protocol, t, o)
		},
	}, true
}

// Takes returns nil if a backend of the model can take bodies of an invocation type. Otherwise the
// error says why, and what to do.
func (c *Catalog) Takes(idOrARN string, t batholith.InvocationType) error {
	s, ok := c.Serving(idOrARN)
	if !ok {
		return fmt.Errorf("no model %q is configured", idOrARN)
	}
	switch fits := dialect.Takes(s.Model.Family, t); {
	case !fits && t == batholith.Embeddings:
		return fmt.Errorf("%s is a model for chats and makes no embeddings; use %s, or a model that makes them", s.Model.ID, batholith.ChatEndpoint)
	case !fits && t.Endpoint() != "":
		return fmt.Errorf("%s makes embeddings and has no chat; use %s", s.Model.ID, batholith.Embeddings.Endpoint())
	case !fits:
		return fmt.Errorf("%s makes embeddings and has no conversations; leave modelInvocationType out, and write bodies of InvokeModel", s.Model.ID)
	}
	_, _, err := s.For(t)
	return err
}

// find returns the index of a model by the rules of Lookup.
func (c *Catalog) find(idOrARN string) (int, bool) {
	if i, ok := c.byName[idOrARN]; ok {
		return i, true // an ARN may be configured as an alias
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

// dialect returns the translator between the bodies of e's family and a protocol.
func (c *Catalog) dialect(e Entry, t batholith.InvocationType, protocol string) (dialect.Dialect, error) {
	return dialect.For(e.Family, protocol, t, c.options(e))
}

// options returns the options of e's dialects for batches.
func (c *Catalog) options(e Entry) dialect.Options {
	return dialect.Options{
		Names:               slices.Concat([]string{e.ID}, e.Aliases),
		RefuseConverseTools: c.o.RefuseConverseTools,
		Documents:           c.o.Documents,
		DocumentLimits:      c.o.DocumentLimits,
		Checked:             true, // package jsonl has checked the JSON of every record
	}
}
