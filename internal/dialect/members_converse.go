package dialect

// The bodies of Converse, and of Nova, which has the same messages (Bedrock: ConverseRequest;
// Amazon Nova, messages-v1).

const (
	systemNote = "models do not read it"
	noS3Media  = "content in S3 cannot be read here; give it in bytes"
)

// converseBody is the whole body.
var converseBody = membersAt("", refuseRest, rules{
	"messages":                          taken(),
	"system":                            taken(),
	"inferenceConfig":                   taken(),
	"toolConfig":                        taken(),
	"outputConfig":                      taken(),
	"additionalModelRequestFields":      taken(),
	"additionalModelResponseFieldPaths": checked("read from the model server's answer").checking(wantStrings),
	"requestMetadata":                   ignored(systemNote).checking(wantObject),
	"performanceConfig":                 ignored(serversNote).checking(wantObject),
	"serviceTier":                       ignored(serversNote).checking(wantObject),
	"guardrailConfig":                   refused(noGuardrails),
	"promptVariables":                   refused("Batholith has no managed prompts; write the messages into the body"),
	"modelId":                           refused("Extra inputs are not permitted"),
})

// converseInference has the API's ranges (Bedrock: InferenceConfiguration). The number of stop
// sequences is not limited here; the server may limit it.
var converseInference = membersAt("inferenceConfig", refuseRest, rules{
	"maxTokens":     sent("max_tokens", count(1)),
	"temperature":   sent("temperature", number(0, 1)),
	"topP":          sent("top_p", number(0, 1)),
	"stopSequences": sent("stop", wantStrings),
})

var converseOutput = membersAt("outputConfig", refuseRest, rules{
	"textFormat": taken(),
	"effort":     taken(),
})

var converseTextFormat = membersAt("outputConfig.textFormat", refuseRest, rules{
	"type":      checked("json_schema"),
	"structure": taken(),
})

var converseStructure = membersAt("outputConfig.textFormat.structure", refuseRest, rules{
	"jsonSchema": taken(),
})

var converseSchema = membersAt("outputConfig.textFormat.structure.jsonSchema", refuseRest, rules{
	"schema":      taken(),
	"name":        taken(),
	"description": taken().checking(wantString),
})

// converseSystem is one block of the system prompt.
var converseSystem = membersAt("system", refuseRest, rules{
	"text":         taken(),
	"guardContent": taken(),
	"cachePoint":   ignored(cacheNote),
})

// converseMessage is one message.
var converseMessage = membersAt("messages", refuseRest, rules{
	"role":    checked("user, assistant, system"),
	"content": taken(),
})

// converseContent is one content block of a message.
var converseContent = membersAt("messages.content", refuseRest, rules{
	"text":             taken(),
	"image":            taken(),
	"video":            taken(),
	"audio":            taken(),
	"document":         taken(),
	"searchResult":     taken(),
	"toolUse":          taken(),
	"toolResult":       taken(),
	"reasoningContent": taken(),
	"guardContent":     taken(),
	"citationsContent": taken(),
	"cachePoint":       ignored(cacheNote),
	"toolAddition":     refused("tools cannot change within a conversation; give all of them in toolConfig"),
	"toolRemoval":      refused("tools cannot change within a conversation; leave the removed tool out of toolConfig"),
})

// converseMedia are the objects of image, video and audio blocks.
var converseMedia = map[string]*members{
	"image": mediaAt("messages.content.image"),
	"video": mediaAt("messages.content.video"),
	"audio": mediaAt("messages.content.audio"),
}

// mediaAt returns the table of such an object.
func mediaAt(path string) *members {
	return membersAt(path, refuseRest, rules{
		"format": taken(),
		"source": taken(),
		"error":  ignored("the reason why an earlier answer has no content"),
	})
}

var converseMediaSource = membersAt("messages.content.image.source", refuseRest, rules{
	"bytes":      taken(),
	"s3Location": inS3(),
})

// converseDocument is a document block.
var converseDocument = membersAt("messages.content.document", refuseRest, rules{
	"format":    checked("pdf, docx, txt, md, csv, html"),
	"name":      mapped("put before the text"),
	"context":   mapped("put before the text"),
	"source":    taken(),
	"citations": ignored(citesNote),
})

var converseDocumentSource = membersAt("messages.content.document.source", refuseRest, rules{
	"bytes":      taken(),
	"text":       taken(),
	"content":    taken(),
	"s3Location": inS3(),
})

var converseSearchResult = membersAt("messages.content.searchResult", refuseRest, rules{
	"source":    mapped("put before the text"),
	"title":     mapped("put before the text"),
	"content":   taken(),
	"citations": ignored(citesNote),
})

// converseChunk is a piece of a document, a search result, or an answer with citations.
var converseChunk = membersAt("messages.content.document.source.content", refuseRest, rules{
	"text": taken(),
})

var converseToolUse = membersAt("messages.content.toolUse", refuseRest, rules{
	"toolUseId": taken(),
	"name":      taken(),
	"input":     taken(),
	"type":      refused(bedrockRound),
})

const bedrockRound = "a tool call that Bedrock ran, and its result, cannot be sent; give the result as text"

var converseToolResult = membersAt("messages.content.toolResult", refuseRest, rules{
	"toolUseId": taken(),
	"content":   taken(),
	"status":    taken(),
	"type":      refused(bedrockRound),
})

// converseResultContent is a block of a tool's result. json may be any JSON and is sent as
// text.
var converseResultContent = membersAt("messages.content.toolResult.content", refuseRest, rules{
	"text":         taken(),
	"json":         mapped("as text"),
	"image":        taken(),
	"video":        taken(),
	"audio":        taken(),
	"document":     taken(),
	"searchResult": taken(),
	"cachePoint":   ignored(cacheNote),
})

var converseReasoning = membersAt("messages.content.reasoningContent", refuseRest, rules{
	"reasoningText":   taken(),
	"redactedContent": ignored("only the provider can decrypt it"),
})

var converseReasoningText = membersAt("messages.content.reasoningContent.reasoningText", refuseRest, rules{
	"text":      taken(),
	"signature": ignored("only the provider can verify it"),
})

var converseGuard = membersAt("messages.content.guardContent", refuseRest, rules{
	"text":  taken(),
	"image": taken(),
})

var converseGuardText = membersAt("messages.content.guardContent.text", refuseRest, rules{
	"text":       taken(),
	"qualifiers": ignored("there is no guardrail that reads it"),
})

var converseCitations = membersAt("messages.content.citationsContent", refuseRest, rules{
	"content":   taken(),
	"citations": ignored("citations of an earlier answer"),
})

var converseToolConfig = membersAt("toolConfig", refuseRest, rules{
	"tools":      taken(),
	"toolChoice": taken(),
})

// converseTool is one entry of toolConfig.tools.
var converseTool = membersAt("toolConfig.tools", refuseRest, rules{
	"toolSpec":   taken(),
	"cachePoint": ignored(cacheNote),
	"systemTool": refused("Batholith cannot run Bedrock's own tools; leave it out, or give a toolSpec that the client runs"),
})

// converseToolSpec is the definition of a tool.
var converseToolSpec = membersAt("toolConfig.tools.toolSpec", refuseRest, rules{
	"name":        taken(),
	"description": taken().checking(wantString),
	"inputSchema": taken(),
	"strict":      taken().checking(wantBool),
})

var converseToolSchema = membersAt("toolConfig.tools.toolSpec.inputSchema", refuseRest, rules{
	"json": taken(),
})

var converseToolChoice = membersAt("toolConfig.toolChoice", refuseRest, rules{
	"auto": taken(),
	"any":  taken(),
	"tool": taken(),
})

// converseBareChoice is a tool choice without a name.
var converseBareChoice = membersAt("toolConfig.toolChoice.auto", refuseRest, rules{})

var converseNamedTool = membersAt("toolConfig.toolChoice.tool", refuseRest, rules{
	"name": taken(),
})

// converseFields are families' own members in additionalModelRequestFields. A member that is
// not in the table is sent to the server unchanged.
var converseFields = membersAt("additionalModelRequestFields", passRest, rules{
	// Claude's
	"thinking":           taken(),
	"output_config":      taken(),
	"output_format":      taken(),
	"tools":              taken(),
	"tool_choice":        taken(),
	"top_k":              sent("top_k", count(0)),
	"stop_sequences":     sent("stop", wantStrings),
	"anthropic_version":  ignored("the body is Converse's"),
	"anthropic_beta":     ignored("each member that a beta adds has its own rule"),
	"cache_control":      ignored(cacheNote),
	"context_management": ignored("the whole conversation is sent"),
	"metadata":           ignored(systemNote),
	"service_tier":       ignored(serversNote),
	"speed":              ignored(serversNote),
	"mcp_servers":        claudeBody.rules["mcp_servers"].again(),
	"container":          claudeBody.rules["container"].again(),
	"system":             refused("not allowed here; give it in the member system of the body"),
	// Amazon's
	"reasoning_config":     taken(),
	"reasoningConfig":      taken(),
	"inferenceConfig":      taken(),
	"textGenerationConfig": taken(),
	"topK":                 sent("top_k", count(0)),
	"topP":                 sent("top_p", number(0, 1)),
	"maxTokens":            sent("max_tokens", count(1)),
	"max_new_tokens":       sent("max_tokens", count(1)),
	"maxTokenCount":        sent("max_tokens", count(1)),
	"stopSequences":        sent("stop", wantStrings),
	// Cohere's
	"k":                   sent("top_k", count(0)),
	"p":                   sent("top_p", number(0, 1)),
	"documents":           sent("documents", wantArray),
	"response_format":     taken(),
	"preamble":            refused("not allowed here; give it in the member system of the body"),
	"message":             refused("not allowed here; give it in the member messages of the body"),
	"chat_history":        refused("not allowed here; give it in the member messages of the body"),
	"tool_results":        refused("not allowed here; give it in the member messages of the body"),
	"search_queries_only": refused(noCohereTask).unlessFalse(),
	"raw_prompting":       refused(noCohereTask).unlessFalse(),
	"return_prompt":       refused(noCohereTask).unlessFalse(),
	"prompt_truncation":   ignored(truncateNote),
	"citation_quality":    ignored(citesNote),
	"force_single_step":   ignored("the model decides when its turn ends"),
	// Meta's, Mistral's, AI21's
	"max_gen_len":      sent("max_tokens", count(1)),
	"random_seed":      sent("seed", nil),
	"safe_prompt":      ignored("write the safety prompt into system"),
	"countPenalty":     ignored("model servers have no such parameter"),
	"presencePenalty":  ignored("give presence_penalty, a number"),
	"frequencyPenalty": ignored("give frequency_penalty, a number"),
	// OpenAI's members are sent unchanged, except those that a batch cannot have
	"stop":            sent("stop", nil),
	"model":           refused("Extra inputs are not permitted"),
	"messages":        refused("Extra inputs are not permitted"),
	"stream":          refused("Extra inputs are not permitted"),
	"stream_options":  refused("Extra inputs are not permitted"),
	"n":               refused("Extra inputs are not permitted"),
	"guardrailConfig": refused(noGuardrails),
	"requestMetadata": ignored(systemNote),
})

var (
	fieldsThinking          = thinkingAt("additionalModelRequestFields.thinking")
	fieldsReasoning         = thinkingAt("additionalModelRequestFields.reasoningConfig")
	fieldsOutputConfig      = membersAt("additionalModelRequestFields.output_config", refuseRest, again(claudeOutputConfig))
	fieldsConfigFormat      = membersAt("additionalModelRequestFields.output_config.format", refuseRest, again(claudeConfigFormat))
	fieldsOutputFormat      = membersAt("additionalModelRequestFields.output_format", refuseRest, again(claudeOutputFormat))
	fieldsToolChoice        = membersAt("additionalModelRequestFields.tool_choice", refuseRest, again(claudeToolChoice))
	fieldsInference         = membersAt("additionalModelRequestFields.inferenceConfig", refuseRest, again(novaInference))
	fieldsInferenceThinking = thinkingAt("additionalModelRequestFields.inferenceConfig.reasoningConfig")
	fieldsTitan             = membersAt("additionalModelRequestFields.textGenerationConfig", refuseRest, again(titanTextConfig))
)

// again returns a copy of a rule, for another path.
func (r *rule) again() *rule {
	copied := *r
	return &copied
}

// again returns a copy of an object's rules, for another path.
func again(o *members) rules {
	copied := rules{}
	for name, r := range o.rules {
		copied[name] = r.again()
	}
	return copied
}

var converseObjects = []*members{
	converseBody, converseSystem, converseMessage, converseContent,
	converseMedia["image"], converseMedia["video"], converseMedia["audio"], converseMediaSource, converseDocument, converseDocumentSource, converseChunk,
	converseSearchResult, converseToolUse, converseToolResult, converseResultContent, converseReasoning, converseReasoningText,
	converseGuard, converseGuardText, converseCitations,
	converseInference, converseToolConfig, converseTool, converseToolSpec, converseToolSchema, converseToolChoice, converseNamedTool,
	converseOutput, converseTextFormat, converseStructure, converseSchema,
	converseFields, fieldsThinking, fieldsReasoning, fieldsOutputConfig, fieldsConfigFormat, fieldsOutputFormat, fieldsToolChoice, fieldsInference, fieldsInferenceThinking, fieldsTitan,
}

var novaBody = membersAt("", passKnown, novaRules())

// novaRules are Converse's rules, because gateways send such members to Nova, and Nova's own.
func novaRules() rules {
	r := again(converseBody)
	r["schemaVersion"] = checked("`messages-v1`, or absent")
	r["reasoningConfig"] = taken()
	r["additionalModelResponseFieldPaths"] = ignored("answers have no such fields").checking(wantStrings)
	return r
}

// novaInference accepts the current names and those of the first Nova models (Bedrock: Amazon
// Nova, request).
var novaInference = membersAt("inferenceConfig", refuseRest, rules{
	"maxTokens":       sent("max_tokens", count(1)),
	"max_new_tokens":  sent("max_tokens", count(1)),
	"temperature":     sent("temperature", number(0, 1)),
	"topP":            sent("top_p", number(0, 1)),
	"top_p":           sent("top_p", number(0, 1)),
	"topK":            sent("top_k", count(0)),
	"top_k":           sent("top_k", count(0)),
	"stopSequences":   sent("stop", wantStrings),
	"stop_sequences":  sent("stop", wantStrings),
	"reasoningConfig": taken(),
})

var (
	novaThinking     = thinkingAt("inferenceConfig.reasoningConfig")
	novaBodyThinking = thinkingAt("reasoningConfig")
)

// novaObjects are Nova's own objects. All others are Converse's.
var novaObjects = []*members{novaBody, novaInference, novaThinking, novaBodyThinking}

// inS3 returns the rule of an object in S3. Its bytes take its place before the body is translated
// (see [Filled]). Where nothing has read it, it is an error.
func inS3() *rule {
	return taken().checking(func(name string, _ value) error { return at(name, wrong(noS3Media)) })
}
