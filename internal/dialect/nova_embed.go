package dialect

import "github.com/batholith/batholith"

// novaEmbed is the body of Amazon's Nova embedding models, for texts (Bedrock: Nova Multimodal Embeddings).
type novaEmbed struct{ Options }

func (d novaEmbed) request(body value, model string) (batholith.Call, error) {
	text, dimensions, err := d.read(body)
	if err != nil {
		return batholith.Call{}, hintConverse(body, err)
	}
	return embeddingsCall(model, text, dimensions), nil
}

// read takes a task of one text.
func (d novaEmbed) read(body value) (text, dimensions value, err error) {
	const field = "singleEmbeddingParams"
	var params value
	err = body.each(func(name string, v value) error {
		switch name {
		case "schemaVersion":
			return nil
		case "taskType":
			if !v.is("SINGLE_EMBEDDING") {
				return at(name, wrong("Input should be 'SINGLE_EMBEDDING'"))
			}
			return nil
		case field:
			params = v
			return wantObject(name, v)
		}
		return extra(name)
	})
	if err == nil && params.absent() {
		err = required(field)
	}
	if err != nil {
		return nil, nil, err
	}
	text, dimensions, err = d.params(params)
	return text, dimensions, at(field, err)
}

func (d novaEmbed) params(params value) (text, dimensions value, err error) {
	err = params.each(func(name string, v value) error {
		switch name {
		case "embeddingPurpose":
			return nil
		case "embeddingDimension":
			dimensions = v
			return wantCount(name, v, 1)
		case "text":
			text = v.member("value")
			return at(name, needString("value", text))
		}
		return at(name, wrong("only text can be embedded by a backend of this protocol"))
	})
	if err == nil && text.absent() {
		err = required("text")
	}
	return text, dimensions, err
}

func (d novaEmbed) answer(input value, body []byte) (batholith.Answer, error) {
	_, dimensions, err := d.read(input)
	if err != nil {
		return batholith.Answer{}, err
	}
	vectors, tokens, err := parseEmbeddings(body, 1)
	if err != nil {
		return batholith.Answer{}, err
	}
	if err := vectors[0].sized("embeddingDimension", dimensions); err != nil {
		return batholith.Answer{}, at("singleEmbeddingParams", err)
	}
	b := make(buffer, 0, len(vectors[0].raw)+64)
	b.literal(`{"embeddings":[{"embeddingType":"TEXT"`)
	b.member("embedding", vectors[0].raw)
	b = append(b, "}]}"...)
	return batholith.Answer{Output: b, Tokens: tokens}, nil
}
