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

// CanaryTexts is how many different texts canaries have.
const CanaryTexts = 8

// canaryTexts have no text of a user. They differ in length, words and punctuation, so that a server that fails by the content of a
// prompt does not fail on all of them.
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

// Canary is a small request of our own that tells whether a server answers a class of records: the same protocol, path and features, the
// n-th of [CanaryTexts] texts, and at most one token of answer. There is none, and ok is false, for a protocol or a path that is not
// known here, and for audio and video.
func Canary(protocol, path string, f Features, model string, n int) (call batholith.Call, ok bool) {
	if protocol != ProtocolOpenAI || f.Has(FeatureStream) {
		return batholith.Call{}, false
	}
	text := canaryTexts[uint(n)%CanaryTexts]
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

// canaryChat writes the members of a chat. Tools and a schema together stand for a tool that is forced: few servers hold an answer to a
// response format beside tools.
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

const canarySchema = `{"type":"object","properties":{"word":{"type":"string"}},"required":["word"],"additionalProperties":false}`

// canaryPicture is a PNG of 32 by 32 pixels as a data URL. Some vision models refuse smaller ones.
var canaryPicture = sync.OnceValue(func() string {
	const side = 32
	picture := image.NewGray(image.Rect(0, 0, side, side))
	for i := range picture.Pix {
		picture.SetGray(i%side, i/side, color.Gray{Y: uint8(4 * (i%side + i/side))})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		return "" // memory takes any number of bytes
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
})

// CanaryAnswered tells whether the body of a 200 answers a canary: an object with a first choice that did not break off, or with
// embeddings, and without an error. What the answer says does not matter: with one token it may be empty.
func CanaryAnswered(body []byte) bool {
	doc, err := answerObject(body)
	if err != nil {
		return false
	}
	for _, choice := range doc.member("choices").elements() {
		return new(completion).chosen(choice) == nil
	}
	return doc.member("data").filled()
}
