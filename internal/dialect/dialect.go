package dialect

import (
	"bytes"
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

	// Answer turns the body of a backend's 200 into a modelOutput. The input is one that Request has taken. The error wraps [ErrNonsense] when the body is not what
	// the protocol promises, is a [*batholith.Failure] when the body says that it is no whole answer, and is a [*batholith.RecordError] when the model cannot do what the record asked for.
	Answer(input []byte, call batholith.Call, body []byte) (batholith.Answer, error)
}

// ErrNonsense marks an answer that no server of the protocol should give: no JSON, no choices, another type, cut short.
// The same request may well do better the next time.
var ErrNonsense = errors.New("the model server's answer makes no sense")

// ErrModel marks an [ErrNonsense] that is the model's and not the server's: where sampling is fixed, the same request brings it again.
var ErrModel = errors.New("the model's answer makes no sense")

func modelFault(format string, args ...any) error { return modelError(fmt.Sprintf(format, args...)) }

// modelError is both an [ErrModel] and an [ErrNonsense].
type modelError string

func (e modelError) Error() string { return ErrModel.Error() + ": " + string(e) }

// Is implements the interface of [errors.Is].
func (e modelError) Is(target error) bool { return target == ErrModel || target == ErrNonsense }

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
	// Checked says that bodies are parts of single lines that were found to be JSON already, save that an escape may be half of a surrogate
	// pair: nobody looks for the rest once more.
	Checked bool
}

// ProtocolOpenAI is that of servers with /chat/completions, /completions and /embeddings.
const ProtocolOpenAI = "openai"

// FamilyAny takes any body that a chat family knows; its shape decides.
const FamilyAny = "any"

// families says who translates a family's InvokeModel bodies for an OpenAI-compatible server.
// A new family is a row here, a row in family.go where its ids are recognised, a file, and its members in members.go.
var families = []family{
	{"anthropic", anthropicBodies, false},
	{"nova", func(o Options) translator { return nova{o} }, false},
	{"nova-embed", func(o Options) translator { return novaEmbed{o} }, true},
	{"titan-text", func(o Options) translator { return titanText{o} }, false},
	{"titan-embed", func(o Options) translator { return titanEmbed{o} }, true},
	{"llama", llama, false},
	{"mistral", mistralBodies, false},
	{"cohere", func(o Options) translator { return cohere{o} }, false},
	{"cohere-embed", func(o Options) translator { return cohereEmbed{o} }, true},
	{"jamba", func(o Options) translator { return openai{Options: o} }, false},
	{"deepseek-r1", deepSeekR1, false},
	{"openai", func(o Options) translator { return openai{Options: o, tagged: namedGPTOSS(o)} }, false},
	{"gpt-oss", func(o Options) translator { return openai{Options: o, tagged: true} }, false},
	{FamilyAny, anyBodies, false},
}

type family struct {
	name string
	make func(Options) translator
	// embeds: the models make vectors, and there is nothing to converse about.
	embeds bool
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
func For(name, protocol string, typ batholith.InvocationType, o Options) (Dialect, error) {
	if protocol != ProtocolOpenAI {
		return nil, fmt.Errorf("backend protocol %q is not known; known: %s", protocol, ProtocolOpenAI)
	}
	i := slices.IndexFunc(families, func(f family) bool { return f.name == name })
	switch {
	case name == "":
		return nil, fmt.Errorf("the body format of models with this id is not supported; if this model takes the bodies of another family, set family: %s",
			strings.Join(Families(), ", "))
	case i < 0:
		return nil, fmt.Errorf("model family %q is not known; known: %s", name, strings.Join(Families(), ", "))
	}
	switch {
	case typ != batholith.Converse:
		return reading{families[i].make(o), o.Checked}, nil
	case families[i].embeds:
		return reading{noConverse{}, o.Checked}, nil
	}
	return reading{converse{o, converseBody, false}, o.Checked}, nil
}

// translator is what a family has to provide. Its errors may be an [*invalid]; bodies are objects.
type translator interface {
	request(body value, model string) (batholith.Call, error)
	answer(input value, call batholith.Call, body []byte) (batholith.Answer, error)
}

// reading makes a Dialect of a translator: bodies are read once, and what is invalid becomes the record's error.
type reading struct {
	t    translator
	sure bool // that they are JSON was found before
}

// body is what a translator gets of an input. Lines may have what no body may, and then it is read all the same: half a surrogate pair, and
// a line break between two values.
func (c reading) body(input []byte) (value, error) {
	if v := trim(input); c.sure && v.kind() == '{' && bytes.IndexByte(v, '\r') < 0 && !bytes.Contains(v, []byte(`\u`)) {
		return v, nil
	}
	return object(input)
}

// Request implements [Dialect].
func (c reading) Request(input []byte, model string) (batholith.Call, error) {
	body, err := c.body(input)
	if err != nil {
		return batholith.Call{}, refuse(err)
	}
	call, err := c.t.request(body, model)
	if err != nil {
		return batholith.Call{}, refuse(err)
	}
	return call, nil
}

// path implements pather.
func (c reading) path(input value) string { return pathOf(c.t, input) }

// Answer implements [Dialect].
func (c reading) Answer(input []byte, call batholith.Call, body []byte) (batholith.Answer, error) {
	answer, err := c.t.answer(known(input), call, body)
	if err == nil {
		err = checkCut(call, answer.Tokens.Input, body)
	}
	if err != nil {
		return batholith.Answer{}, refuse(err)
	}
	return answer, nil
}

// byShape is a family with several bodies: it says which translator a body is for.
type byShape func(body value) (translator, error)

func (of byShape) request(body value, model string) (batholith.Call, error) {
	t, err := of(body)
	if err != nil {
		return batholith.Call{}, err
	}
	return t.request(body, model)
}

func (of byShape) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
	t, err := of(input)
	if err != nil {
		return batholith.Answer{}, err
	}
	return t.answer(input, call, body)
}

func (of byShape) path(body value) string {
	t, err := of(body)
	if err != nil {
		return chatPath
	}
	return pathOf(t, body)
}

// shown is the model name that an answer carries.
func (o Options) shown(backend string) string {
	if len(o.Names) > 0 {
		return o.Names[0]
	}
	return backend
}
