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

// route is how an operation is reached: a method, and a raw path with at most one label.
type route struct {
	operation, method    string
	before, label, after string
	body                 bool     // the input has members in a JSON body
	errors               []string // what the operation declares
	call                 func(context.Context, *checker, object) (any, error)
}

// answer makes the call of an operation: check the input, then run it.
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

// match finds the label in a raw path. All SDKs send an ARN as one escaped segment; a label with a raw slash is taken too, as
// people type it.
func (rt route) match(path string) (label string, ok bool) {
	rest, ok := strings.CutPrefix(path, rt.before)
	if !ok || rt.label == "" {
		return "", ok && rest == ""
	}
	label, ok = strings.CutSuffix(rest, rt.after)
	return label, ok && label != ""
}

// find returns the route of a request and its label, decoded once.
func (h *handler) find(r *http.Request) (route, string, error) {
	path := r.URL.EscapedPath()
	for _, rt := range h.routes {
		raw, ok := rt.match(path)
		if !ok || rt.method != r.Method {
			continue
		}
		label, err := url.PathUnescape(raw)
		if err != nil {
			return route{}, "", refuse(CodeValidation, "The path is not percent-encoded as it should be.")
		}
		return rt, label, nil
	}
	return route{}, "", refuse(CodeUnknownOperation, "There is no operation at %s %s.", r.Method, show(path))
}

// input gathers the members of a request: those of the body or of the query, and the label. What an operation does not
// know is ignored.
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
			if len(values) > 1 { // a signature covers the values in an order of its own, so that anybody may exchange them
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

// parse reads the object that a body is. No body is an empty object; a name that stands twice is refused, since two readers
// would see two requests.
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
