package dialect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/batholith/batholith"
)

// ProtocolOpenAI is the protocol of servers with /chat/completions, /completions and
// /embeddings. Every family is translated to it. The other protocols translate its requests and
// answers further, except bodies that are in the protocol's own format already.
const ProtocolOpenAI = "openai"

// protocols lists the protocols of model servers. A new protocol needs a row here, a file
// protocol_NAME.go, a row in package upstream's table, and golden files.
var protocols = []protocol{
	{
		name:     ProtocolOpenAI,
		over:     func(t translator) (translator, error) { return t, nil },
		canary:   openAICanary,
		answered: openAIAnswered,
		usage:    openAIUsage,
	},
	legProtocol(ProtocolAnthropic, anthropicLeg{}, anthropicAnswered, anthropicUsage),
	{
		name:     ProtocolBedrock,
		over:     overBedrock,
		canary:   bedrockCanary,
		answered: bedrockAnswered,
		usage:    bedrockUsage,
	},
	legProtocol(ProtocolOllama, ollamaLeg{}, ollamaAnswered, ollamaUsage),
	legProtocol(ProtocolTEI, teiLeg{}, teiAnswered, teiUsage),
}

// protocol is one row of the table.
type protocol struct {
	name string
	// over returns the translator between bodies and servers with this protocol. t translates
	// the same bodies to OpenAI's protocol. The error says why the protocol cannot carry any of
	// these bodies; if it can carry some, the translator refuses the others.
	over func(t translator) (translator, error)
	// canary is Canary with the chosen text.
	canary func(path string, f Features, model, text string) (call batholith.Call, ok bool)
	// answered is CanaryAnswered, and usage is Usage.
	answered func(body []byte) bool
	usage    func(body []byte) batholith.Tokens
}

// legProtocol returns the row of a protocol to which OpenAI's is translated.
func legProtocol(name string, l leg, answered func([]byte) bool, usage func([]byte) batholith.Tokens) protocol {
	return protocol{
		name: name,
		over: func(t translator) (translator, error) { return through(t, l) },
		canary: func(path string, f Features, model, text string) (batholith.Call, bool) {
			return legCanary(l, path, f, model, text)
		},
		answered: answered,
		usage:    usage,
	}
}

// Protocols returns the names of the known protocols.
func Protocols() []string {
	var names []string
	for _, p := range protocols {
		names = append(names, p.name)
	}
	return names
}

// protocolOf finds a row of the table, or returns nil. There are few, so a search is faster than
// a map.
func protocolOf(name string) *protocol {
	for i := range protocols {
		if protocols[i].name == name {
			return &protocols[i]
		}
	}
	return nil
}

// unknownProtocol is the error for a name that is not in the table.
func unknownProtocol(name string) error {
	return fmt.Errorf("backend protocol %q is not known; known: %s", name, strings.Join(Protocols(), ", "))
}

// For returns the dialect between a family's bodies and a backend's protocol. For the
// invocation type Converse the bodies are Converse's, whatever the family. It fails for unknown
// names, and if servers with this protocol cannot take the family's bodies at all.
func For(name, protocol string, typ batholith.InvocationType, o Options) (Dialect, error) {
	p := protocolOf(protocol)
	if p == nil {
		return nil, unknownProtocol(protocol)
	}
	i := slices.IndexFunc(families, func(f family) bool { return f.name == name })
	switch {
	case name == "":
		return nil, fmt.Errorf("the body format of models with this id is not supported; if this model takes the bodies of another family, set family: %s",
			strings.Join(Families(), ", "))
	case i < 0:
		return nil, fmt.Errorf("model family %q is not known; known: %s", name, strings.Join(Families(), ", "))
	}
	o.pdfs = protocol == ProtocolAnthropic
	t, err := p.over(families[i].translator(typ, o))
	if err != nil {
		return nil, fmt.Errorf("a backend with the protocol %s cannot take %s bodies of the family %s: %w", protocol, typ, name, err)
	}
	if native, ok := t.(nativeInvoke); ok && isDoor(typ) {
		native.as = o.shown("")
		t = native
	}
	return reading{t, o.Checked}, nil
}

// translator returns the family's translator for an invocation type.
func (f family) translator(typ batholith.InvocationType, o Options) translator {
	if door := f.door(typ, o); door != nil {
		return door
	}
	switch {
	case typ != batholith.Converse:
		return f.make(o)
	case f.embeds:
		return noConverse{}
	}
	return converse{o, converseBody, false}
}

// Canary returns a small test request, to find out whether a server works for a class of
// records. path is what [PathOf] returns for them, f are their features, and protocol is the
// server's. The request has the n-th of the [CanaryTexts] texts and a limit of one output
// token. ok is false if there is no such request: for an unknown protocol or path, and for audio
// and video.
func Canary(protocol, path string, f Features, model string, n int) (call batholith.Call, ok bool) {
	p := protocolOf(protocol)
	// There is no small audio or video that every server accepts.
	if p == nil || f.Has(FeatureStream) {
		return batholith.Call{}, false
	}
	return p.canary(path, f, model, canaryTexts[uint(n)%CanaryTexts])
}

// CanaryAnswered reports whether the body of a 200 answers a canary: it is complete, and not an
// error. The text does not matter; with one token it may be empty.
func CanaryAnswered(protocol string, body []byte) bool {
	p := protocolOf(protocol)
	return p != nil && p.answered(body)
}

// Usage returns the token counts of an answer, even if the answer itself cannot be used.
// Missing counts are 0.
func Usage(protocol string, body []byte) batholith.Tokens {
	p := protocolOf(protocol)
	if p == nil {
		return batholith.Tokens{}
	}
	return p.usage(body)
}
