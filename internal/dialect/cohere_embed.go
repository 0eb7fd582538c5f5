package dialect

import "github.com/batholith/batholith"

// cohereEmbed translates Cohere's embedding models, versions 3 and 4, with several texts per
// record (Bedrock: Cohere Embed). A minimal body and its answer:
//
//	{"texts":["a","b"],"input_type":"search_document"}
//	{"id":"…","embeddings":[[0.1,…],[0.2,…]],"response_type":"embeddings_floats","texts":["a","b"]}
type cohereEmbed struct{ Options }

// maxTexts is the maximum number of texts in a body (Bedrock: 96).
const maxTexts = 96

// cohereBody holds what a record asks for.
type cohereBody struct {
	texts, dimensions value
	byType            bool // embedding_types is given, so the answer groups the vectors by type
	changes           batholith.Changes
}

// request implements translator.
func (d cohereEmbed) request(body value, model string) (batholith.Call, error) {
	w, err := d.read(body)
	if err != nil {
		return batholith.Call{}, err
	}
	return embeddingsCall(model, w.texts, w.dimensions, w.changes), nil
}

// read reads a body. How texts are used and truncated is a setting of the server.
func (d cohereEmbed) read(body value) (w cohereBody, err error) {
	err = cohereEmbedBody.read(&w.changes, body, func(r *rule, v value) (err error) {
		switch r.name {
		case "texts":
			w.texts = v
		case "inputs":
			w.texts, err = d.inputs(v)
		case "output_dimension":
			w.dimensions = v
		case "embedding_types":
			w.byType = true
			err = d.types(v)
		}
		return at(r.name, err)
	}, noMore)
	if err == nil && body.member("input_type").absent() {
		err = required("input_type")
	}
	if err == nil && w.texts.absent() {
		err = required("texts")
	}
	if err != nil {
		return w, hintConverse(body, err)
	}
	// Checked here because both texts and inputs end in w.texts.
	if n := w.texts.len(); n < 1 || n > maxTexts {
		return w, at("texts", wrong("List should have from 1 to %d items", maxTexts))
	}
	return w, nil
}

// types accepts only float. Other types would have to be quantized from the server's floats,
// with other results than the model's own.
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

// inputs converts version 4's lists of content to texts.
func (d cohereEmbed) inputs(v value) (value, error) {
	if v.kind() != '[' {
		return nil, wrong("Input should be a valid list")
	}
	var b buffer
	b.open('[')
	for i, in := range v.elements() {
		text, err := d.input(in)
		if err != nil {
			return nil, at(i, err)
		}
		b.raw(text)
	}
	b.close(']')
	return value(b), nil
}

// input joins the text parts of one input.
func (d cohereEmbed) input(in value) (value, error) {
	text := value(`"`)
	if in.kind() != '{' {
		return nil, wrong("Input should be an object")
	}
	err := cohereInput.read(nil, in, func(_ *rule, content value) error {
		for j, p := range content.elements() {
			var t value
			typed := false
			err := cohereInputPart.read(nil, p, func(r *rule, v value) error {
				if r.name == "type" {
					typed = v.is("text")
				} else {
					t = v
				}
				return nil
			}, noMore)
			switch {
			case err != nil:
			case !typed:
				err = at("type", wrong(onlyTexts))
			case t.kind() != '"':
				err = needString("text", t)
			}
			if err != nil {
				return at("content", at(j, err))
			}
			text = append(text, t[1:len(t)-1]...)
		}
		return wantArray("content", content)
	}, noMore)
	return append(text, '"'), err
}

// answer implements translator.
func (d cohereEmbed) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
	// The record is read again, because the answer repeats its texts.
	w, err := d.read(input)
	if err != nil {
		return batholith.Answer{}, err
	}
	vectors, a, err := parseEmbeddings(body, w.texts.len())
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
	a.Output = b
	return a, nil
}
