package upstream

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/batholith/batholith/internal/release"
)

// header is a header of each request.
type header struct {
	name   string
	value  *credential
	hidden bool
}

// secrets prepares the API key and the headers of a backend. It reads their files.
func (b *Backend) secrets(o Options) (err error) {
	if b.key, err = newCredential(o.APIKey, o.APIKeyFile); err != nil {
		return err
	}
	for _, h := range o.Headers {
		value, err := newCredential(h.Value, h.File)
		if err != nil {
			return fmt.Errorf("header %s: %w", h.Name, err)
		}
		b.headers = append(b.headers, header{h.Name, value, h.Secret || h.File != ""})
	}
	return nil
}

// sign adds the name of this program, the backend's headers and the key to a request. body is the request's; nil if it has
// none.
func (b *Backend) sign(req *http.Request, body []byte) error {
	req.Header.Set("User-Agent", release.Product())
	for _, h := range b.headers {
		req.Header.Set(h.name, h.value.value())
	}
	if key := b.key.value(); key != "" && b.o.APIKeyHeader != "" {
		req.Header.Set(b.o.APIKeyHeader, key)
	}
	return b.protocol.authenticate(b, req, body)
}

// protocolKey is the present API key for the header of the protocol; "" if there is none, or if
// APIKeyHeader carries it.
func (b *Backend) protocolKey() string {
	if b.o.APIKeyHeader != "" {
		return ""
	}
	return b.key.value()
}

// withoutKey replaces the API key and secret headers in a text.
func (b *Backend) withoutKey(s string) string {
	s = without(s, b.key.value())
	for _, h := range b.headers {
		if h.hidden {
			s = without(s, h.value.value())
		}
	}
	return s
}

// without replaces a secret in a text.
func without(s, secret string) string {
	if secret == "" {
		return s
	}
	return strings.ReplaceAll(s, secret, "[key]")
}
