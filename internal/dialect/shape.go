package dialect

import "github.com/batholith/batholith"

// Bodies of one invocation type often end up in a job of the other: old clients drop modelInvocationType without a word, and
// the job then runs as InvokeModel. The errors that follow speak of missing fields; these hints speak of the cause.

// hintConverse replaces err when the body is a Converse body in an InvokeModel job.
func hintConverse(body value, err error) error {
	if !looksConverse(body) {
		return err
	}
	return wrong("this body has the shape of Converse; set modelInvocationType to Converse (as InvokeModel: %v)", err)
}

// hintInvoke replaces err when a Converse job holds a body of the Messages or the chat completions API.
func hintInvoke(body value, err error) error {
	if !looksInvoke(body) {
		return err
	}
	return wrong("this body has the shape of InvokeModel; set modelInvocationType to InvokeModel (as Converse: %v)", err)
}

// looksConverse tells by members that only Converse has, or by content blocks that are not tagged with a type.
func looksConverse(body value) bool {
	return shapeOf(body).has(converseMark) || untagged(body)
}

// untagged tells whether the blocks of the first message are named by their members, as Converse's and Nova's are.
func untagged(body value) bool {
	found := false
	eachBlock(body, func(block value) bool {
		for name := range block.members() {
			switch name {
			case "type":
				return false
			case "text", "image", "video", "audio", "toolUse", "toolResult", "document", "searchResult", "reasoningContent", "cachePoint", "guardContent":
				found = true
			}
		}
		return false
	})
	return found
}

// looksInvoke tells by members that Converse has not, by content that is a plain string, or by tagged blocks.
func looksInvoke(body value) bool {
	for name := range body.members() {
		switch name {
		case "anthropic_version", "max_tokens", "max_completion_tokens", "inputText", "prompt", "temperature", "top_p":
			return true
		}
	}
	plain := novaInside(body)
	for _, m := range body.member("messages").elements() {
		plain = plain || m.member("content").kind() == '"'
		break
	}
	eachBlock(body, func(block value) bool {
		plain = plain || block.member("type").kind() == '"'
		return false
	})
	return plain
}

// eachBlock visits the content blocks of the first message for as long as visit says so.
func eachBlock(body value, visit func(value) bool) {
	for _, m := range body.member("messages").elements() {
		for _, block := range m.member("content").elements() {
			if !visit(block) {
				return
			}
		}
		return
	}
}

// TypeOf guesses by a modelInput of which type a job of it is, for a model of this family. A body of Nova's may look like Converse's in all but
// few members: for a model of Nova's, whose own bodies these are, only those make it one of Converse.
func TypeOf(family string, input []byte) batholith.InvocationType {
	body, err := object(input)
	switch {
	case err != nil:
		return batholith.InvokeModel
	case family == "nova":
		if !onlyConverses(body) {
			return batholith.InvokeModel
		}
		return batholith.Converse
	case looksConverse(body) && !novaInside(body):
		return batholith.Converse
	}
	return batholith.InvokeModel
}

// onlyConverses tells by members that Nova's own bodies have not.
func onlyConverses(body value) bool {
	for name, v := range body.members() {
		switch name {
		case "additionalModelRequestFields", "additionalModelResponseFieldPaths", "requestMetadata", "performanceConfig", "guardrailConfig",
			"outputConfig", "serviceTier", "promptVariables":
			return !v.absent()
		}
	}
	return false
}
