package cli

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/catalog"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/engine"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/plain"
)

// bodies translates the body of every record as the dispatcher would, and sends none. It is safe for concurrent
// use; reasons may be read when no remark is in progress.
type bodies struct {
	model   string // "": bodies are weighed only
	typ     batholith.InvocationType
	dialect dialect.Dialect // nil: likewise

	least, likely, most atomic.Int64 // thousandths of tokens that go in
	out, unlimited      atomic.Int64 // tokens that may come out; bodies that name no limit
	exact               bool         // a token is a byte: the three are the same

	mu      sync.Mutex
	reasons map[string]int64
	price   batholith.Price // of the model

	sample *tokenSample // nil: the model's servers are not known
}

// newBodies returns the checks for a model and type. With several configured models and none named, bodies are
// only weighed for the estimate of tokens, and a hint says so.
func (a *app) newBodies(c *config.Config, named string, typ batholith.InvocationType) (*bodies, error) {
	if typ == "" {
		typ = batholith.InvokeModel
	}
	b := &bodies{typ: typ, reasons: map[string]int64{}}
	if named == "" && len(c.Models) > 1 {
		a.tell("hint", "several models are configured: bodies are checked when one is named with --model ID")
		return b, nil
	}
	id, err := a.pickModel(c, named)
	if err != nil {
		return nil, err
	}
	b.model, b.dialect, b.sample, err = a.dialectOf(c, id, typ)
	b.exact = b.model == catalog.TinyModel
	b.price = c.Price(b.model, id)
	return b, err
}

// dialectOf returns the model's id, the dialect of its bodies, and a sample for its servers. For a model that is not configured here, the id
// determines the family, and a line on stderr says so. An id of no known family is an error.
func (a *app) dialectOf(c *config.Config, id string, typ batholith.InvocationType) (string, dialect.Dialect, *tokenSample, error) {
	all, err := engine.Catalogue(modelOptions(c))
	if err != nil {
		return "", nil, nil, err
	}
	if s, ok := all.Serving(id); ok {
		d, err := s.Bodies(typ)
		return s.Model.ID, d, serversOf(s, typ), err
	}
	family := dialect.FamilyOf(id)
	if family == "" {
		return "", nil, nil, unknownModel(id, all.Models())
	}
	plain.Fprintf(a.stderr, "the model %s is not configured here: bodies are checked as those of the family %s\n", id, family)
	d, err := dialect.For(family, dialect.ProtocolOpenAI, typ, dialect.Options{Names: []string{dialect.LastPart(id)}, RefuseConverseTools: c.AWS(), Documents: documents(), DocumentLimits: c.AWS(), Checked: true})
	return id, d, nil, err
}

// remark adds the tokens of a record's body to the estimate, and returns why the body would be refused, or "". For
// the embedded model the tokens are counted exactly. A refused body is weighed all the same.
func (b *bodies) remark(l jsonl.Line) string {
	in := b.weigh(l.Input)
	// Without a model there is no dialect: the body is weighed and not judged.
	if b.dialect == nil {
		return ""
	}
	var call batholith.Call
	// A body that makes the translation panic is a refused body and must not end the command.
	err := batholith.Guard("translate the body", func() (err error) {
		input, err := dialect.StandIn(l.Input)
		if err == nil {
			call, err = b.dialect.Request(input, b.model)
		}
		return err
	})
	if err == nil {
		dialect.Discard(call)
		b.sample.see(l, in.Likely)
		return ""
	}
	why := err.Error()
	var refused *batholith.RecordError
	if errors.As(err, &refused) {
		why = refused.Message
	}
	b.count(why)
	return why
}

// count counts a reason. After mostReasons different texts, new ones are not counted: texts with ids in them would
// fill the memory.
func (b *bodies) count(why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reasons[why] > 0 || len(b.reasons) < mostReasons {
		b.reasons[why]++
	}
}

// otherShape begins the reason of a body that has the form of the other invocation type (see dialect).
const otherShape = "this body has the shape of "

// otherType returns the invocation type that refused bodies look like, or "" if none looks like the other type.
func (b *bodies) otherType() batholith.InvocationType {
	for why := range b.reasons {
		if strings.HasPrefix(why, otherShape) {
			if b.typ == batholith.Converse {
				return batholith.InvokeModel
			}
			return batholith.Converse
		}
	}
	return ""
}
