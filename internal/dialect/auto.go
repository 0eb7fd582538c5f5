package dialect

import "strings"

// anyBodies takes any chat body, as the embedded models do, and models whose name is no id of Bedrock's. The shape decides, record by record,
// the first rule that fits:
//
//  1. a member that only Anthropic Messages has, such as "anthropic_version" or "system" with a text: Anthropic Messages
//  2. "inputText": Titan text, or Titan embeddings when there are members that only those have
//  3. "singleEmbeddingParams": Nova embeddings; "texts", or "inputs" with an "input_type": Cohere Embed
//  4. "messages" with members that only Nova has: Nova; with members or blocks that only Converse has: Converse
//  5. "messages": OpenAI chat, with Mistral's words
//  6. "prompt": Claude's older text with its limit or its turns; DeepSeek-R1 with its marks; Mistral with "max_tokens"; Llama
//  7. "message": Cohere Command R
//
// A body that no rule fits is refused with the list of them.
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
			case s.has(stopSequencesMember) || anthropicInside(body):
				return messages, nil
			case s.has(converseMark) && novaInside(body):
				return novaBodies, nil
			case s.has(converseMark) || untagged(body):
				return converseBodies, nil
			}
			return chat, nil
		case s.has(promptMember):
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

// shape is what the names of a body's members tell of its family, one bit each.
type shape uint32

const (
	anthropicMark shape = 1 << iota // only Anthropic Messages has it
	converseMark                    // only Converse and Nova have it
	vectorMark                      // only embeddings of Titan's have it
	novaVectorMark
	claudeTextMark
	limitMark // max_tokens
	messagesMember
	messageMember
	promptMember
	inputTextMember
	textsMember
	inputTypeMember
	stopSequencesMember // Anthropic's, and Cohere's
)

// has tells whether s has all marks of t.
func (s shape) has(t shape) bool { return s&t == t }

// shapeOf reads the names of the members that are set, once.
func shapeOf(body value) (s shape) {
	for name, rest := range body.starts() {
		if !rest.absent() {
			s |= markOf(name, rest)
		}
	}
	return s
}

// markOf is what a member tells; its value begins rest.
func markOf(name, rest value) shape {
	if len(name) < len(`""`) {
		return 0
	}
	switch string(name[1 : len(name)-1]) {
	case "anthropic_version", "anthropic_beta":
		return anthropicMark
	case "system": // Converse has it too, with blocks that are not tagged
		if rest.kind() == '"' || tagged(rest[:skip(rest, 0)]) {
			return anthropicMark
		}
	case "thinking": // models of others have it too, without a budget
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
	case "texts", "inputs":
		return textsMember
	case "input_type":
		return inputTypeMember
	case "stop_sequences":
		return stopSequencesMember
	}
	return 0
}

// tagged tells whether the first of some blocks has a type.
func tagged(blocks value) bool {
	for _, block := range blocks.elements() {
		return !block.member("type").absent()
	}
	return false
}

// anthropicInside tells by the blocks of the first message, and by the first tool, whether a body is Anthropic's.
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

// novaInside tells by what Converse has not whether a body is Nova's.
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
