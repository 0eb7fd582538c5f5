package dialect

import (
	"math"
	"strconv"

	"github.com/batholith/batholith"
)

// titanEmbed is the body of Amazon's Titan text embeddings, version 2 and, without options, version 1
// (Bedrock: Titan Text Embeddings).
type titanEmbed struct{ Options }

func (d titanEmbed) Request(input []byte, model string) (batholith.Call, error) {
	body, err := object(input)
	if err != nil {
		return batholith.Call{}, refuse(err)
	}
	w, err := readEmbed(body)
	if err != nil {
		return batholith.Call{}, refuse(hintConverse(body, err))
	}
	b := make(buffer, 0, len(body)+128)
	b.open('{')
	b.textMember("model", model)
	b.member("input", w.text)
	b.member("dimensions", w.dimensions)
	b.textMember("encoding_format", "float")
	b.close('}')
	return batholith.Call{Path: "/embeddings", Body: b}, nil
}

// embedBody is what a record asks for.
type embedBody struct {
	text, dimensions value
	normalize        bool
	float, binary    bool // kinds of vectors
	byType           bool // kinds were named, so that the answer names them too
}

func readEmbed(body value) (embedBody, error) {
	w := embedBody{normalize: true, float: true}
	for name, v := range body.members() {
		var err error
		switch {
		case v.absent():
		case name == "inputText":
			w.text, err = v, wantString(name, v)
		case name == "dimensions":
			w.dimensions, err = v, wantCount(name, v, 1)
		case name == "normalize":
			w.normalize, err = v.isTrue(), wantBool(name, v)
		case name == "embeddingTypes":
			err = at(name, w.kinds(v))
		default:
			err = extra(name)
		}
		if err != nil {
			return w, err
		}
	}
	if w.text.absent() {
		return w, required("inputText")
	}
	return w, nil
}

func (w *embedBody) kinds(v value) error {
	if v.kind() != '[' {
		return wrong("Input should be a valid list")
	}
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

func (d titanEmbed) Answer(input []byte, call batholith.Call, body []byte) (batholith.Answer, error) {
	doc, err := object(input)
	if err != nil {
		return batholith.Answer{}, refuse(err)
	}
	w, err := readEmbed(doc)
	if err != nil {
		return batholith.Answer{}, refuse(err)
	}
	vectors, tokens, err := parseEmbeddings(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	v := vectors[0]
	if want, ok := w.dimensions.integer(); ok && want != int64(len(v.numbers)) {
		return batholith.Answer{}, refuse(at("dimensions", wrong("the model makes vectors of %d dimensions, not of %d", len(v.numbers), want)))
	}
	if w.normalize {
		v.normalize()
	}
	return batholith.Answer{Output: w.answer(v, tokens), Tokens: tokens}, nil
}

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

// bits writes one 0 or 1 for each dimension, by its sign.
func (b *buffer) bits(numbers []float64) {
	b.open('[')
	for _, f := range numbers {
		if f > 0 {
			b.literal("1")
		} else {
			b.literal("0")
		}
	}
	b.close(']')
}

// vector is an embedding as the server wrote it, and its numbers.
type vector struct {
	raw     value
	numbers []float64
}

// unit is how far from 1 the length of a vector may be to count as normalized: servers that normalize round to 32 bits or less.
const unit = 1e-3

// normalize gives v the length 1. A vector that has it keeps the digits that the server gave it.
func (v *vector) normalize() {
	sum := 0.0
	for _, f := range v.numbers {
		sum += f * f
	}
	length := math.Sqrt(sum)
	if length == 0 || math.Abs(length-1) < unit || math.IsInf(length, 0) {
		return
	}
	b := make(buffer, 0, len(v.raw))
	b.open('[')
	for i, f := range v.numbers {
		v.numbers[i] = f / length
		b.comma()
		b = strconv.AppendFloat(b, v.numbers[i], 'g', -1, 32)
	}
	b.close(']')
	v.raw = value(b)
}

// parseEmbeddings reads the answer of /embeddings; there is at least one vector in it.
func parseEmbeddings(body []byte) ([]vector, batholith.Tokens, error) {
	doc, err := answerObject(body)
	if err != nil {
		return nil, batholith.Tokens{}, err
	}
	var vectors []vector
	for _, e := range doc.member("data").elements() {
		v, err := parseVector(e.member("embedding"))
		if err != nil {
			return nil, batholith.Tokens{}, err
		}
		vectors = append(vectors, v)
	}
	if len(vectors) == 0 {
		return nil, batholith.Tokens{}, nonsense("it has no embedding")
	}
	return vectors, usage(doc.member("usage")), nil
}

func parseVector(raw value) (vector, error) {
	v := vector{raw: raw, numbers: make([]float64, 0, len(raw)/8)}
	for _, e := range raw.elements() {
		if e.kind() != '0' {
			return v, nonsense("its embedding is no list of numbers")
		}
		v.numbers = append(v.numbers, e.number())
	}
	if len(v.numbers) == 0 {
		return v, nonsense("its embedding is no list of numbers")
	}
	return v, nil
}
