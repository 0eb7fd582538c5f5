package tinylm

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"
)

const maxInputs = 64 // texts in one request for embeddings

type embeddingRequest struct {
	Model      string `json:"model"`
	Input      inputs `json:"input"`
	Dimensions *int   `json:"dimensions"`
	Encoding   string `json:"encoding_format"`
}

// inputs is one text or a list of them.
type inputs []string

// UnmarshalJSON reads a string or a list of strings.
func (in *inputs) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*in = inputs{one}
		return nil
	}
	if json.Unmarshal(b, (*[]string)(in)) != nil {
		return invalid("input must be a string or a list of strings")
	}
	return nil
}

// check returns an error for a request that the model cannot answer. dim is the length of its embeddings.
func (q *embeddingRequest) check(dim int) error {
	switch {
	case served(q.Model) != nil:
		return served(q.Model)
	case len(q.Input) == 0:
		return invalid("input is empty")
	case len(q.Input) > maxInputs:
		return invalid("input has %d texts: at most %d are taken", len(q.Input), maxInputs)
	case q.Dimensions != nil && *q.Dimensions != dim:
		return invalid("dimensions is %d: this model has %d and no other", *q.Dimensions, dim)
	case q.Encoding != "" && q.Encoding != "float" && q.Encoding != "base64":
		return invalid("encoding_format %q is neither float nor base64", q.Encoding)
	}
	return nil
}

// embeddings answers POST /v1/embeddings, one text after the other.
func (e *Engine) embeddings(r *http.Request) (any, error) {
	var q embeddingRequest
	if err := read(r, &q); err != nil {
		return nil, err
	}
	if err := q.check(e.model.dim); err != nil {
		return nil, err
	}
	data, tokens := []any{}, 0
	for i, text := range q.Input {
		v, err := e.Embed(r.Context(), text)
		if err != nil {
			return nil, err
		}
		tokens += len(text) + 1
		data = append(data, map[string]any{"object": "embedding", "index": i, "embedding": encoded(v, q.Encoding)})
	}
	return map[string]any{"object": "list", "model": Name, "data": data, "usage": map[string]int{"prompt_tokens": tokens, "total_tokens": tokens}}, nil
}

// encoded is a vector as numbers, or as base64 of little-endian float32, which OpenAI's clients request.
func encoded(v []float32, format string) any {
	if format != "base64" {
		return v
	}
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(b)
}
