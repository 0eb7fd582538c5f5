package upstream

import (
	"cmp"
	"net/url"
	"strings"
)

// Paths replace the paths of a protocol, for servers that have others, such as Azure's
// deployments. Each is appended to the base URL, may have a query, and may contain {model}. "" is
// the protocol's own path.
type Paths struct {
	Chat        string
	Completions string
	Embeddings  string
	Models      string
}

// of returns the path in place of one of a protocol.
func (p Paths) of(path string) string {
	switch path {
	case "/chat/completions", "/messages", "/api/chat":
		return cmp.Or(p.Chat, path)
	case "/completions", "/api/generate":
		return cmp.Or(p.Completions, path)
	case "/embeddings", "/embed", "/api/embed":
		return cmp.Or(p.Embeddings, path)
	}
	return path
}

// address returns the URL of a path below the base URL. The query of the base URL is kept, in
// front of that of the path.
func (b *Backend) address(path string) string { return b.joined(b.prefix, path) }

// beside returns the URL of a path on the server outside /v1.
func (b *Backend) beside(path string) string {
	return b.joined(strings.TrimSuffix(b.prefix, "/v1"), path)
}

func (b *Backend) joined(prefix, path string) string {
	path, query, _ := strings.Cut(strings.ReplaceAll(path, "{model}", url.PathEscape(b.ModelName())), "?")
	switch base := b.base.RawQuery; {
	case base != "" && query != "":
		query = base + "&" + query
	case base != "":
		query = base
	}
	if query != "" {
		path += "?" + query
	}
	return prefix + path
}

// prefixOf returns a base URL without its query, and without slashes at its end.
func prefixOf(base *url.URL) string {
	u := *base
	u.RawQuery, u.Fragment, u.ForceQuery = "", "", false
	return strings.TrimRight(u.String(), "/")
}
