package dialect

import (
	"math"
	"net/http"
	"strconv"

	"github.com/batholith/batholith"
)

// embeddingsCall returns a call of /embeddings. input is one text or a list of texts;
// dimensions may be nil.
func embeddingsCall(model string, input, dimensions value, changes batholith.Changes) batholith.Call {
	b := newBuffer(len(input) + 128)
	b.open('{')
	b.textMember("model", model)
	b.member("input", input)
	b.member("dimensions", dimensions)
	b.textMember("encoding_format", "float")
	b.close('}')
	// If the server rejects these members, the request is sent again without them.
	spare := spareEncoding
	if !dimensions.absent() {
		spare |= spareDimensions
	}
	return batholith.Call{Path: embeddingsPath, Body: b, Changes: changes, Spare: spare}
}

// vector is an embedding: the server's JSON and the parsed numbers.
type vector struct {
	raw     value
	numbers []float64
}

// parseEmbeddings parses an answer of /embeddings: one vector per text, in the order of the
// texts. a contains the other members of the answer.
func parseEmbeddings(body []byte, texts int) (vectors []vector, a batholith.Answer, err error) {
	doc, err := answerObject(body)
	if err != nil {
		return nil, a, err
	}
	var data value
	for name, v := range doc.members() {
		switch name {
		case "data":
			data = v
		case "usage":
			a.Tokens = usage(v)
		case "model":
			a.Model = v.text()
		}
	}
	// Servers may return the items in any order; index gives the place.
	vectors, n := make([]vector, texts), 0
	for i, e := range data.elements() {
		at, v, err := parseEmbedding(i, e)
		if err != nil {
			return nil, a, err
		}
		if at < 0 || at >= int64(texts) || vectors[at].raw != nil {
			return nil, a, nonsense("its embeddings do not match the texts")
		}
		vectors[at] = v
		n++
	}
	// A missing vector would shift the results of the following texts.
	if n != texts {
		return nil, a, nonsense("it has %d embeddings for %d texts", n, texts)
	}
	return vectors, a, nil
}

// parseEmbedding parses one item of the answer. at is the index of its text: the item's index
// or, if it has none, its place in the list.
func parseEmbedding(place int, e value) (at int64, v vector, err error) {
	at = int64(place)
	for name, m := range e.members() {
		switch name {
		case "index":
			if !m.absent() {
				at, _ = m.integer()
			}
		case "embedding":
			if v, err = parseVector(m); err != nil {
				return at, v, err
			}
		}
	}
	if v.raw == nil {
		return at, v, nonsense("an embedding has no vector")
	}
	return at, v, nil
}

// parseVector parses the numbers of a vector. Base64, which was not requested, is an error.
func parseVector(raw value) (vector, error) {
	v := vector{raw: raw, numbers: make([]float64, 0, len(raw)/8)}
	for _, e := range raw.elements() {
		switch e.kind() {
		case '0':
		case 'n': // NaN as JSON: the model cannot embed this text, and a retry would give the same
			return v, &batholith.RecordError{Code: http.StatusInternalServerError, Message: "the model made a vector with elements that are not numbers (NaN); shorten or change the text, or serve the model with more precision"}
		default:
			return v, nonsense("its embedding is not a list of numbers")
		}
		v.numbers = append(v.numbers, e.number())
	}
	if len(v.numbers) == 0 {
		return v, nonsense("its embedding is not a list of numbers")
	}
	return v, nil
}

// sized returns an error if the vector has another size than requested. It is not cut, because
// few models allow that.
func (v vector) sized(name string, want value) error {
	n, ok := want.integer()
	if !ok || n == int64(len(v.numbers)) {
		return nil
	}
	return at(name, wrong("the model makes vectors of %d dimensions, not of %d", len(v.numbers), n))
}

// unit is the maximum deviation from length 1 of a normalized vector. Servers round to 32 bits
// or less.
const unit = 1e-3

// normalize scales v to length 1. A vector that is normalized already keeps the server's
// digits.
func (v *vector) normalize() {
	sum := 0.0
	for _, f := range v.numbers {
		sum += f * f
	}
	// length = √(Σ x²); each number is divided by it
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

// bits writes 1 for each positive number and 0 for the others.
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
