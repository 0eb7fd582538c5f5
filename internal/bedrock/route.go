package bedrock

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// route maps a method and a raw path to an operation. The path has at most one label, a
// variable segment.
type route struct {
	operation, method    string
	before, label, after string   // path = before + label + after; label is the member that gets the segment
	body                 bool     // the input has members in the JSON body
	errors               []string // error codes that the operation declares
	call                 func(context.Context, *checker, object) (any, error)
}

// answer returns the function that runs an operation: it checks the input and, if there is no
// violation, calls run.
func answer[I, O any](check func(*checker, object) I, run func(context.Context, *I) (*O, error)) func(context.Context, *checker, object) (any, error) {
	return func(ctx context.Context, c *checker, o object) (any, error) {
		in := check(c, o)
		if err := c.err(); err != nil {
			return nil, err
		}
		out, err := run(ctx, &in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

// match extracts the label from a raw path. SDKs send an ARN as one percent-encoded segment. A
// label with unescaped slashes is accepted too, because people type it so.
func (rt route) match(path string) (label string, ok bool) {
	rest, ok := strings.CutPrefix(path, rt.before)
	if !ok || rt.label == "" {
		return "", ok && rest == ""
	}
	label, ok = strings.CutSuffix(rest, rt.after)
	return label, ok && label != ""
}

// find returns the route of a request and its percent-decoded label.
func (h *handler) find(r *http.Request) (route, string, error) {
	// The raw path: in a decoded one, the slash of an ARN would look like a separator.
	path := r.URL.EscapedPath()
	for _, rt := range h.routes {
		raw, ok := rt.match(path)
		if !ok || rt.method != r.Method {
			continue
		}
		label, err := url.PathUnescape(raw)
		if err != nil {
			return route{}, "", refuse(CodeValidation, "The path is not valid percent-encoding. Write a percent sign as %%25.")
		}
		return rt, label, nil
	}
	return route{}, "", refuse(CodeUnknownOperation, "There is no operation at %s %s.", r.Method, show(path))
}

// input collects the members of a request: from the JSON body or the query, and the label.
// Unknown members are ignored.
func (rt route) input(r *http.Request, label string, body []byte) (object, error) {
	in := object{values: map[string]any{}}
	switch {
	case rt.body:
		members, err := parse(body)
		if err != nil {
			return in, err
		}
		in.values = members
	case rt.method == http.MethodGet:
		in.plain = true
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return in, refuse(CodeValidation, "The query is not percent-encoded as it should be.")
		}
		for name, values := range query {
			if len(values) > 1 { // a signature sorts the values, so an attacker could swap them
				return in, refuse(CodeValidation, "The query parameter %s stands twice. Send it once.", show(name))
			}
			in.values[name] = values[0]
		}
	}
	if rt.label != "" {
		in.values[rt.label] = label
	}
	return in, nil
}

// parse decodes a JSON object. An empty body is an empty object. A duplicate name is rejected,
// because two parsers could pick different values.
func parse(body []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return map[string]any{}, nil
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		var at *jsontext.SyntacticError
		if errors.As(err, &at) {
			return nil, refuse(CodeSerialization, "The body is not JSON: %s at byte %d.", at.Err, at.ByteOffset)
		}
		return nil, refuse(CodeSerialization, "The body is not JSON.")
	}
	members, ok := v.(map[string]any)
	if !ok {
		return nil, refuse(CodeSerialization, "The body is not a JSON object.")
	}
	return members, nil
}
