package dialect

import (
	"slices"
	"strings"

	"github.com/batholith/batholith"
)

// titanEmbed translates Amazon's Titan embeddings: of texts, version 2; version 1, which has no
// options; and of texts and images (Bedrock: Titan Text Embeddings, Titan Multimodal Embeddings). A minimal body and its answer:
//
//	{"inputText":"a"}
//	{"embedding":[0.1,…],"inputTextTokenCount":1}
type titanEmbed struct{ Options }

// request implements translator.
func (d titanEmbed) request(body value, model string) (batholith.Call, error) {
	w, err := readEmbed(body)
	if err != nil {
		return batholith.Call{}, hintConverse(body, err)
	}
	return embedCall(model, []embedItem{w.item}, w.dimensions, w.changes)
}

// embedBody holds what a record asks for.
type embedBody struct {
	item          embedItem
	dimensions    value
	normalize     bool
	float, binary bool // requested kinds of vectors
	byType        bool // the answer groups the vectors by kind
	changes       batholith.Changes
}

// readEmbed reads a body. normalize is true by default (Bedrock: Titan Text Embeddings).
func readEmbed(body value) (embedBody, error) {
	// Bedrock's defaults
	w := embedBody{normalize: true, float: true}
	err := titanEmbedBody.read(&w.changes, body, func(r *rule, v value) error {
		switch r.name {
		case "inputText":
			w.item.text = v
		case "inputImage":
			image, err := sniffedImage(v)
			w.item.images = []part{image}
			return at(r.name, err)
		case "dimensions":
			w.dimensions = v
		case "normalize":
			w.normalize = v.isTrue()
		case "embeddingTypes":
			return at(r.name, w.kinds(v))
		case "embeddingConfig": // Titan Multimodal Embeddings
			return at(r.name, titanEmbedConfig.read(&w.changes, v, func(_ *rule, v value) error {
				w.dimensions = v
				return nil
			}, noMore))
		}
		return nil
	}, noMore)
	if err != nil {
		return w, err
	}
	if w.item.text.absent() && len(w.item.images) == 0 {
		return w, required("inputText")
	}
	return w, nil
}

// kinds reads embeddingTypes.
func (w *embedBody) kinds(v value) error {
	if v.kind() != '[' {
		return wrong("Input should be a valid list")
	}
	// embeddingTypes replaces the default kinds.
	w.float, w.byType = false, true
	for i, k := range v.elements() {
		switch {
		case k.is("float"):
			w.float = true
		case k.is("binary"):
			w.binary = true
		default:
			return at(i, wrong("Input should be 'float' or 'binary'"))
		}
	}
	if !w.float && !w.binary {
		return wrong("List should have at least 1 item")
	}
	return nil
}

// answer implements translator.
func (d titanEmbed) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
	w, err := readEmbed(input)
	if err != nil {
		return batholith.Answer{}, err
	}
	vectors, a, err := parseEmbeddings(body, 1)
	if err != nil {
		return batholith.Answer{}, err
	}
	v := vectors[0]
	if err := v.sized("dimensions", w.dimensions); err != nil {
		return batholith.Answer{}, err
	}
	if w.normalize {
		v.normalize()
	}
	w.byType = w.byType || d.secondVersion()
	a.Output = w.answer(v, a.Tokens)
	return a, nil
}

// secondVersion reports whether the model groups the vectors by kind in every answer, which
// only version 2 does.
func (d titanEmbed) secondVersion() bool {
	return slices.ContainsFunc(d.Names, func(name string) bool { return strings.Contains(name, "titan-embed-text-v2") })
}

// answer writes the answer. If vectors are grouped by kind, the float vector is written twice,
// because clients of version 1 read it at the top level.
func (w embedBody) answer(v vector, tokens batholith.Tokens) []byte {
	b := make(buffer, 0, 2*len(v.raw)+128)
	b.open('{')
	if w.float {
		b.member("embedding", v.raw)
	}
	b.integerMember("inputTextTokenCount", tokens.Input)
	if w.byType {
		b.key("embeddingsByType")
		b.open('{')
		if w.float {
			b.member("float", v.raw)
		}
		if w.binary {
			b.key("binary")
			b.bits(v.numbers)
		}
		b.close('}')
	}
	b.close('}')
	return b
}
