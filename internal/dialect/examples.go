package dialect

import "github.com/batholith/batholith"

// Example is the smallest useful body of a family, and where the answer is in its output line, in jq's words.
type Example struct {
	Body   string // modelInput
	Answer string // path of the answer's text, or of an embedding's first vector
}

// examples are by family.
var examples = map[string]Example{
	"anthropic":    {`{"anthropic_version": "bedrock-2023-05-31", "max_tokens": 256, "messages": [{"role": "user", "content": "Hello!"}]}`, "modelOutput.content[0].text"},
	"nova":         {`{"messages": [{"role": "user", "content": [{"text": "Hello!"}]}], "inferenceConfig": {"maxTokens": 256}}`, "modelOutput.output.message.content[0].text"},
	"llama":        {`{"prompt": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello!<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", "max_gen_len": 256}`, "modelOutput.generation"},
	"mistral":      {`{"prompt": "<s>[INST] Hello! [/INST]", "max_tokens": 256}`, "modelOutput.outputs[0].text"},
	"cohere":       {`{"message": "Hello!", "max_tokens": 256}`, "modelOutput.text"},
	"deepseek-r1":  {`{"prompt": "<｜begin▁of▁sentence｜><｜User｜>Hello!<｜Assistant｜><think>\n", "max_tokens": 1024}`, "modelOutput.choices[0].text"},
	"titan-text":   {`{"inputText": "Hello!", "textGenerationConfig": {"maxTokenCount": 256}}`, "modelOutput.results[0].outputText"},
	"jamba":        {`{"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 256}`, "modelOutput.choices[0].message.content"},
	"openai":       {`{"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 256}`, "modelOutput.choices[0].message.content"},
	"gpt-oss":      {`{"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 1024}`, "modelOutput.choices[0].message.content"},
	"any":          {`{"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 256}`, "modelOutput.choices[0].message.content"},
	"titan-embed":  {`{"inputText": "Hello!"}`, "modelOutput.embedding"},
	"nova-embed":   {`{"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {"embeddingPurpose": "GENERIC_INDEX", "text": {"truncationMode": "END", "value": "Hello!"}}}`, "modelOutput.embeddings[0].embedding"},
	"cohere-embed": {`{"texts": ["Hello!"], "input_type": "search_document"}`, "modelOutput.embeddings[0]"},
}

// converseExample is the body of every chat family in jobs of the type Converse.
var converseExample = Example{`{"messages": [{"role": "user", "content": [{"text": "Hello!"}]}], "inferenceConfig": {"maxTokens": 256}}`, "modelOutput.output.message.content[0].text"}

// ExampleOf returns the example of a family for jobs of an invocation type. ok is false if there is none: the family is unknown, or has no
// conversations.
func ExampleOf(family string, typ batholith.InvocationType) (e Example, ok bool) {
	e, ok = examples[family]
	if typ == batholith.Converse {
		return converseExample, ok && Takes(family, typ)
	}
	return e, ok
}
