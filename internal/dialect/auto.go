package dialect

import "strings"

// anyBodies accepts any chat body. The embedded models use it, and models whose name is not a
// Bedrock id. It selects the family for each record by the first rule that matches:
//
//  1. A member of Anthropic Messages only, such as "anthropic_version" or "system" with a string: Anthropic
//     Messages.
//  2. "inputText": Titan text; with members of embeddings only, such as "inputImage": Titan embeddings.
//  3. "singleEmbeddingParams": Nova embeddings. "texts", "inputs" or "images" with "input_type": Cohere Embed.
//  4. "messages" with members of Nova only: Nova; with members or blocks of Converse only: Converse.
//  5. "messages": OpenAI chat, including Mistral's members.
//  6. "prompt": Claude's old format if it has that format's limit or turns; DeepSeek-R1 if it has its marks;
//     Mistral if it has "max_tokens"; otherwise Llama.
//  7. "message": Cohere Command R.
//
// If no rule matches, the record is rejected with this list.
func anyBodies(o Options) translator {
	var (
		messages, chat, converseBodies translator = anthropic{o}, openai{Options: o, mistral: true, tagged: namedGPTOSS(o)}, converse{o, converseBody, false}
		text, embeddings, novaBodies   translator = titanText{o}, titanEmbed{o}, nova{o}
		novaVectors, cohereVectors     translator = novaEmbed{o}, cohereEmbed{o}
		claudeTurns, command           translator = claudeText{o}, cohere{o}
		metas, mistrals, deepSeeks                = llama(o), mistralText(o), deepSeekR1(o)
	)
	return byShape(func(body value) (translator, error) {
		s := shapeOf(body)
		switch {
		case s.has(anthropicMark):
			return messages, nil
		case s.has(inputTextMember):
			if s.has(vectorMark) {
				return embeddings, nil
			}
			return text, nil
		case s.has(novaVectorMark):
			return novaVectors, nil
		case s.has(textsMember | inputTypeMember):
			return cohereVectors, nil
		case s.has(messagesMember):
			switch {
			// Anthropic: also without anthropic_version, which clients of other services omit.
			case s.has(stopSequencesMember) || anthropicInside(body):
				return messages, nil
			case s.has(converseMark) && novaInside(body):
				return novaBodies, nil
			// Converse: by a member, or because the content blocks have no type.
			case s.has(converseMark) || untagged(body):
				return converseBodies, nil
			}
			return chat, nil
		case s.has(promptMember):
			// The first characters of a prompt show whose chat template it uses.
			switch start := body.member("prompt").beginning(longestBeginning); {
			case s.has(claudeTextMark) || !s.has(limitMark) && strings.HasPrefix(strings.TrimLeft(start, "\n"), "Human:"):
				return claudeTurns, nil
			case strings.Contains(start, "<｜"):
				return deepSeeks, nil
			case s.has(limitMark):
				return mistrals, nil
			}
			return metas, nil
		case s.has(messageMember):
			return command, nil
		}
		return nil, wrong("modelInput is in no known body format; it should have messages (Anthropic Messages, Nova, Converse, OpenAI chat, Mistral), " +
			"inputText (Titan), prompt (Llama, Mistral, DeepSeek-R1) or message (Cohere)")
	})
}

// shape is a set of marks that a body's member names give, one bit each.
type shape uint32

const (
	anthropicMark shape = 1 << iota // member of Anthropic Messages only
	converseMark                    // member of Converse and Nova only
	vectorMark                      // member of Titan embeddings only
	novaVectorMark
	claudeTextMark
	limitMark // max_tokens
	messagesMember
	messageMember
	promptMember
	inputTextMember
	textsMember
	inputTypeMember
	stopSequencesMember // Anthropic and Cohere have it
)

// has reports whether s contains all marks of t.
func (s shape) has(t shape) bool { return s&t == t }

// shapeOf reads the names of all members that are not null.
func shapeOf(body value) (s shape) {
	for name, rest := range body.starts() {
		if !rest.absent() {
			s |= markOf(name, rest)
		}
	}
	return s
}

// markOf returns the mark of one member. rest begins with its value.
func markOf(name, rest value) shape {
	if len(name) < len(`""`) {
		return 0
	}
	switch string(name[1 : len(name)-1]) {
	case "anthropic_version", "anthropic_beta":
		return anthropicMark
	case "system": // Converse has it too, with blocks without a type
		if rest.kind() == '"' || tagged(rest[:skip(rest, 0)]) {
			return anthropicMark
		}
	case "thinking": // other vendors' models have it too, without a budget
		if v := rest[:skip(rest, 0)]; !v.member("budget_tokens").absent() || v.member("type").is("adaptive") {
			return anthropicMark
		}
	case "inferenceConfig", "toolConfig", "additionalModelRequestFields", "outputConfig", "guardrailConfig", "schemaVersion", "reasoningConfig":
		return converseMark
	case "dimensions", "normalize", "embeddingTypes", "embeddingConfig":
		return vectorMark
	case "singleEmbeddingParams":
		return novaVectorMark
	case "max_tokens_to_sample":
		return claudeTextMark
	case "max_tokens":
		return limitMark
	case "messages":
		return messagesMember
	case "message":
		return messageMember
	case "prompt":
		return promptMember
	case "inputText":
		return inputTextMember
	case "inputImage":
		return inputTextMember | vectorMark
	case "texts", "inputs", "images":
		return textsMember
	case "input_type":
		return inputTypeMember
	case "stop_sequences":
		return stopSequencesMember
	}
	return 0
}

// tagged reports whether the first block of a list has a type.
func tagged(blocks value) bool {
	for _, block := range blocks.elements() {
		return !block.member("type").absent()
	}
	return false
}

// anthropicInside reports whether the first tool or the blocks of the first message are in
// Anthropic's format.
func anthropicInside(body value) bool {
	for _, tool := range body.member("tools").elements() {
		if !tool.member("input_schema").absent() {
			return true
		}
		break
	}
	found := false
	eachBlock(body, func(block value) bool {
		switch block.member("type").text() {
		case "image", "document", "tool_use", "tool_result", "search_result":
			found = true
		}
		return !found
	})
	return found
}

// novaInside reports whether the body has members of Nova that Converse does not have.
func novaInside(body value) bool {
	for name, v := range body.members() {
		switch {
		case v.absent():
		case name == "schemaVersion", name == "reasoningConfig":
			return true
		case name == "inferenceConfig":
			for name, m := range v.fields() {
				if !m.absent() && converseInference.rule(name) == nil && novaInference.rule(name) != nil {
					return true
				}
			}
		}
	}
	return false
}
