package dialect

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"image/png"
	"sync"

	"github.com/batholith/batholith"
)

// CanaryTexts is the number of different canary texts.
const CanaryTexts = 8

// canaryTexts contain no user's text. They differ in length, words and punctuation, so that a
// server that fails because of a prompt's content does not fail on all of them.
var canaryTexts = [CanaryTexts]string{
	"Answer with one word: is the sky blue?",
	"Say yes.",
	"2 + 2 =",
	"Name a colour, and nothing else.",
	"What is the capital of France? One word, please.",
	"Good morning! Are you there?",
	"Complete the list with one word: Monday, Tuesday, Wednesday,",
	"Is water wet? Reply with yes or no.",
}

// openAICanary is a canary in OpenAI's protocol.
func openAICanary(path string, f Features, model, text string) (call batholith.Call, ok bool) {
	b := newBuffer(512)
	b.open('{')
	b.textMember("model", model)
	switch path {
	case embeddingsPath:
		b.textMember("input", text)
		b.textMember("encoding_format", "float")
	case completionsPath:
		b.textMember("prompt", text)
		b.integerMember("max_tokens", 1)
	case chatPath:
		b.canaryChat(text, f)
	default:
		return batholith.Call{}, false
	}
	b.close('}')
	return batholith.Call{Path: path, Body: b, Spare: spareEncoding | spareForm}, true
}

// canaryChat writes the members of a chat request. If f has both tools and a schema, it forces
// a tool: few servers support a response format together with tools.
func (b *buffer) canaryChat(text string, f Features) {
	b.key("messages")
	b.open('[')
	b.open('{')
	b.textMember("role", "user")
	if f.Has(FeatureMedia) {
		b.key("content")
		b.open('[')
		b.open('{')
		b.textMember("type", "text")
		b.textMember("text", text)
		b.close('}')
		b.open('{')
		b.textMember("type", "image_url")
		b.key("image_url")
		b.open('{')
		b.textMember("url", canaryPicture())
		b.close('}')
		b.close('}')
		b.close(']')
	} else {
		b.textMember("content", text)
	}
	b.close('}')
	b.close(']')
	b.integerMember("max_tokens", 1)
	name := value(`"note"`)
	// One tool makes the server use its tool parser.
	if f.Has(FeatureTools) {
		b.key("tools")
		b.open('[')
		b.tool(tool{name: name, description: value(`"Notes a word."`), schema: value(canarySchema)})
		b.close(']')
	}
	switch {
	case f.Has(FeatureTools | FeatureSchema):
		b.member("tool_choice", forcedTool(name))
	case f.Has(FeatureSchema):
		b.member("response_format", jsonSchema(nil, nil, value(canarySchema)))
	}
}

// canarySchema is the schema of the test tool and of the test format.
const canarySchema = `{"type":"object","properties":{"word":{"type":"string"}},"required":["word"],"additionalProperties":false}`

// canaryPicture returns a PNG of 32 × 32 pixels as a data: URL. Some vision models reject
// smaller images.
var canaryPicture = sync.OnceValue(func() string {
	const side = 32
	picture := image.NewGray(image.Rect(0, 0, side, side))
	for i := range picture.Pix {
		picture.SetGray(i%side, i/side, color.Gray{Y: uint8(4 * (i%side + i/side))})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		return "" // cannot happen: writing to memory does not fail
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
})

// openAIAnswered is CanaryAnswered for OpenAI's protocol: the answer has a first choice that is
// complete, or embeddings, and no error.
func openAIAnswered(body []byte) bool {
	doc, err := answerObject(body)
	if err != nil {
		return false
	}
	for _, choice := range doc.member("choices").elements() {
		return new(completion).chosen(choice) == nil
	}
	return doc.member("data").filled()
}
