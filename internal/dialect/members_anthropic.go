package dialect

// The bodies of Claude (Anthropic: Messages API; Bedrock: Anthropic Claude Messages).

// Notes that several rules share.
const (
	cacheNote   = "model servers find shared prefixes by themselves"
	citesNote   = "answers have no citations"
	serversNote = "set at the model server, not by request"
)

// claudeBody is the body of the Messages API, with its ranges.
var claudeBody = membersAt("", passKnown, rules{
	"anthropic_version":  checked("`bedrock-2023-05-31`"),
	"max_tokens":         sent("max_tokens", count(1)),
	"messages":           taken(),
	"system":             taken(),
	"temperature":        sent("temperature", number(0, 1)),
	"top_p":              sent("top_p", number(0, 1)),
	"top_k":              sent("top_k", count(0)),
	"stop_sequences":     sent("stop", wantStrings),
	"tools":              taken(),
	"tool_choice":        taken(),
	"thinking":           taken(),
	"output_format":      taken(),
	"output_config":      taken(),
	"anthropic_beta":     ignored("each member that a beta adds has its own rule"),
	"cache_control":      ignored(cacheNote),
	"context_management": ignored("the whole conversation is sent"),
	"metadata":           ignored("models do not read it"),
	"service_tier":       ignored(serversNote),
	"speed":              ignored(serversNote),
	"inference_geo":      ignored(serversNote),
	"model":              refused("Extra inputs are not permitted"),
	"stream":             refused("Extra inputs are not permitted"),
	"mcp_servers":        refused("the model server calls no MCP servers; give their tools as custom tools, which the client runs"),
	"container":          refused("Batholith has no containers for skills or code; leave it out"),
})

// claudeMessage is one message.
var claudeMessage = membersAt("messages", refuseRest, rules{
	"role":    checked("user, assistant, system"),
	"content": taken(),
})

// claudeSystem is one block of the system prompt.
var claudeSystem = membersAt("system", refuseRest, rules{
	"type":          checked("text"),
	"text":          taken(),
	"cache_control": ignored(cacheNote),
	"citations":     ignored(citesNote),
})

// claudeBlocks are the content blocks by type.
var claudeBlocks = map[string]*members{
	"text": membersAt("messages.content(text)", refuseRest, rules{
		"type":          checked(""),
		"text":          taken(),
		"cache_control": ignored(cacheNote),
		"citations":     ignored("citations of an earlier answer"),
	}),
	"image": membersAt("messages.content(image)", refuseRest, rules{
		"type":          checked(""),
		"source":        taken(),
		"cache_control": ignored(cacheNote),
	}),
	"document": membersAt("messages.content(document)", refuseRest, rules{
		"type":          checked(""),
		"source":        taken(),
		"title":         mapped("put before the text"),
		"context":       mapped("put before the text"),
		"citations":     ignored(citesNote),
		"cache_control": ignored(cacheNote),
	}),
	"search_result": membersAt("messages.content(search_result)", refuseRest, rules{
		"type":          checked(""),
		"source":        mapped("put before the text"),
		"title":         mapped("put before the text"),
		"content":       taken(),
		"citations":     ignored(citesNote),
		"cache_control": ignored(cacheNote),
	}),
	"tool_use": membersAt("messages.content(tool_use)", refuseRest, rules{
		"type":          checked(""),
		"id":            taken(),
		"name":          taken(),
		"input":         taken(),
		"cache_control": ignored(cacheNote),
		"caller":        ignored("models do not read who made the call"),
	}),
	"tool_result": membersAt("messages.content(tool_result)", refuseRest, rules{
		"type":          checked(""),
		"tool_use_id":   taken(),
		"content":       taken(),
		"is_error":      mapped("`Error:` is put before the content").checking(wantBool),
		"cache_control": ignored(cacheNote),
	}),
	"thinking": membersAt("messages.content(thinking)", refuseRest, rules{
		"type":          checked(""),
		"thinking":      taken(),
		"signature":     ignored("only the provider can verify it"),
		"cache_control": ignored(cacheNote),
	}),
	"redacted_thinking": membersAt("messages.content(redacted_thinking)", refuseRest, rules{
		"type": checked(""),
		"data": ignored("only the provider can decrypt it"),
	}),
}

// claudeServerBlocks are blocks that Anthropic's own tools leave in a conversation, with the
// remedy.
var claudeServerBlocks = map[string]string{
	"server_tool_use":                        serverRound,
	"web_search_tool_result":                 serverRound,
	"web_fetch_tool_result":                  serverRound,
	"code_execution_tool_result":             serverRound,
	"bash_code_execution_tool_result":        serverRound,
	"text_editor_code_execution_tool_result": serverRound,
	"tool_search_tool_result":                serverRound,
	"mcp_tool_use":                           serverRound,
	"mcp_tool_result":                        serverRound,
	"tool_reference":                         "Batholith has no tool search; give all tools without defer_loading",
	"container_upload":                       "Batholith has no containers for files; give the text itself",
	"compaction":                             "a compaction block cannot be sent; give its summary as text, and leave out the turns before it",
}

const serverRound = "a tool call that Anthropic ran, and its result, cannot be sent; give the result as text"

// claudeImageSource is where an image block has its data.
var claudeImageSource = membersAt("messages.content(image).source", refuseRest, rules{
	"type":       checked("base64, url"),
	"media_type": taken(),
	"data":       taken(),
	"url":        taken(),
	"file_id":    refused(noFiles),
})

// claudeDocumentSource is where a document block has its text.
var claudeDocumentSource = membersAt("messages.content(document).source", refuseRest, rules{
	"type":       checked("text, content, base64"),
	"media_type": checked("text/plain and other text, application/pdf, docx"),
	"data":       taken(),
	"content":    taken(),
	"url":        refused("documents are not downloaded; give the text itself"),
	"file_id":    refused(noFiles),
})

const noFiles = "Batholith has no uploaded files; give the content itself"

// claudeTool is the definition of a tool.
var claudeTool = membersAt("tools", refuseRest, rules{
	"type":                  checked("custom, or absent"),
	"name":                  taken(),
	"description":           taken(),
	"input_schema":          taken(),
	"strict":                taken(),
	"input_examples":        mapped("added to the description"),
	"cache_control":         ignored(cacheNote),
	"eager_input_streaming": ignored("nothing is streamed"),
	"defer_loading":         ignored("all tools are sent"),
	"allowed_callers":       ignored("only the model calls tools"),
})

// claudeToolChoice controls whether the model calls tools.
var claudeToolChoice = membersAt("tool_choice", refuseRest, rules{
	"type":                      checked("auto, any, tool, none"),
	"name":                      taken(),
	"disable_parallel_tool_use": taken().checking(wantBool),
})

// claudeOutputFormat is the older place of the answer's schema.
var claudeOutputFormat = membersAt("output_format", refuseRest, rules{
	"type":   checked("json_schema"),
	"schema": taken(),
})

// claudeOutputConfig is the answer's schema and the reasoning effort.
var claudeOutputConfig = membersAt("output_config", refuseRest, rules{
	"format":      taken(),
	"effort":      taken(),
	"task_budget": ignored("model servers have no such parameter"),
})

var claudeConfigFormat = membersAt("output_config.format", refuseRest, rules{
	"type":   checked("json_schema"),
	"schema": taken(),
})

var claudeThinking = thinkingAt("thinking")

// thinkingAt returns the table of the reasoning switch of Anthropic's and Amazon's models,
// which occurs in several places.
func thinkingAt(path string) *members {
	return membersAt(path, refuseRest, rules{
		"type":               checked("enabled, adaptive, disabled"),
		"maxReasoningEffort": taken(),
		"budget_tokens":      mapped("`thinking_token_budget` for vLLM, `thinking_budget_tokens` for llama.cpp, `custom_params.thinking_budget` for SGLang").checking(count(0)),
		"display":            ignored("thoughts are answered as the server gives them"),
	})
}

// claudeTextBody is Claude's old body (Bedrock: Anthropic Claude Text Completions).
var claudeTextBody = membersAt("", passKnown, rules{
	"prompt":               taken(),
	"max_tokens_to_sample": sent("max_tokens", count(1)),
	"temperature":          sent("temperature", number(0, 1)),
	"top_p":                sent("top_p", number(0, 1)),
	"top_k":                sent("top_k", count(0)),
	"stop_sequences":       sent("stop", wantStrings),
	"anthropic_version":    ignored("this body has one version only"),
	"metadata":             ignored("models do not read it"),
	"stream":               refused("Extra inputs are not permitted"),
})

var anthropicObjects = []*members{
	claudeBody, claudeSystem, claudeMessage,
	claudeBlocks["text"], claudeBlocks["image"], claudeImageSource, claudeBlocks["document"], claudeDocumentSource, claudeBlocks["search_result"],
	claudeBlocks["tool_use"], claudeBlocks["tool_result"], claudeBlocks["thinking"], claudeBlocks["redacted_thinking"],
	claudeTool, claudeToolChoice, claudeThinking, claudeOutputConfig, claudeConfigFormat, claudeOutputFormat,
}
