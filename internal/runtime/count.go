package runtime

import (
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
)

// headerCount says whether an answer of CountTokens is exact or an estimate. It is not part of Bedrock; SDKs ignore it.
const headerCount = "X-Batholith-Token-Count"

// count answers CountTokens: the input tokens of a body of InvokeModel or Converse.
func (h *handler) count(c *call, w http.ResponseWriter) error {
	if err := object(c.body); err != nil {
		return err
	}
	var in struct {
		Input struct {
			InvokeModel *struct {
				Body []byte `json:"body"`
			} `json:"invokeModel"`
			Converse jsontext.Value `json:"converse"`
		} `json:"input"`
	}
	if err := json.Unmarshal(c.body, &in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return validation("The body does not fit CountTokens. input.invokeModel.body must be a body of InvokeModel in Base64; input.converse must be a body of Converse.")
	}
	invoked, conversed := in.Input.InvokeModel, in.Input.Converse
	typ, body := batholith.Converse, []byte(conversed)
	switch {
	case (invoked == nil) == (len(conversed) == 0 || string(conversed) == "null"):
		return validation("input must have exactly one of invokeModel and converse.")
	case invoked != nil:
		typ, body = batholith.InvokeModel, invoked.Body
	}
	if err := object(body); err != nil {
		return err
	}
	tokens, exact, err := h.Lanes.Count(c.http.Context(), Ask{Model: c.name, Type: typ, Body: body, Who: c.who})
	if err != nil {
		return err
	}
	w.Header().Set(headerCount, counted(exact))
	send(w, []byte(`{"inputTokens":`+strconv.FormatInt(tokens, 10)+`}`))
	return nil
}

// counted is the value of headerCount.
func counted(exact bool) string {
	if exact {
		return "exact"
	}
	return "estimate"
}
