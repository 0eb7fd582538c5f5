package openai

import (
	"bufio"
	"context"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/blob"
)

// Bounds of the errors of a batch that are answered.
const (
	mostErrors      = 100
	mostErrorsBytes = 256 << 10
)

// badLines are the lines for which a batch failed. They are in the list that validation has left in the output, which may quote records: they
// are read only for callers who may read the output. Without them the message of the job tells the first ones.
func (h *handler) badLines(ctx context.Context, who bedrock.Caller, j batholith.Job) (all []batchError) {
	if j.Status != batholith.StatusFailed || j.Counts.Processed > 0 {
		return nil
	}
	bucket, prefix, ok := splitURI(strings.TrimSuffix(j.Output.URI, "/") + "/")
	if !ok {
		return nil
	}
	key := prefix + j.ID + "/" + batholith.ValidationName
	b, err := h.Open(ctx, who, ActionRead, bucket, key)
	if err != nil {
		return nil
	}
	o, err := b.Head(ctx, key)
	if err != nil {
		return nil
	}
	r := blob.NewReader(ctx, b, key, o.ETag, 0, min(o.Bytes, mostErrorsBytes))
	defer r.Close()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, mostErrorsBytes)
	for lines.Scan() && len(all) < mostErrors {
		var l batholith.InvalidLine
		if json.Unmarshal(lines.Bytes(), &l) != nil || l.Line == 0 {
			continue // the head
		}
		code, param := codeOf(l.Reason)
		all = append(all, batchError{Code: code, Message: l.Reason, Param: param, Line: &l.Line})
	}
	return all
}

// codeOf is OpenAI's code for the reason of a bad line, and the member that it is about.
func codeOf(reason string) (code string, param *string) {
	member := func(name string) *string { return &name }
	_, said, _ := strings.Cut(reason, ": ")
	for _, r := range []struct{ begins, code, param string }{
		{"custom_id is missing", "missing_required_parameter", "custom_id"},
		{"body is missing", "missing_required_parameter", "body"},
		{"body.model is missing", "missing_required_parameter", "body.model"},
		{"body.model is", "mismatched_model", "body.model"},
		{"method is", "invalid_method", "method"},
		{"url is", "invalid_url", "url"},
	} {
		if strings.HasPrefix(reason, r.begins) || strings.HasPrefix(said, r.begins) {
			return r.code, member(r.param)
		}
	}
	return "invalid_json_line", nil
}
