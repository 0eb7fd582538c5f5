package dialect

// Paths of an OpenAI-compatible server, appended to the backend's base URL.
const (
	chatPath        = "/chat/completions"
	completionsPath = "/completions"
	embeddingsPath  = "/embeddings"
)

// PathOf returns the path to which a record of d goes. It reads the input only for families
// with several paths, and only its member names. For bodies that d rejects, and for other
// implementations of Dialect, it returns the path of a chat.
func PathOf(d Dialect, input []byte) string { return pathOf(d, trim(input)) }

// pather is implemented by dialects and translators whose calls may go to another path than a
// chat's.
type pather interface{ path(body value) string }

// pathOf is PathOf for a trimmed body.
func pathOf(d any, body value) string {
	if p, ok := d.(pather); ok {
		return p.path(body)
	}
	return chatPath
}

func (titanEmbed) path(value) string  { return embeddingsPath }
func (novaEmbed) path(value) string   { return embeddingsPath }
func (cohereEmbed) path(value) string { return embeddingsPath }
func (openAIEmbed) path(value) string { return embeddingsPath }
func (openAIText) path(value) string  { return completionsPath }

// path implements pather: a prompt with images goes to a chat.
func (d templated) path(body value) string {
	if d.hasImages(body) {
		return chatPath
	}
	return completionsPath
}

// alwaysChat is a family with several formats that all go to /chat/completions, so the body
// need not be read for the path.
type alwaysChat struct{ byShape }

func (alwaysChat) path(value) string { return chatPath }
