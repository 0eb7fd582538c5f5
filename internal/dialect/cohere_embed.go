package dialect

import "github.com/batholith/batholith"

// cohereEmbed is the body of Cohere's embedding models, versions 3 and 4: many texts a record (Bedrock: Cohere Embed).
type cohereEmbed struct{ Options }

// maxTexts is how many texts a body may have (Bedrock: 96).
const maxTexts = 96

// cohereBody is what a record asks for.
type cohereBody struct {
	texts, dimensions value
	byType            bool
}

func (d cohereEmbed) request(body value, model string) (batholith.Call, error) {
	w, err := d.read(body)
	if err != nil {
		return batholith.Call{}, err
	}
	return embeddingsCall(model, w.texts, w.dimensions), nil
}

// read takes what servers can use. How the texts are to be used and cut is the server's own setting.
func (d cohereEmbed) read(body value) (w cohereBody, err error) {
	var purpose value
	err = body.each(func(name string, v value) (err error) {
		switch name {
		case "texts":
			w.texts = v
			return wantStrings(name, v)
		case "inputs":
			w.texts, err = d.inputs(v)
			return at(name, err)
		case "input_type":
			purpose = v
			return wantString(name, v)
		case "output_dimension":
			w.dimensions = v
			return wantCount(name, v, 1)
		case "embedding_types":
			w.byType = true
			return at(name, d.types(v))
		case "images":
			return at(name, wrong("images cannot be embedded by a backend of this protocol"))
		case "truncate", "max_tokens":
			return nil
		}
		return extra(name)
	})
	if err == nil && purpose.absent() {
		err = required("input_type")
	}
	if err == nil && w.texts.absent() {
		err = required("texts")
	}
	if err != nil {
		return w, hintConverse(body, err)
	}
	if n := w.texts.len(); n < 1 || n > maxTexts {
		return w, at("texts", wrong("List should have from 1 to %d items", maxTexts))
	}
	return w, nil
}

// types refuses what would have to be made of the server's floats by quantizing, which is not the model's own.
func (d cohereEmbed) types(v value) error {
	if v.kind() != '[' {
		return wrong("Input should be a valid list")
	}
	for i, t := range v.elements() {
		if !t.is("float") {
			return at(i, wrong("only 'float' can be served"))
		}
	}
	return nil
}

// inputs makes texts of version 4's lists of content.
func (d cohereEmbed) inputs(v value) (value, error) {
	var b buffer
	b.open('[')
	for i, in := range v.elements() {
		text := value(`"`)
		for j, part := range in.member("content").elements() {
			t := part.member("text")
			if !part.member("type").is("text") || t.kind() != '"' {
				return nil, at(i, at("content", at(j, wrong("only text can be embedded by a backend of this protocol"))))
			}
			text = append(text, t[1:len(t)-1]...)
		}
		b.raw(append(text, '"'))
	}
	b.close(']')
	return value(b), nil
}

func (d cohereEmbed) answer(input value, body []byte) (batholith.Answer, error) {
	w, err := d.read(input)
	if err != nil {
		return batholith.Answer{}, err
	}
	vectors, tokens, err := parseEmbeddings(body, w.texts.len())
	if err != nil {
		return batholith.Answer{}, err
	}
	if err := vectors[0].sized("output_dimension", w.dimensions); err != nil {
		return batholith.Answer{}, err
	}
	b := make(buffer, 0, len(body)+len(w.texts)+128)
	b.open('{')
	b.textMember("id", completion{choice: value(body)}.name("embed_"))
	b.key("embeddings")
	if w.byType {
		b.open('{')
		b.key("float")
	}
	b.open('[')
	for _, v := range vectors {
		b.raw(v.raw)
	}
	b.close(']')
	kind := "embeddings_floats"
	if w.byType {
		b.close('}')
		kind = "embeddings_by_type"
	}
	b.textMember("response_type", kind)
	b.member("texts", w.texts)
	b.close('}')
	return batholith.Answer{Output: b, Tokens: tokens}, nil
}
