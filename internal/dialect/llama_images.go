package dialect

import (
	"strings"

	"github.com/batholith/batholith"
)

// A Llama body may have images, to which "<|image|>" in the prompt refers (Meta: Llama 3.2 vision).
// No server of OpenAI's API takes images beside a templated prompt, so the prompt is split at the
// marks of Llama 3's chat template, and sent as a chat. A server that serves a Llama puts the same
// marks back.

// The marks of Llama 3's chat template (Meta: Llama 3 prompt format).
const (
	llamaBegin  = "<|begin_of_text|>"
	llamaHeader = "<|start_header_id|>"
	llamaRole   = "<|end_header_id|>"
	llamaEnd    = "<|eot_id|>"
	llamaImage  = "<|image|>"
)

// withImages returns a call of /chat/completions for a body with images.
func (d templated) withImages(body value, model string) (batholith.Call, error) {
	c := newChat(model, len(body))
	c.set("max_tokens", value(d.fallback))
	if err := d.readImages(c, body); err != nil {
		return batholith.Call{}, hintConverse(body, err)
	}
	return c.call(), nil
}

// readImages reads the body and writes the conversation.
func (d templated) readImages(c *chat, body value) error {
	var prompt, images value
	err := c.read(d.members, body, func(name string, v value) error {
		switch name {
		case "prompt":
			prompt = v
		case "images":
			images = v
		}
		return nil
	})
	if err := first(err, needString("prompt", prompt), needArray("images", images)); err != nil {
		return err
	}
	var parts []part
	for i, image := range images.elements() {
		p, err := promptImage(image)
		if err != nil {
			return at("images", at(i, err))
		}
		parts = append(parts, p)
	}
	c.mapped(d.members.rules["prompt"].path)
	return at("prompt", c.llamaTurns(prompt.text(), parts))
}

// promptImage reads an image: Base64, or a data URL.
func promptImage(v value) (part, error) {
	if dataURL(v) == nil {
		return part{kind: "image_url", text: v}, nil
	}
	return sniffedImage(v)
}

// notLlama refuses a prompt whose turns cannot be told.
const notLlama = "a prompt with images should have the marks of Llama 3's chat template, so that its turns can be sent to a chat server; write them, or use Converse"

// llamaTurns writes a templated prompt as messages.
func (c *chat) llamaTurns(prompt string, images []part) error {
	rest := strings.TrimPrefix(strings.TrimSpace(prompt), llamaBegin)
	marks := strings.Count(rest, llamaImage)
	if marks != len(images) && marks > 0 {
		return wrong("it has %d marks %s, and images has %d items", marks, llamaImage, len(images))
	}
	if marks == 0 { // the images belong to the last turn of the user
		i := strings.LastIndex(rest, llamaHeader+"user"+llamaRole)
		if i < 0 {
			return wrong(notLlama)
		}
		i += len(llamaHeader + "user" + llamaRole)
		if strings.HasPrefix(rest[i:], "\n\n") {
			i += len("\n\n")
		}
		rest = rest[:i] + strings.Repeat(llamaImage, len(images)) + rest[i:]
	}
	spoken := false
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
		var t turn
		var err error
		if rest, err = t.llamaTurn(rest, &images); err != nil {
			return err
		}
		if rest == "" && t.role == "assistant" && len(t.parts) == 0 {
			break // where the model's answer begins
		}
		spoken = spoken || t.role == "user"
		c.turn(&t)
	}
	if !spoken {
		return wrong(notLlama)
	}
	return nil
}

// llamaTurn reads the first turn of a prompt, and returns what follows it.
func (t *turn) llamaTurn(prompt string, images *[]part) (rest string, err error) {
	head, found := strings.CutPrefix(prompt, llamaHeader)
	role, said, named := strings.Cut(head, llamaRole)
	role = strings.TrimSpace(role)
	if !found || !named || role != "system" && role != "user" && role != "assistant" {
		return "", wrong(notLlama)
	}
	said, rest, _ = strings.Cut(said, llamaEnd)
	if strings.Contains(said, llamaHeader) {
		return "", wrong(notLlama)
	}
	t.role = role
	for i, text := range strings.Split(strings.TrimPrefix(said, "\n\n"), llamaImage) {
		if i > 0 {
			t.parts = append(t.parts, (*images)[0])
			*images = (*images)[1:]
		}
		if i == 0 || strings.TrimSpace(text) != "" {
			var b buffer
			b.text(text)
			t.parts = addText(t.parts, value(b))
		}
	}
	return rest, nil
}
