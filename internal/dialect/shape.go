package dialect

import "github.com/batholith/batholith"

// Bodies of one invocation type often end up in a job of the other: old SDKs drop
// modelInvocationType silently, and the job then runs as InvokeModel. The errors would only
// mention missing fields; these hints name the cause.

// hintConverse replaces err if the body is a Converse body in an InvokeModel job.
func hintConverse(body value, err error) error {
	if !looksConverse(body) {
		return err
	}
	return wrong("this body has the shape of Converse; set modelInvocationType to Converse (as InvokeModel: %v)", err)
}

// hintInvoke replaces err if the body of a Converse job is in the Messages or the chat
// completions format.
func hintInvoke(body value, err error) error {
	if !looksInvoke(body) {
		return err
	}
	return wrong("this body has the shape of InvokeModel; set modelInvocationType to InvokeModel (as Converse: %v)", err)
}

// looksConverse reports whether the body has members that only Converse has, or content blocks
// without a type.
func looksConverse(body value) bool {
	return shapeOf(body).has(converseMark) || untagged(body)
}

// untagged reports whether the blocks of the first message are named by their members, as
// Converse's and Nova's are.
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

// looksInvoke reports whether the body has members that Converse does not have, content that is
// a string, or blocks with a type.
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

// eachBlock calls visit for the content blocks of the first message until it returns false.
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

// TypeOf guesses the invocation type of a modelInput for a model of this family. A Nova body
// may look like a Converse body; for Nova models only members that Nova does not have make it
// Converse.
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

// onlyConverses reports whether the body has members that Nova's format does not have.
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
