package dialect

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/batholith/batholith"
)

// Dialect translates the bodies of one family to the protocol of a model server and back. It is
// safe for concurrent use.
type Dialect interface {
	// Request converts a modelInput to a call. model is the server's own name for the model. If
	// the body is not valid, the error is a [*batholith.RecordError].
	Request(input []byte, model string) (batholith.Call, error)

	// Answer converts the body of a 200 to a modelOutput. input must be one that Request has
	// accepted, and call the result. The error
	//
	//   - wraps [ErrNonsense] if the body does not follow the protocol,
	//   - is a [*batholith.Failure] if the body says that the answer is incomplete,
	//   - is a [*batholith.RecordError] if the model cannot do what the record asks for.
	Answer(input []byte, call batholith.Call, body []byte) (batholith.Answer, error)
}

// ErrNonsense marks an answer that violates the protocol: not JSON, no choices, wrong types,
// cut off. A retry of the same request may succeed.
var ErrNonsense = errors.New("the model server's answer makes no sense")

// ErrModel marks an [ErrNonsense] that the model caused, not the server. If sampling is
// deterministic, a retry gives the same answer.
var ErrModel = errors.New("the model's answer makes no sense")

// modelFault returns an ErrModel with a reason.
func modelFault(format string, args ...any) error { return modelError(fmt.Sprintf(format, args...)) }

// modelError is both an [ErrModel] and an [ErrNonsense].
type modelError string

// Error returns ErrModel's text and the reason.
func (e modelError) Error() string { return ErrModel.Error() + ": " + string(e) }

// Is implements the interface used by [errors.Is].
func (e modelError) Is(target error) bool { return target == ErrModel || target == ErrNonsense }

// nonsense returns an ErrNonsense with a reason.
func nonsense(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNonsense, fmt.Sprintf(format, args...))
}

// Options tell a dialect about the model and the service.
type Options struct {
	// Names are the values that a body may have in "model": the id first, then aliases. Answers
	// contain the id. If empty, the server's own name is used.
	Names []string
	// RefuseConverseTools rejects Converse records with tools (Bedrock: batch inference; the
	// profile "aws").
	RefuseConverseTools bool
	// Documents reads documents that are not text. Nil: they are refused.
	Documents Documents
	// DocumentLimits refuses more or larger documents than Bedrock takes (the profile "aws").
	DocumentLimits bool
	// Checked means that bodies come from lines that package jsonl has checked, so they are
	// valid JSON on one line, except that an escape may be a lone surrogate. Then they are not
	// checked again.
	Checked bool

	pdfs bool // the protocol's servers read PDFs themselves
}

// FamilyAny accepts the bodies of every chat family and selects by shape: see anyBodies.
const FamilyAny = "any"

// families lists the translators of InvokeModel bodies. A new family needs a row here, a row in
// family.go that recognises its ids, a file with its translator, and its members in
// members*.go.
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

// family is one row of the table.
type family struct {
	name string
	make func(Options) translator
	// embeds means that the models return vectors, so Converse bodies are rejected.
	embeds bool
}

// Families returns the names that For accepts, for messages.
func Families() []string {
	var names []string
	for _, f := range families {
		names = append(names, f.name)
	}
	return names
}

// translator is the part of a dialect that a family implements. Bodies are objects, and errors
// may be of type [*invalid].
type translator interface {
	request(body value, model string) (batholith.Call, error)
	answer(input value, call batholith.Call, body []byte) (batholith.Answer, error)
}

// reading makes a Dialect from a translator: it parses bodies, and converts an *invalid error
// to the record's error.
type reading struct {
	t    translator
	sure bool // bodies are known to be valid JSON
}

// body returns the body for the translator. A body with \u escapes or a carriage return is
// parsed even if it was checked: it may contain a lone surrogate, or a line break between
// tokens.
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

// byShape is a family with several body formats. The function selects the translator of a body.
type byShape func(body value) (translator, error)

// request implements translator.
func (of byShape) request(body value, model string) (batholith.Call, error) {
	t, err := of(body)
	if err != nil {
		return batholith.Call{}, err
	}
	return t.request(body, model)
}

// answer implements translator. The record's body decides, not the answer.
func (of byShape) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
	t, err := of(input)
	if err != nil {
		return batholith.Answer{}, err
	}
	return t.answer(input, call, body)
}

// path implements pather.
func (of byShape) path(body value) string {
	t, err := of(body)
	if err != nil {
		return chatPath
	}
	return pathOf(t, body)
}

// shown returns the model name for answers.
func (o Options) shown(backend string) string {
	if len(o.Names) > 0 {
		return o.Names[0]
	}
	return backend
}
