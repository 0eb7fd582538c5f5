package upstream

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"html"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxSaid bounds what is repeated of a server's own message, in bytes.
const maxSaid = 500

// refusal is an answer that is no success: by its status, or by an error object inside a 200.
type refusal struct {
	status     int
	inside     bool
	said       said
	retryAfter time.Duration
}

func (r *refusal) Error() string { return http.StatusText(r.status) }

func newRefusal(resp *http.Response, body []byte) *refusal {
	return &refusal{status: resp.StatusCode, said: readSaid(body), retryAfter: retryAfter(resp.Header)}
}

// said is what an error object says. OpenAI: {"error":{"message","type","code"}}; vLLM once had the members at the top,
// Ollama has a string, FastAPI calls it "detail".
type said struct {
	Message string
	Type    string
	Code    string
	page    bool // it is a page for people; Message is its title
}

// names tells whether the error has one of these types or codes.
func (s said) names(any ...string) bool {
	return slices.Contains(any, s.Type) && s.Type != "" || slices.Contains(any, s.Code) && s.Code != ""
}

// status is the HTTP status that an error inside a 200 stands for.
func (s said) status() int {
	n := 0
	for _, c := range s.Code {
		if c < '0' || c > '9' || n > 599 {
			n = 0
			break
		}
		n = 10*n + int(c-'0')
	}
	switch {
	case n >= 400 && n <= 599:
		return n
	case s.names("invalid_request_error", "BadRequestError", "exceed_context_size_error", "context_length_exceeded"):
		return http.StatusBadRequest
	case s.names("rate_limit_error", "rate_limit_exceeded"):
		return http.StatusTooManyRequests
	case s.names("unavailable_error", "overloaded_error"):
		return http.StatusServiceUnavailable
	case s.names("authentication_error", "invalid_api_key"):
		return http.StatusUnauthorized
	}
	return http.StatusInternalServerError
}

// readSaid finds the message in an error's body, whatever its form. A body that is no JSON speaks for itself, unless it is a
// page for people.
func readSaid(body []byte) said {
	body = bytes.TrimSpace(body)
	if s, ok := readObject(body); ok {
		return s
	}
	if bytes.HasPrefix(body, []byte("<")) {
		return said{Message: title(string(body)), page: true}
	}
	return said{Message: string(body)}
}

// title is the title of a page for people: "403 Forbidden".
func title(page string) string {
	_, rest, _ := strings.Cut(page, "<title>")
	text, _, ok := strings.Cut(rest, "</title>")
	if !ok {
		return ""
	}
	return html.UnescapeString(strings.TrimSpace(text))
}

// readObject reads an error object, also the only one of a list (Gemini).
func readObject(body []byte) (said, bool) {
	var list []jsontext.Value
	if json.Unmarshal(body, &list, lenient) == nil && len(list) == 1 {
		body = list[0]
	}
	var doc map[string]jsontext.Value
	if err := json.Unmarshal(body, &doc, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return said{}, false
	}
	if e, ok := doc["error"]; ok {
		var inner map[string]jsontext.Value
		if json.Unmarshal(e, &inner, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
			return said{Message: scalar(e)}, true
		}
		doc = inner
	}
	s := said{Message: scalar(doc["message"]), Type: scalar(doc["type"]), Code: scalar(doc["code"])}
	if d, ok := doc["detail"]; ok && s.Message == "" {
		s.Message = detail(d)
	}
	s.Message = withoutInput(s.Message)
	return s, true
}

// detail reads FastAPI's list of violations: {"loc":["body","temperature"],"msg":"…","input":…}. The input is the prompt, and
// has no place in a message.
func detail(v jsontext.Value) string {
	var list []struct {
		Loc []jsontext.Value `json:"loc"`
		Msg string           `json:"msg"`
	}
	if json.Unmarshal(v, &list, lenient) != nil {
		return scalar(v)
	}
	var lines []string
	for _, e := range list {
		var path []string
		for _, l := range e.Loc {
			path = append(path, scalar(l))
		}
		lines = append(lines, strings.Join(path, ".")+": "+e.Msg)
	}
	return strings.Join(lines, "; ")
}

// withoutInput cuts a message where it repeats what was sent, as vLLM's do: "…, 'msg': 'Field required', 'input': {…}}".
func withoutInput(s string) string {
	for _, mark := range []string{"'input': ", `"input": `, `"input":`} {
		if before, _, ok := strings.Cut(s, mark); ok {
			s = strings.TrimRight(before, ", ")
		}
	}
	return s
}

// scalar is a string's content, and any other value as it is written.
func scalar(v jsontext.Value) string {
	if v.Kind() != '"' {
		if v.Kind() == 'n' {
			return ""
		}
		return string(v)
	}
	b, _ := jsontext.AppendUnquote(nil, v)
	return string(b)
}

// errorInside finds an error object where an answer should be: {"error":…}, also beside choices that are empty, or {"object":"error","message":…} (vLLM
// before 0.10, FastChat) from a proxy that loses the status. Of a long body only the first bytes are looked at: errors are short, or begin with it.
func errorInside(body []byte) (said, bool) {
	const short = 4 << 10
	head := body
	if len(body) > short {
		head = body[:200]
	}
	if !bytes.Contains(head, []byte(`"error"`)) {
		return said{}, false
	}
	var doc struct {
		Object  jsontext.Value `json:"object"`
		Error   jsontext.Value `json:"error"`
		Choices jsontext.Value `json:"choices"`
		Data    jsontext.Value `json:"data"`
	}
	if err := json.Unmarshal(body, &doc, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return said{}, false
	}
	if filled(doc.Choices) || filled(doc.Data) { // what is wrong with one of the choices is the dialect's to find
		return said{}, false
	}
	if string(doc.Object) != `"error"` && !filled(doc.Error) {
		return said{}, false
	}
	return readObject(body)
}

// filled tells whether a member has something in it: no null, no empty list, object or text.
func filled(v jsontext.Value) bool {
	switch v.Kind() {
	case '[', '{', '"':
		return len(bytes.TrimSpace(v[1:len(v)-1])) > 0
	case 't', '0':
		return true
	}
	return false
}

// isTLS tells whether no trusted connection could be made; trying again does not mend a certificate.
func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	return strings.Contains(err.Error(), "server gave HTTP response to HTTPS client")
}
