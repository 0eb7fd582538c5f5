package upstream

import (
	"fmt"
	"net/http"
	"strings"
)

// protocols lists what requests of each protocol have in common beside their bodies, which
// package dialect writes.
var protocols = []protocol{
	{name: "openai", authenticate: bearer, models: "/models"},
}

// protocol is one row of the table.
type protocol struct {
	name string
	// authenticate adds the headers that prove the backend's key, and those that every request of
	// the protocol needs. body is the request's; nil if it has none.
	authenticate func(b *Backend, req *http.Request, body []byte) error
	models       string // path of the list of models, appended to the base URL; "": the base URL itself is asked, to see whether the server is reachable
}

// protocolOf finds a row of the table. Its error names the known protocols.
func protocolOf(name string) (*protocol, error) {
	var known []string
	for i := range protocols {
		if protocols[i].name == name {
			return &protocols[i], nil
		}
		known = append(known, protocols[i].name)
	}
	return nil, fmt.Errorf("backend protocol %q is not known; known: %s", name, strings.Join(known, ", "))
}

// bearer sends the key as OAuth 2.0 does (RFC 6750).
func bearer(b *Backend, req *http.Request, _ []byte) error {
	if b.o.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+b.o.APIKey)
	}
	return nil
}
