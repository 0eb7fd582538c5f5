package dialect

import (
	"slices"
	"strings"

	"github.com/batholith/batholith"
)

// cohereEmbed translates Cohere's embedding models, versions 3 and 4, with several texts and images
// per record (Bedrock: Cohere Embed). A minimal body and its answer:
//
//	{"texts":["a","b"],"input_type":"search_document"}
//	{"id":"…","embeddings":[[0.1,…],[0.2,…]],"response_type":"embeddings_floats","texts":["a","b"]}
type cohereEmbed struct{ Options }

// maxTexts is the maximum number of texts in a body (Bedrock: 96).
const maxTexts = 96

// cohereBody holds what a record asks for.
type cohereBody struct {
	texts, inputs value // as they are in the body
	items         []embedItem
	dimensions    value
	kinds         []string // embedding_types; nil: the answer has floats only, not grouped by type
	changes       batholith.Changes
}

// request implements translator.
func (d cohereEmbed) request(body value, model string) (batholith.Call, error) {
	w, err := d.read(body)
	if err != nil {
		return batholith.Call{}, err
	}
	if w.items == nil {
		return embeddingsCall(model, w.texts, w.dimensions, w.changes), nil
	}
	call, err := embedCall(model, w.items, w.dimensions, w.changes)
	if len(w.items) == 1 && len(w.items[0].images) == 0 { // a list also for one text
		call = embeddingsCall(model, value("["+string(w.items[0].text)+"]"), w.dimensions, w.changes)
	}
	return call, at("inputs", err)
}

// count returns how many vectors the record asks for.
func (w cohereBody) count() int {
	if w.items != nil {
		return len(w.items)
	}
	return w.texts.len()
}

// read reads a body. How texts are used and truncated is a setting of the server.
func (d cohereEmbed) read(body value) (w cohereBody, err error) {
	var images value
	err = cohereEmbedBody.read(&w.changes, body, func(r *rule, v value) (err error) {
		switch r.name {
		case "texts":
			w.texts = v
		case "inputs":
			w.inputs = v
			w.items, err = d.inputs(&w.changes, v)
		case "images":
			images = v
		case "output_dimension":
			w.dimensions = v
		case "embedding_types":
			w.kinds, err = d.types(v)
		}
		return at(r.name, err)
	}, noMore)
	if err == nil && body.member("input_type").absent() {
		err = required("input_type")
	}
	if err == nil {
		err = d.sources(&w, images)
	}
	if err != nil {
		return w, hintConverse(body, err)
	}
	return w, nil
}

// sources checks that the record has one source of vectors, and reads images.
func (d cohereEmbed) sources(w *cohereBody, images value) error {
	name, given := "texts", 0
	for _, s := range []struct {
		name string
		v    value
	}{{"texts", w.texts}, {"inputs", w.inputs}, {"images", images}} {
		if !s.v.absent() {
			given++
			name = s.name
		}
	}
	switch {
	case given == 0:
		return required("texts")
	case given > 1:
		return at(name, wrong("give one of texts, images and inputs"))
	}
	for i, url := range images.elements() {
		if err := dataURL(url); err != nil {
			return at("images", at(i, err))
		}
		w.items = append(w.items, embedItem{images: []part{{kind: "image_url", text: url}}})
	}
	if n := w.count(); n < 1 || n > maxTexts {
		return at(name, wrong("List should have from 1 to %d items", maxTexts))
	}
	return nil
}

// dataURL accepts an image in the body itself, as Cohere's models do.
func dataURL(url value) error {
	if !strings.HasPrefix(url.beginning(longestBeginning), "data:image/") {
		return wrong("Input should be a data URL: data:image/png;base64,…")
	}
	return nil
}

// types reads embedding_types. Each type is computed from the server's floats: see vectorKinds.
func (d cohereEmbed) types(v value) (kinds []string, err error) {
	if v.kind() != '[' {
		return nil, wrong("Input should be a valid list")
	}
	for i, t := range v.elements() {
		name := t.text()
		if !slices.ContainsFunc(vectorKinds, func(k vectorKind) bool { return k.name == name }) {
			return nil, at(i, wrong("Input should be 'float', 'int8', 'uint8', 'binary', 'ubinary' or 'base64'"))
		}
		kinds = append(kinds, name)
	}
	if len(kinds) == 0 {
		return []string{"float"}, nil
	}
	return kinds, nil
}

// inputs reads version 4's lists of content.
func (d cohereEmbed) inputs(changes *batholith.Changes, v value) ([]embedItem, error) {
	if v.kind() != '[' {
		return nil, wrong("Input should be a valid list")
	}
	items := []embedItem{}
	for i, in := range v.elements() {
		it, err := d.input(changes, in)
		if err != nil {
			return nil, at(i, err)
		}
		items = append(items, it)
	}
	return items, nil
}

// input joins the text parts of one input.
func (d cohereEmbed) input(changes *batholith.Changes, in value) (it embedItem, err error) {
	if in.kind() != '{' {
		return it, wrong("Input should be an object")
	}
	var content value
	err = cohereInput.read(changes, in, func(_ *rule, v value) error {
		content = v
		return nil
	}, noMore)
	if err := first(err, needArray("content", content)); err != nil {
		return it, err
	}
	for j, p := range content.elements() {
		if err := d.part(changes, &it, p); err != nil {
			return it, at("content", at(j, err))
		}
	}
	if it.text.absent() && len(it.images) == 0 {
		it.text = value(`""`)
	}
	return it, nil
}

// part reads one part of an input.
func (d cohereEmbed) part(changes *batholith.Changes, it *embedItem, p value) error {
	var typ, text, image value
	err := cohereInputPart.read(changes, p, func(r *rule, v value) error {
		switch r.name {
		case "type":
			typ = v
		case "text":
			text = v
		case "image_url":
			image = v
		}
		return nil
	}, noMore)
	switch {
	case err != nil:
		return err
	case typ.is("text"):
		if err := needString("text", text); err != nil {
			return err
		}
		it.text = joined(it.text, text)
		return nil
	case typ.is("image_url"):
		var url value
		err := cohereInputImage.read(changes, image, func(_ *rule, v value) error {
			url = v
			return nil
		}, noMore)
		if err := first(needObject("image_url", image), at("image_url", err), at("image_url", needString("url", url))); err != nil {
			return err
		}
		it.images = append(it.images, part{kind: "image_url", text: url})
		return at("image_url", at("url", dataURL(url)))
	}
	return at("type", wrong("Input should be 'text' or 'image_url'"))
}

// answer implements translator. It repeats the texts or inputs, as Bedrock does.
func (d cohereEmbed) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
	w, err := d.read(input)
	if err != nil {
		return batholith.Answer{}, err
	}
	vectors, a, err := parseEmbeddings(body, w.count())
	if err != nil {
		return batholith.Answer{}, err
	}
	if err := vectors[0].sized("output_dimension", w.dimensions); err != nil {
		return batholith.Answer{}, err
	}
	b := make(buffer, 0, len(body)+len(w.texts)+len(w.inputs)+128)
	b.open('{')
	b.textMember("id", completion{choice: value(body)}.name("embed_"))
	b.key("embeddings")
	if w.kinds == nil {
		b.vectors(vectors, vectorKinds[0])
		b.textMember("response_type", "embeddings_floats")
	} else {
		b.open('{')
		for _, k := range vectorKinds {
			if slices.Contains(w.kinds, k.name) {
				b.key(k.name)
				b.vectors(vectors, k)
			}
		}
		b.close('}')
		b.textMember("response_type", "embeddings_by_type")
	}
	b.member("texts", w.texts)
	b.member("inputs", w.inputs)
	b.close('}')
	a.Output = b
	return a, nil
}

// vectors writes a list of vectors of one kind.
func (b *buffer) vectors(vectors []vector, k vectorKind) {
	b.open('[')
	for _, v := range vectors {
		k.write(b, v)
	}
	b.close(']')
}
