package dialect

// The paths of an OpenAI-compatible server.
const (
	chatPath        = "/chat/completions"
	completionsPath = "/completions"
	embeddingsPath  = "/embeddings"
)

// PathOf is the backend path that a record of d goes to, "/chat/completions" for most. It reads the input only for families whose bodies
// go to different paths, and only the names of its members. Bodies that d refuses, and dialects that are not of this package, have the path of
// a chat.
func PathOf(d Dialect, input []byte) string { return pathOf(d, trim(input)) }

// pather is a dialect or a translator whose calls do not all go to the path of a chat.
type pather interface{ path(body value) string }

func pathOf(d any, body value) string {
	if p, ok := d.(pather); ok {
		return p.path(body)
	}
	return chatPath
}

func (templated) path(value) string   { return completionsPath }
func (titanEmbed) path(value) string  { return embeddingsPath }
func (novaEmbed) path(value) string   { return embeddingsPath }
func (cohereEmbed) path(value) string { return embeddingsPath }

// alwaysChat is a family with several bodies that all go to one path, so that it need not be read off the body.
type alwaysChat struct{ byShape }

func (alwaysChat) path(value) string { return chatPath }
