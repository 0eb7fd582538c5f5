package cli

import (
	"cmp"
	"os"
	"os/exec"
	"strings"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/dialect"
)

// helloBodies are minimal bodies of the families whose bodies have no messages.
var helloBodies = map[string]string{
	"anthropic":    `{"anthropic_version":"bedrock-2023-05-31","max_tokens":32,"messages":[{"role":"user","content":"Hello!"}]}`,
	"nova":         `{"schemaVersion":"messages-v1","messages":[{"role":"user","content":[{"text":"Hello!"}]}]}`,
	"nova-embed":   `{"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingPurpose":"GENERIC_INDEX","text":{"truncationMode":"END","value":"Hello!"}}}`,
	"titan-text":   `{"inputText":"Hello!"}`,
	"titan-embed":  `{"inputText":"Hello!"}`,
	"llama":        `{"prompt":"Hello!","max_gen_len":32}`,
	"deepseek-r1":  `{"prompt":"Hello!","max_tokens":32}`,
	"mistral":      `{"prompt":"Hello!","max_tokens":32}`,
	"cohere":       `{"message":"Hello!"}`,
	"cohere-embed": `{"texts":["Hello!"],"input_type":"search_document"}`,
}

// helloBody returns a minimal body for a model of the family, as JSON. Families that are not listed take messages
// and max_tokens.
func helloBody(family string) string {
	return cmp.Or(helloBodies[family], `{"messages":[{"role":"user","content":"Hello!"}],"max_tokens":32}`)
}

// firstModel returns the model that a first test uses, and its family: the first of the settings, otherwise the
// embedded one. The family selects the body of the first record.
func firstModel(c *config.Config) (id, family string) {
	if len(c.Models) == 0 {
		return embeddedModel, dialect.FamilyAny
	}
	m := c.Models[0]
	return m.ID, cmp.Or(m.Family, dialect.FamilyOf(m.ID))
}

// commandName returns what the user must type to run this program: its name if PATH has it, otherwise the path
// with which it was started. The next commands that serve prints begin with it.
func commandName() string {
	const name = "batholith"
	if _, err := exec.LookPath(name); err == nil || !strings.ContainsRune(os.Args[0], os.PathSeparator) {
		return name
	}
	return os.Args[0]
}
