package dialect

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/document"
)

// TestANameOfNoFamilyTakesTheBodiesOfEach: what a family makes of a body, a model without one makes of it too.
func TestANameOfNoFamilyTakesTheBodiesOfEach(t *testing.T) {
	bare, err := For(FamilyOf("my-model"), ProtocolOpenAI, batholith.InvokeModel, Options{Names: []string{"my-model"}, Documents: document.Here{}})
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, file := range goldenFiles(t) {
		if filepath.Base(filepath.Dir(file)) != "golden" {
			continue // another protocol than that of the bare name
		}
		d, cases := readGolden(t, file)
		for _, g := range cases {
			switch name := filepath.Base(file) + " " + g.name; {
			case strings.HasPrefix(name, "any."), strings.Contains(string(g.request), `"model"`):
				continue
			case strings.HasPrefix(name, "deepseek-r1.") && !strings.Contains(string(g.request), "<｜"):
				continue // without its marks a prompt is not known to be DeepSeek's
			case strings.HasPrefix(name, "titan-embed.") && !shapeOf(trim(g.request)).has(vectorMark):
				continue // a text alone is Titan text's
			}
			call, err := d.Request(g.request, "served")
			if err != nil {
				continue
			}
			taken++
			got, err := bare.Request(g.request, "served")
			if err != nil || string(got.Body) != string(call.Body) || got.Path != call.Path || PathOf(bare, g.request) != call.Path {
				t.Errorf("%s %s: a bare name sends %s %s (%v), its family %s %s", file, g.name, got.Path, got.Body, err, call.Path, call.Body)
			}
		}
	}
	if taken < 50 {
		t.Errorf("only %d bodies were tried", taken)
	}
}

func TestTheShapeOfABodyTellsItsFamily(t *testing.T) {
	bodies := anyBodies(Options{}).(byShape)
	for _, c := range []struct{ body, want string }{
		{`{"message":"x","stop_sequences":["a"]}`, "cohere"},
		{`{"messages":[{"role":"user","content":"x"}],"thinking":{"type":"enabled"}}`, "openai"},
		{`{"messages":[{"role":"user","content":"x"}],"thinking":{"type":"enabled","budget_tokens":9}}`, "anthropic"},
		{`{"messages":[{"role":"user","content":"x"}],"stop_sequences":["a"]}`, "anthropic"},
		{`{"messages":[{"role":"user","content":"x"}],"tools":[{"name":"f","input_schema":{}}]}`, "anthropic"},
		{`{"messages":[{"role":"user","content":[{"type":"document","source":{}}]}]}`, "anthropic"},
		{`{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"max_new_tokens":9}}`, "nova"},
		{`{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"maxTokens":9,"topK":1}}`, "nova"},
		{`{"messages":[{"role":"user","content":[{"text":"x"}]}],"schemaVersion":"messages-v1"}`, "nova"},
		{`{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"maxTokens":9}}`, "converse"},
		{`{"messages":[{"role":"user","content":[{"video":{}}]}]}`, "converse"},
		{`{"prompt":"\n\nHuman: x\n\nAssistant:","max_tokens_to_sample":9}`, "claudeText"},
		{`{"prompt":"x","max_gen_len":9}`, "templated"},
		{`{"texts":["x"],"input_type":"search_query"}`, "cohereEmbed"},
		{`{"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{}}`, "novaEmbed"},
		{`{"inputText":"x","embeddingConfig":{}}`, "titanEmbed"},
		{`{"inputText":"x"}`, "titanText"},
	} {
		of, err := bodies(value(c.body))
		if err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		if got := typeName(of); got != c.want {
			t.Errorf("%s is taken for %s, want %s", c.body, got, c.want)
		}
	}
}
