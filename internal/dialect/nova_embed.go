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

func (d novaEmbed) read(body value) (text, dimensions value, err error) {
	var params value
	for name, v := range body.members() {
		switch {
		case v.absent(), name == "schemaVersion":
		case name == "taskType":
			if !v.is("SINGLE_EMBEDDING") {
				return nil, nil, at(name, wrong("Input should be 'SINGLE_EMBEDDING'"))
			}
		case name == "singleEmbeddingParams":
			params = v
		default:
			return nil, nil, extra(name)
		}
	}
	const field = "singleEmbeddingParams"
	if err := needObject(field, params); err != nil {
		return nil, nil, err
	}
	for name, v := range params.members() {
		switch {
		case v.absent(), name == "embeddingPurpose":
		case name == "embeddingDimension":
			dimensions, err = v, wantCount(name, v, 1)
		case name == "text":
			text = v.member("value")
			err = at(name, needString("value", text))
		default:
			err = at(name, wrong("only text can be embedded by a backend of this protocol"))
		}
		if err != nil {
			return nil, nil, at(field, err)
		}
	}
	if text.absent() {
		return nil, nil, at(field, required("text"))
	}
	return text, dimensions, nil
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
