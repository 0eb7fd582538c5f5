package dialect

import "github.com/batholith/batholith"

// novaEmbed translates Amazon's Nova embedding models, for texts and images (Bedrock: Nova Multimodal
// Embeddings). A minimal body and its answer:
//
//	{"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingPurpose":"GENERIC_INDEX","text":{"truncationMode":"END","value":"a"}}}
//	{"embeddings":[{"embeddingType":"TEXT","embedding":[0.1,…]}]}
type novaEmbed struct{ Options }

// request implements translator.
func (d novaEmbed) request(body value, model string) (batholith.Call, error) {
	w, err := d.read(body)
	if err != nil {
		return batholith.Call{}, hintConverse(body, err)
	}
	return embedCall(model, []embedItem{w.item}, w.dimensions, w.changes)
}

// novaEmbedding holds what a record asks for.
type novaEmbedding struct {
	item       embedItem
	dimensions value
	changes    batholith.Changes
}

// read reads a task with one text or image.
func (d novaEmbed) read(body value) (w novaEmbedding, err error) {
	const field = "singleEmbeddingParams"
	var params value
	err = novaEmbedBody.read(&w.changes, body, func(r *rule, v value) error {
		switch r.name {
		case "taskType":
			if !v.is("SINGLE_EMBEDDING") {
				return at(r.name, wrong("Input should be 'SINGLE_EMBEDDING'"))
			}
		case field:
			params = v
		}
		return nil
	}, noMore)
	if err == nil && params.absent() {
		err = required(field)
	}
	if err != nil {
		return w, err
	}
	return w, at(field, d.params(&w, params))
}

// params reads singleEmbeddingParams.
func (d novaEmbed) params(w *novaEmbedding, params value) error {
	err := novaEmbedParams.read(&w.changes, params, func(r *rule, v value) error {
		switch r.name {
		case "text":
			return at(r.name, d.text(w, v))
		case "image":
			return at(r.name, d.image(w, v))
		}
		w.dimensions = v
		return nil
	}, noMore)
	switch {
	case err != nil:
		return err
	case w.item.text.absent() && len(w.item.images) == 0:
		return required("text")
	case !w.item.text.absent() && len(w.item.images) > 0: // Bedrock: one of text, image, video and audio
		return at("image", wrong("give either text or image"))
	}
	return nil
}

// text reads the text, which must be in the body itself.
func (d novaEmbed) text(w *novaEmbedding, v value) error {
	err := novaEmbedText.read(&w.changes, v, func(r *rule, v value) error {
		if r.name == "source" {
			return at(r.name, novaEmbedSource.read(&w.changes, v, nil, noMore))
		}
		w.item.text = v
		return nil
	}, noMore)
	return first(err, needString("value", w.item.text))
}

// image reads the image, which must be in the body itself.
func (d novaEmbed) image(w *novaEmbedding, v value) error {
	var format, source, data value
	err := novaEmbedImage.read(&w.changes, v, func(r *rule, v value) error {
		switch r.name {
		case "format":
			format = v
		case "source":
			source = v
		}
		return nil
	}, noMore)
	if err := first(err, needString("format", format), needObject("source", source)); err != nil {
		return err
	}
	err = novaEmbedImageSource.read(&w.changes, source, func(_ *rule, v value) error {
		data = v
		return nil
	}, noMore)
	w.item.images = []part{{kind: "image_url", prefix: "data:image/" + format.text() + ";base64,", text: data}}
	return at("source", first(err, needString("bytes", data)))
}

// answer implements translator.
func (d novaEmbed) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
	w, err := d.read(input)
	if err != nil {
		return batholith.Answer{}, err
	}
	vectors, a, err := parseEmbeddings(body, 1)
	if err != nil {
		return batholith.Answer{}, err
	}
	if err := vectors[0].sized("embeddingDimension", w.dimensions); err != nil {
		return batholith.Answer{}, at("singleEmbeddingParams", err)
	}
	b := make(buffer, 0, len(vectors[0].raw)+64)
	b.literal(`{"embeddings":[{`)
	kind := "TEXT"
	if len(w.item.images) > 0 {
		kind = "IMAGE"
	}
	b.textMember("embeddingType", kind)
	b.member("embedding", vectors[0].raw)
	b = append(b, "}]}"...)
	a.Output = b
	return a, nil
}
