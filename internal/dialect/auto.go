package dialect

// anyBodies takes any chat body, as the embedded models do. The shape decides, record by record, the first rule that fits:
//
//  1. a member that only Anthropic Messages has, such as "anthropic_version" or "system" with a text: Anthropic Messages
//  2. "inputText": Titan text, or Titan embeddings when there are members that only those have
//  3. "messages" with members or blocks that only Converse has: Converse
//  4. "messages": OpenAI chat
//  5. "prompt": Llama
//  6. "message": Cohere Command R
//
// A body that no rule fits is refused with the list of them.
func anyBodies(o Options) translator {
	var messages, chat translator = anthropic{o}, openai{Options: o, mistral: true, tagged: namedGPTOSS(o)}
	return byShape(func(body value) (translator, error) {
		switch {
		case looksAnthropic(body):
			return messages, nil
		case !body.member("inputText").absent():
			if embeds(body) {
				return titanEmbed{o}, nil
			}
			return titanText{o}, nil
		case !body.member("messages").absent():
			if looksConverse(body) {
				return converse{o, converseBody, false}, nil
			}
			return chat, nil
		case !body.member("prompt").absent():
			return llama(o), nil
		case !body.member("message").absent():
			return cohere{o}, nil
		}
		return nil, wrong("modelInput is of no known shape; it should have messages (Anthropic Messages, Converse, OpenAI chat), " +
			"inputText (Titan), prompt (Llama) or message (Cohere)")
	})
}

// looksAnthropic tells by members that neither Converse nor OpenAI chat has.
func looksAnthropic(body value) bool {
	for name, v := range body.members() {
		switch name {
		case "anthropic_version", "anthropic_beta", "stop_sequences", "thinking":
			if !v.absent() {
				return true
			}
		case "system": // Converse has it too, with blocks that are not tagged
			for _, block := range v.elements() {
				return !block.member("type").absent()
			}
			return v.kind() == '"'
		}
	}
	return false
}

// embeds tells whether a body with inputText has what only embeddings have.
func embeds(body value) bool {
	for name, v := range body.members() {
		switch name {
		case "dimensions", "normalize", "embeddingTypes":
			return !v.absent()
		}
	}
	return false
}
