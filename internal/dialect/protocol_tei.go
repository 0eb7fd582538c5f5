package dialect

import (
	"errors"
	"strings"

	"github.com/batholith/batholith"
)

// ProtocolTEI is the own protocol of Hugging Face's Text Embeddings Inference. Unlike its OpenAI
// endpoint it leaves vectors as the model makes them if the record asks for that, and takes the
// side at which a long text is cut. Package upstream joins several requests to one.
const ProtocolTEI = "tei"

// teiPath is the path for embeddings, appended to the backend's base URL.
const teiPath = "/embed"

// teiLeg translates OpenAI's requests for embeddings to TEI's:
//
//	{"inputs":"a","truncate":false}
//	[[0.1,…]], or what package upstream makes of it: {"embeddings":[[0.1,…]],"tokens":1}
type teiLeg struct{}

// carries implements leg.
func (teiLeg) carries(path string) error {
	if path == embeddingsPath {
		return nil
	}
	return errors.New("Text Embeddings Inference makes embeddings only; use a backend with the protocol openai for chats")
}

// native implements leg. TEI has members for what OpenAI's protocol has none.
func (l teiLeg) native(t translator) translator {
	switch t.(type) {
	case titanEmbed, cohereEmbed:
		return teiEmbeds{crossing{t, l}}
	}
	return nil
}

// request implements leg. The inputs come first, where package upstream finds them. A text that is
// too long is an error unless the record asks for less.
func (teiLeg) request(hub batholith.Call) (batholith.Call, error) {
	body := trim(hub.Body)
	input := body.member("input")
	if input.absent() {
		return batholith.Call{}, wrong("Text Embeddings Inference embeds texts only; use a backend with the protocol openai for images")
	}
	b := newBuffer(len(body) + 64)
	b.open('{')
	b.member("inputs", input)
	b.literal(`"truncate":false`)
	b.member("dimensions", body.member("dimensions"))
	b.close('}')
	return batholith.Call{Path: teiPath, Body: b, Changes: hub.Changes, Spare: hub.Spare & spareDimensions}, nil
}

// answer implements leg.
func (teiLeg) answer(_ batholith.Call, body []byte) ([]byte, error) {
	doc, err := parseAnswer(body)
	switch {
	case err != nil:
		return nil, nonsense("%v", err)
	case doc.kind() == '[':
		return vectorsAnswer(nil, doc, 0)
	}
	return vectorsAnswer(nil, doc.member("embeddings"), tokenCount(doc.member("tokens")))
}

// teiEmbeds adds TEI's own members to the requests of a family.
type teiEmbeds struct{ crossing }

// request implements translator.
func (d teiEmbeds) request(body value, model string) (batholith.Call, error) {
	call, err := d.crossing.request(body, model)
	if err != nil {
		return call, err
	}
	if body.member("normalize").kind() == 'f' {
		call = withMembers(call, `"normalize":false`)
	}
	side := ""
	switch strings.ToUpper(body.member("truncate").text()) {
	case "START", "LEFT":
		side = "Left"
	case "END", "RIGHT":
		side = "Right"
	}
	if side == "" {
		return call, nil
	}
	text := strings.Replace(string(call.Body), `"truncate":false`, `"truncate":true,"truncation_direction":"`+side+`"`, 1)
	call.Body = []byte(text)
	kept := call.Changes.Dropped[:0:0]
	for _, name := range call.Changes.Dropped {
		if name != "truncate" {
			kept = append(kept, name)
		}
	}
	call.Changes.Dropped = kept
	return call, nil
}

// teiAnswered is CanaryAnswered for TEI's protocol.
func teiAnswered(body []byte) bool {
	_, err := teiLeg{}.answer(batholith.Call{}, body)
	return err == nil
}

// teiUsage is Usage for TEI's protocol.
func teiUsage(body []byte) batholith.Tokens {
	doc, err := parseAnswer(body)
	if err != nil || doc.kind() != '{' {
		return batholith.Tokens{}
	}
	return batholith.Tokens{Input: tokenCount(doc.member("tokens"))}
}
