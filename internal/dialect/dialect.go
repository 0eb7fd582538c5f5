package dialect

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/batholith/batholith"
)

// Dialect translates the bodies of one family for one protocol. It is safe for concurrent use.
type Dialect interface {
	// Request turns a modelInput into a call of the backend, which serves the model under this name.
	// A body that cannot be served is a [*batholith.RecordError].
	Request(input []byte, model string) (batholith.Call, error)

	// Answer turns the body of a backend's 200 into a modelOutput. The error wraps [ErrNonsense] when the body is not what
	// the protocol promises, and is a [*batholith.RecordError] when the model cannot do what the record asked for.
	Answer(input []byte, call batholith.Call, body []byte) (batholith.Answer, error)
}

// ErrNonsense marks an answer that no server of the protocol should give: no JSON, no choices, another type, cut short.
// The same request may well do better the next time.
var ErrNonsense = errors.New("the model server's answer makes no sense")

func nonsense(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNonsense, fmt.Sprintf(format, args...))
}

// Options are what a dialect must know of the model and the service.
type Options struct {
	// Names are those that a body may give in "model": the id first, then aliases. The id is also what an answer shows.
	// Without names, the backend's own name takes their place.
	Names []string
	// RefuseConverseTools fails a Converse record that has tools (Bedrock: batch inference, the profile "aws").
	RefuseConverseTools bool
}

// ProtocolOpenAI is that of servers with /chat/completions, /completions and /embeddings.
const ProtocolOpenAI = "openai"

// FamilyAny takes any body that a chat family knows; its shape decides.
const FamilyAny = "any"

// families says who translates a family's InvokeModel bodies for an OpenAI-compatible server.
// A new family is a row here, a row in family.go where its ids are recognised, and a file.
var families = []struct {
	name string
	make func(Options) Dialect
}{
	{"anthropic", func(o Options) Dialect { return anthropic{o} }},
	{"openai", func(o Options) Dialect { return openai{o, namedGPTOSS(o)} }},
	{"gpt-oss", func(o Options) Dialect { return openai{o, true} }},
	{"titan-text", func(o Options) Dialect { return titanText{o} }},
	{"titan-embed", func(o Options) Dialect { return titanEmbed{o} }},
	{"llama", func(o Options) Dialect { return llama{o} }},
	{FamilyAny, func(o Options) Dialect { return auto{o} }},
}

// Families lists the names that For knows, for messages.
func Families() []string {
	var names []string
	for _, f := range families {
		names = append(names, f.name)
	}
	return names
}

// For finds the dialect between a family's bodies and a backend's protocol. With invocation type Converse the bodies are
// Converse's, whatever the family is.
func For(family, protocol string, typ batholith.InvocationType, o Options) (Dialect, error) {
	if protocol != ProtocolOpenAI {
		return nil, fmt.Errorf("backend protocol %q is not known; known: %s", protocol, ProtocolOpenAI)
	}
	i := slices.IndexFunc(families, func(f struct {
		name string
		make func(Options) Dialect
	}) bool {
		return f.name == family
	})
	if i < 0 {
		return nil, fmt.Errorf("model family %q is not known; known: %s", family, strings.Join(Families(), ", "))
	}
	if typ == batholith.Converse {
		return converse{o}, nil
	}
	return families[i].make(o), nil
}

// shown is the model name that an answer carries.
func (o Options) shown(backend string) string {
	if len(o.Names) > 0 {
		return o.Names[0]
	}
	return backend
}
