package dialect

import "github.com/batholith/batholith"

// Example is the smallest useful body of a family, and where the answer is in its output line, in jq's words.
type Example struct {
	Body   string // modelInput
	Answer string // path of the answer's text, or of an embedding's first vector
}

// answerPaths are by family.
var answerPaths = map[string]string{
	"anthropic":    "modelOutput.content[0].text",
	"nova":         converseAnswerPath,
	"llama":        "modelOutput.generation",
	"mistral":      "modelOutput.outputs[0].text",
	"cohere":       "modelOutput.text",
	"deepseek-r1":  "modelOutput.choices[0].text",
	"titan-text":   "modelOutput.results[0].outputText",
	"jamba":        "modelOutput.choices[0].message.content",
	"openai":       "modelOutput.choices[0].message.content",
	"gpt-oss":      "modelOutput.choices[0].message.content",
	FamilyAny:      "modelOutput.choices[0].message.content",
	"titan-embed":  "modelOutput.embedding",
	"nova-embed":   "modelOutput.embeddings[0].embedding",
	"cohere-embed": "modelOutput.embeddings[0]",
}

// converseAnswerPath is the path of the answer of every chat family in jobs of the type Converse.
const converseAnswerPath = "modelOutput.output.message.content[0].text"

// exampleMax is the limit of output tokens in examples; models that think first get a higher one.
var exampleMax = map[string]int64{"gpt-oss": 1024, "deepseek-r1": 1024}

// ExampleOf returns the example of a family for jobs of an invocation type. ok is false if there is none: the family is unknown, or has no
// conversations.
func ExampleOf(family string, typ batholith.InvocationType) (e Example, ok bool) {
	ask := Ask{Text: "Hello!"}
	if Takes(family, batholith.Converse) {
		if ask.MaxTokens = 256; typ != batholith.Converse && exampleMax[family] > 0 {
			ask.MaxTokens = exampleMax[family]
		}
	}
	body, err := Compose(family, typ, ask)
	if err != nil {
		return e, false
	}
	e = Example{Body: spaced(body), Answer: answerPaths[family]}
	if typ == batholith.Converse {
		e.Answer = converseAnswerPath
	}
	return e, true
}

// spaced returns compact JSON with a blank after each colon and comma, for people.
func spaced(v value) string {
	var b []byte
	for i := 0; i < len(v); {
		if v[i] == '"' {
			end := skipString(v, i)
			b = append(b, v[i:end]...)
			i = end
			continue
		}
		if b = append(b, v[i]); v[i] == ':' || v[i] == ',' {
			b = append(b, ' ')
		}
		i++
	}
	return string(b)
}
