package preview

import (
	"cmp"
	"encoding/json"
	"net/http"

	"github.com/batholith/batholith"
)

// Line is a line of an output, in Bedrock's or OpenAI's form.
type Line struct {
	ID      string                 // recordId or custom_id; "": the line has none
	Input   json.RawMessage        // modelInput; OpenAI's lines do not repeat it
	Output  json.RawMessage        // modelOutput, or the body of an answer
	Error   *batholith.RecordError // of a failed record
	Untried string                 // why the record was never tried, in OpenAI's lines
}

// ParseLine reads a line. It returns an error if the line is not JSON.
func ParseLine(line []byte) (l Line, err error) {
	var members struct {
		ID     string          `json:"recordId"`
		Input  json.RawMessage `json:"modelInput"`
		Output json.RawMessage `json:"modelOutput"`
		Error  *struct {
			batholith.RecordError
			Untried string `json:"message"` // in OpenAI's lines
		} `json:"error"`

		CustomID string `json:"custom_id"`
		Response *struct {
			Status int             `json:"status_code"`
			Body   json.RawMessage `json:"body"`
		} `json:"response"`
	}
	if err := json.Unmarshal(line, &members); err != nil {
		return l, err
	}
	l = Line{ID: cmp.Or(members.ID, members.CustomID), Input: members.Input, Output: members.Output}
	switch r, e := members.Response, members.Error; {
	case r != nil && r.Status == http.StatusOK:
		l.Output = r.Body
	case r != nil:
		var body struct {
			Error struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		_ = json.Unmarshal(r.Body, &body) // a body of another form has no message
		l.Error = &batholith.RecordError{Code: r.Status, Message: body.Error.Message}
	case e != nil && e.Untried != "":
		l.Untried = e.Untried
	case e != nil:
		l.Error = &e.RecordError
	}
	return l, nil
}
