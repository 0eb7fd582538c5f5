package dialect

// The bodies of the other families for InvokeModel.

const (
	truncateNote = "the model server's settings decide how long texts are truncated"
	noCohereTask = "not supported; leave it out or give false"
	onlyPictures = "only texts and images can be embedded by a backend of this protocol"
)

// unlessFalse makes a rule that rejects a switch only if it is true.
func (r *rule) unlessFalse() *rule {
	why := r.note
	r.fate = FateChecked
	r.note = "refused when true"
	r.check = func(name string, v value) error {
		if v.isTrue() {
			return at(name, wrong("%s", why))
		}
		return wantBool(name, v)
	}
	return r
}

// titanTextBody is the whole body (Bedrock: Amazon Titan Text).
var titanTextBody = membersAt("", passKnown, rules{
	"inputText":            taken().checking(wantString),
	"textGenerationConfig": taken(),
})

var titanTextConfig = membersAt("textGenerationConfig", refuseRest, rules{
	"maxTokenCount": sent("max_tokens", count(1)),
	"temperature":   sent("temperature", number(0, 1)),
	"topP":          sent("top_p", number(0, 1)),
	"stopSequences": sent("stop", wantStrings),
})

var titanTextObjects = []*members{titanTextBody, titanTextConfig}

// titanEmbedBody is the whole body (Bedrock: Titan Text Embeddings 1 and 2, Titan Multimodal
// Embeddings).
var titanEmbedBody = membersAt("", refuseRest, rules{
	"inputText":       taken().checking(wantString),
	"dimensions":      taken().checking(count(1)),
	"normalize":       checked("applied to the answer").checking(wantBool),
	"embeddingTypes":  checked("float, binary; applied to the answer"),
	"embeddingConfig": taken().checking(wantObject),
	"inputImage":      taken().checking(wantString),
})

var titanEmbedConfig = membersAt("embeddingConfig", refuseRest, rules{
	"outputEmbeddingLength": taken().checking(count(1)),
})

var titanEmbedObjects = []*members{titanEmbedBody, titanEmbedConfig}

// novaEmbedBody is the whole body (Bedrock: Nova Multimodal Embeddings).
var novaEmbedBody = membersAt("", refuseRest, rules{
	"schemaVersion":            checked("`nova-multimodal-embed-v1`, or absent").checking(wantString),
	"taskType":                 checked("SINGLE_EMBEDDING"),
	"singleEmbeddingParams":    taken().checking(wantObject),
	"segmentedEmbeddingParams": refused("Bedrock makes segments only in asynchronous calls; give one text per record, in singleEmbeddingParams"),
})

// novaEmbedParams describe the one embedding of a record.
var novaEmbedParams = membersAt("singleEmbeddingParams", refuseRest, rules{
	"embeddingPurpose":   ignored("model servers make the same embedding for every purpose").checking(wantString),
	"embeddingDimension": taken().checking(count(1)),
	"text":               taken().checking(wantObject),
	"image":              taken().checking(wantObject),
	"video":              refused(onlyPictures),
	"audio":              refused(onlyPictures),
})

// novaEmbedText is the text to embed.
var novaEmbedText = membersAt("singleEmbeddingParams.text", refuseRest, rules{
	"value":          taken(),
	"truncationMode": ignored(truncateNote).checking(wantString),
	"source":         taken().checking(wantObject),
})

var novaEmbedSource = membersAt("singleEmbeddingParams.text.source", refuseRest, rules{
	"bytes":      refused("give the text itself in value"),
	"s3Location": inS3(),
})

// novaEmbedImage is the image to embed.
var novaEmbedImage = membersAt("singleEmbeddingParams.image", refuseRest, rules{
	"format":      taken(),
	"source":      taken(),
	"detailLevel": ignored("the model server decides how large it reads images").checking(wantString),
})

var novaEmbedImageSource = membersAt("singleEmbeddingParams.image.source", refuseRest, rules{
	"bytes":      taken(),
	"s3Location": inS3(),
})

var novaEmbedObjects = []*members{novaEmbedBody, novaEmbedParams, novaEmbedText, novaEmbedSource, novaEmbedImage, novaEmbedImageSource}

// templatedAt returns the table of a family whose prompt contains the chat template's marks.
// limit is the family's name of max_tokens.
func templatedAt(limit string, more rules) *members {
	r := rules{
		"prompt":      taken(),
		limit:         sent("max_tokens", count(1)),
		"temperature": sent("temperature", number(0, 1)),
		"top_p":       sent("top_p", number(0, 1)),
		"images":      refused("no model server takes images beside a prompt; use Converse, or Mistral's messages with image_url"),
	}
	for name, rule := range more {
		r[name] = rule
	}
	return membersAt("", passKnown, r)
}

var (
	// Bedrock: Meta Llama.
	llamaBody = templatedAt("max_gen_len", rules{"stop": sent("stop", wantStrings), "images": taken().checking(wantArray)})
	// Bedrock: Mistral AI text completion.
	mistralBody = templatedAt("max_tokens", rules{"stop": sent("stop", wantStrings), "top_k": sent("top_k", count(0))})
	// Bedrock: DeepSeek-R1.
	deepSeekBody = templatedAt("max_tokens", rules{"stop": sent("stop", wantStrings)})
)

// cohereChatBody has the models' ranges (Bedrock: Cohere Command R). Documents are passed to
// the chat template, as vLLM expects them.
var cohereChatBody = membersAt("", passKnown, rules{
	"message":             taken(),
	"chat_history":        taken().checking(wantArray),
	"preamble":            taken().checking(wantString),
	"tools":               taken(),
	"tool_results":        taken().checking(wantArray),
	"max_tokens":          sent("max_tokens", count(1)),
	"temperature":         sent("temperature", number(0, 5)),
	"p":                   sent("top_p", number(0, 1)),
	"k":                   sent("top_k", count(0)),
	"stop_sequences":      sent("stop", wantStrings),
	"documents":           sent("documents", wantArray),
	"response_format":     taken().checking(wantObject),
	"search_queries_only": refused(noCohereTask).unlessFalse(),
	"raw_prompting":       refused(noCohereTask).unlessFalse(),
	"return_prompt":       refused(noCohereTask).unlessFalse(),
	"prompt_truncation":   ignored(truncateNote),
	"citation_quality":    ignored(citesNote),
	"force_single_step":   ignored("the model decides when its turn ends"),
})

var cohereFormat = membersAt("response_format", refuseRest, rules{
	"type":        checked("text, json_object, json_schema"),
	"schema":      taken(),
	"json_schema": taken(),
})

var cohereTurn = membersAt("chat_history", refuseRest, rules{
	"role":         checked("USER, CHATBOT, SYSTEM, TOOL"),
	"message":      taken(),
	"tool_calls":   taken(),
	"tool_results": taken(),
	"user_name":    ignored(systemNote),
})

var cohereCall = membersAt("tool_results.call", refuseRest, rules{
	"name":          taken(),
	"parameters":    taken(),
	"generation_id": ignored(systemNote),
})

var cohereResult = membersAt("tool_results", refuseRest, rules{
	"call":    taken(),
	"outputs": taken(),
})

var cohereTool = membersAt("tools", refuseRest, rules{
	"name":                  taken(),
	"description":           taken().checking(wantString),
	"parameter_definitions": taken().checking(wantObject),
})

// cohereParameter is the definition of one parameter. Further members, such as enum and
// default, are JSON Schema and passed on.
var cohereParameter = membersAt("tools.parameter_definitions.*", passRest, rules{
	"type":        mapped("Python types become JSON Schema types"),
	"description": taken(),
	"required":    taken().checking(wantBool),
})

var cohereObjects = []*members{cohereChatBody, cohereTurn, cohereResult, cohereCall, cohereTool, cohereParameter, cohereFormat}

// cohereEmbedBody is the whole body (Bedrock: Cohere Embed 3 and 4).
var cohereEmbedBody = membersAt("", refuseRest, rules{
	"texts":            taken().checking(wantStrings),
	"inputs":           taken(),
	"input_type":       ignored("model servers make the same embedding for every purpose").checking(wantString),
	"output_dimension": taken().checking(count(1)),
	"embedding_types":  checked("float, int8, uint8, binary, ubinary, base64; computed from the server's floats"),
	"images":           taken().checking(wantStrings),
	"truncate":         ignored(truncateNote),
	"max_tokens":       ignored(truncateNote),
})

var cohereInput = membersAt("inputs", refuseRest, rules{
	"content": taken(),
})

var cohereInputPart = membersAt("inputs.content", refuseRest, rules{
	"type":      checked("text, image_url"),
	"text":      taken(),
	"image_url": taken(),
})

var cohereInputImage = membersAt("inputs.content.image_url", refuseRest, rules{
	"url":    taken(),
	"detail": ignored("the model server decides how large it reads images").checking(wantString),
})

var cohereEmbedObjects = []*members{cohereEmbedBody, cohereInput, cohereInputPart, cohereInputImage}

// openaiBody is the server's own API. A member that is not in the table is sent to the server
// unchanged.
var openaiBody = membersAt("", passRest, rules{
	"messages":                     taken(),
	"model":                        checked("one of the job's names, or absent"),
	"stream":                       checked("false, or absent"),
	"stream_options":               ignored("nothing is streamed"),
	"max_tokens":                   taken().checking(count(1)),
	"max_completion_tokens":        taken().checking(count(1)),
	"temperature":                  taken().checking(number(0, 2)),
	"top_p":                        taken().checking(number(0, 1)),
	"presence_penalty":             taken().checking(number(-2, 2)),
	"frequency_penalty":            taken().checking(number(-2, 2)),
	"n":                            taken().checking(count(1)),
	"stop":                         taken(),
	"tools":                        taken().checking(wantArray),
	"tool_choice":                  taken(),
	"parallel_tool_calls":          taken(),
	"guardrailConfig":              refused(noGuardrails),
	"inferenceConfig":              refused("Extra inputs are not permitted"),
	"toolConfig":                   refused("Extra inputs are not permitted"),
	"additionalModelRequestFields": refused("Extra inputs are not permitted"),
	"anthropic_version":            refused("Extra inputs are not permitted"),
})

var openaiMessage = membersAt("messages", passRest, rules{
	"role":    taken(),
	"content": taken(),
})

var openaiObjects = []*members{openaiBody, openaiMessage}

// mistralChatBody is OpenAI's body with Mistral's additional members (Mistral AI: chat
// completion).
var mistralChatBody = membersAt("", passRest, mistralRules())

func mistralRules() rules {
	r := again(openaiBody)
	r["random_seed"] = sent("seed", nil)
	r["safe_prompt"] = ignored("write the safety prompt into a system message").checking(wantBool)
	return r
}

var mistralMessage = membersAt("messages", passRest, rules{
	"role":       taken(),
	"content":    taken(),
	"tool_calls": taken(),
	"prefix":     taken().checking(wantBool),
})

var mistralChatObjects = []*members{mistralChatBody, mistralMessage}

// openaiEmbedBody is the whole body (OpenAI: create embeddings).
var openaiEmbedBody = membersAt("", refuseRest, rules{
	"model":           checked("one of the job's names, or absent"),
	"input":           taken().checking(embeddable),
	"dimensions":      taken().checking(count(1)),
	"encoding_format": checked("float, base64; applied to the answer"),
	"user":            ignored("principals are told apart by their keys"),
})

// openaiTextBody has the members of a body that are not sent as they are (OpenAI: create completion).
var openaiTextBody = membersAt("", passRest, rules{
	"model":          checked("one of the job's names, or absent"),
	"prompt":         taken().checking(wantString),
	"stream":         checked("false, or absent"),
	"stream_options": ignored("nothing is streamed"),
	"user":           ignored("principals are told apart by their keys"),
})
