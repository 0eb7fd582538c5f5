package dialect

import (
	"strings"

	"github.com/batholith/batholith"
)

// embedItem is what becomes one vector: a text, an image, or both.
type embedItem struct {
	text   value  // JSON string, or nil
	images []part // of kind image_url
}

// noMixture refuses an item for which no server has a place.
const noMixture = "an input with several images must be the only input of its record; give each such input in a record of its own"

// embedCall returns a call of /embeddings. Servers have two forms for images:
//
//	{"messages":[{"role":"user","content":[…]}]}   vLLM: one vector for the conversation
//	{"input":[{"text":"…","image":"data:…"},…]}    SGLang, Jina: one vector for each object
//
// A record with one item has the first form; if the server does not know it, the request is sent
// again in the second: see spareMessages. Several items have the second form. Without images, the
// input is texts only.
func embedCall(model string, items []embedItem, dimensions value, changes batholith.Changes) (batholith.Call, error) {
	size, media, several := 128, false, false
	for _, it := range items {
		size += len(it.text) + 64
		for _, p := range it.images {
			size += len(p.prefix) + len(p.text)
		}
		media = media || len(it.images) > 0
		several = several || len(it.images) > 1
	}
	switch {
	case !media:
		return embeddingsCall(model, textsOf(items), dimensions, changes), nil
	case several && len(items) > 1:
		return batholith.Call{}, wrong(noMixture)
	}
	c := chat{buffer: newBuffer(size)}
	c.open('{')
	c.textMember("model", model)
	spare := spareEncoding
	if len(items) == 1 {
		c.key("messages")
		c.literal(`[{"role":"user"`)
		parts := items[0].images
		if !items[0].text.absent() {
			parts = append(parts[:len(parts):len(parts)], part{kind: "text", text: items[0].text})
		}
		c.content(parts)
		c.buffer = append(c.buffer, "}]"...)
		if !several {
			spare |= spareMessages
		}
	} else {
		c.key("input")
		c.open('[')
		for _, it := range items {
			c.embedObject(it.text, it.images)
		}
		c.close(']')
	}
	c.member("dimensions", dimensions)
	c.textMember("encoding_format", "float")
	c.close('}')
	if !dimensions.absent() {
		spare |= spareDimensions
	}
	return batholith.Call{Path: embeddingsPath, Body: c.buffer, Changes: changes, Spare: spare}, nil
}

// embedObject writes an item as SGLang and Jina have it.
func (b *buffer) embedObject(text value, images []part) {
	b.open('{')
	if !text.absent() {
		b.member("text", text)
	}
	for _, p := range images {
		b.key("image")
		b.joined(p.prefix, p.text)
	}
	b.close('}')
}

// asObjects writes the content of the only message of an embedding request as a list with one
// object.
func (b *buffer) asObjects(messages value) {
	var text value
	var images []part
	for _, m := range messages.elements() {
		for _, p := range m.member("content").elements() {
			if t := p.member("text"); !t.absent() {
				text = t
			}
			if url := p.member("image_url").member("url"); !url.absent() {
				images = append(images, part{text: url})
			}
		}
	}
	b.open('[')
	b.embedObject(text, images)
	b.close(']')
}

// textsOf returns the texts as a list, or a single text itself.
func textsOf(items []embedItem) value {
	if len(items) == 1 {
		return items[0].text
	}
	var b buffer
	b.open('[')
	for _, it := range items {
		b.raw(it.text)
	}
	b.close(']')
	return value(b)
}

// imageStarts are the beginnings of images in Base64.
var imageStarts = []struct{ start, format string }{{"iVBORw0KGgo", "png"}, {"/9j/", "jpeg"}, {"R0lGOD", "gif"}, {"UklGR", "webp"}}

// sniffedImage returns an image that is Base64 without a format, as Titan takes it.
func sniffedImage(data value) (part, error) {
	start := data.beginning(longestBeginning)
	for _, s := range imageStarts {
		if strings.HasPrefix(start, s.start) {
			return part{kind: "image_url", prefix: "data:image/" + s.format + ";base64,", text: data}, nil
		}
	}
	return part{}, wrong("Input should be Base64 of a PNG, JPEG, GIF or WebP image")
}
