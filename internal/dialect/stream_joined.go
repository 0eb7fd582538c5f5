package dialect

// joined returns the chunks as one whole answer in OpenAI's form.
func (h *hub) joined() []byte {
	b := make(buffer, 0, h.size+512)
	b.open('{')
	b.member("id", h.ownID())
	b.textMember("object", map[bool]string{true: "text_completion", false: "chat.completion"}[h.prompted])
	b.member("model", h.model)
	b.params(h.head)
	b.key("choices")
	b.open('[')
	for i, so := range h.choices {
		b.open('{')
		b.integerMember("index", int64(i))
		if h.prompted {
			b.member("text", so.text.value())
		} else {
			b.key("message")
			so.message(&b)
		}
		so.joinedLogprobs(&b)
		b.member("finish_reason", so.finish)
		b.params(so.more)
		b.close('}')
	}
	b.close(']')
	b.member("usage", h.usage)
	b.close('}')
	return b
}

// message writes the joined message of a choice.
func (so *choiceSoFar) message(b *buffer) {
	b.open('{')
	b.textMember("role", "assistant")
	b.member("content", so.text.value())
	b.member("reasoning_content", so.thought.value())
	b.member("refusal", so.refusal.value())
	if len(so.calls) > 0 {
		b.key("tool_calls")
		b.open('[')
		for _, call := range so.calls {
			b.open('{')
			b.member("id", call.id)
			b.textMember("type", "function")
			b.key("function")
			b.open('{')
			b.member("name", call.name)
			if call.object.absent() {
				b.member("arguments", call.args.value())
			} else {
				b.member("arguments", call.object)
			}
			b.close('}')
			b.close('}')
		}
		b.close(']')
	}
	b.close('}')
}

// joinedLogprobs writes the joined probabilities of a choice.
func (so *choiceSoFar) joinedLogprobs(b *buffer) {
	if !so.logprobs[0].said && !so.logprobs[1].said {
		return
	}
	b.key("logprobs")
	b.open('{')
	for i, name := range [...]string{"content", "refusal"} {
		if so.logprobs[i].said {
			b.key(name)
			b.open('[')
			b.raw(so.logprobs[i].b)
			b.close(']')
		}
	}
	b.close('}')
}
