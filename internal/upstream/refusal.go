package upstream

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxSaid is the maximum number of bytes of a server's message that are repeated or searched.
const maxSaid = 500

// refusal is an error answer: a status other than 200, or an error object in a 200.
type refusal struct {
	status     int
	inside     bool // the error is in a 200 answer
	said       said
	retryAfter time.Duration
	again      bool // see protocol.again
}

// Error does not quote the server.
func (r *refusal) Error() string { return http.StatusText(r.status) }

func newRefusal(resp *http.Response, body []byte) *refusal {
	said := readSaid(body)
	said.Type = errorType(resp.Header, said.Type)
	return &refusal{status: resp.StatusCode, said: said, retryAfter: retryAfter(resp.Header)}
}

// said is the content of an error object. OpenAI sends {"error":{"message","type","code"}}; old
// vLLM versions have the members at the top level, Ollama sends a string, FastAPI calls it
// "detail", and AWS has "__type" or a header for the type.
type said struct {
	Message string
	Type    string
	Code    string
	page    bool // the body is an HTML page, and Message is its title
}

// names reports whether the error has one of these types or codes.
func (s said) names(any ...string) bool {
	return slices.Contains(any, s.Type) && s.Type != "" || slices.Contains(any, s.Code) && s.Code != ""
}

// status returns the HTTP status that an error inside a 200 corresponds to; 500 if unknown.
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

// readSaid extracts the message from an error's body, whatever its format, without a quoted
// request. A text that is neither JSON nor HTML is the message itself.
func readSaid(body []byte) said {
	body = bytes.TrimSpace(body)
	if s, ok := readObject(body); ok {
		return s
	}
	if bytes.HasPrefix(body, []byte("<")) {
		return said{Message: title(string(body)), page: true}
	}
	return said{Message: withoutInput(string(body))}
}

// title returns the title of an HTML page, for example "403 Forbidden".
func title(page string) string {
	_, rest, _ := strings.Cut(page, "<title>")
	text, _, ok := strings.Cut(rest, "</title>")
	if !ok {
		return ""
	}
	return html.UnescapeString(strings.TrimSpace(text))
}

// readObject parses an error object, or a list that contains one (Gemini).
func readObject(body []byte) (said, bool) {
	var list []jsontext.Value
	if json.Unmarshal(body, &list, lenient) == nil && len(list) == 1 {
		body = list[0]
	}
	var doc map[string]jsontext.Value
	if err := json.Unmarshal(body, &doc, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return said{}, false
	}
	// OpenAI nests the error; others have its members at the top level.
	if e, ok := doc["error"]; ok {
		var inner map[string]jsontext.Value
		if json.Unmarshal(e, &inner, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
			return said{Message: withoutInput(scalar(e))}, true
		}
		doc = inner
	}
	s := said{Message: cmp.Or(scalar(doc["message"]), scalar(doc["Message"])), Type: cmp.Or(scalar(doc["type"]), scalar(doc["__type"])), Code: scalar(doc["code"])}
	if d, ok := doc["detail"]; ok && s.Message == "" {
		s.Message = detail(d)
	}
	s.Message = withoutInput(s.Message)
	return s, true
}

// detail formats FastAPI's list of violations:
// {"loc":["body","temperature"],"msg":"…","input":…}. It drops input, because that is the
// prompt.
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

// quotedInput matches where a quoted request begins in a message: FastAPI's lists as vLLM and SGLang print them ("…, 'msg': 'Field required',
// 'input': {…}}"), also as JSON in a JSON string, and Pydantic's text ("Field required [type=missing, input_value={…}, input_type=dict]").
var quotedInput = regexp.MustCompile(`,?\s*(?:\\*["']input\\*["']\s*:|\binput_value=)`)

// withoutInput cuts a message before a quoted request.
func withoutInput(s string) string {
	if at := quotedInput.FindStringIndex(s); at != nil {
		return strings.TrimRight(s[:at[0]], ", ")
	}
	return s
}

// scalar returns the content of a JSON string, "" for null, and the JSON text of any other
// value.
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

// errorInside finds an error object in a 200 answer: {"error":…}, possibly beside empty
// choices, or {"object":"error","message":…} (FastChat, and vLLM before 0.10, behind a proxy
// that changes the status). In a body above 4 KiB only the first 200 bytes are searched: error
// bodies are short or begin with the error.
func errorInside(body []byte) (said, bool) {
	const short = 4 << 10
	head := body // the part that is searched for "error"
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
	if filled(doc.Choices) || filled(doc.Data) { // errors within one choice are handled by the dialect
		return said{}, false
	}
	if string(doc.Object) != `"error"` && !filled(doc.Error) {
		return said{}, false
	}
	return readObject(body)
}

// filled reports whether a JSON value is not null, false, or an empty list, object or string.
func filled(v jsontext.Value) bool {
	switch v.Kind() {
	case '[', '{', '"':
		return len(bytes.TrimSpace(v[1:len(v)-1])) > 0
	case 't', '0':
		return true
	}
	return false
}

// isTLS reports whether TLS failed. A retry cannot repair a certificate.
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
