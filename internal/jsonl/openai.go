package jsonl

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/jsonscan"
)

// expectedOpenAI is expected for OpenAI's lines.
const expectedOpenAI = `; expected is one object {"custom_id": "…", "method": "POST", "url": "` + batholith.ChatEndpoint + `", "body": {…}} on a line`

// inputName is the name of the member with the body.
func inputName(lines batholith.Lines) string {
	if lines == batholith.LinesOpenAI {
		return "body"
	}
	return "modelInput"
}

// unfit returns what is wrong with the members of an OpenAI line that has a body; "": nothing. method and url may be missing: they have one
// value each.
func (m *members) unfit(line []byte) string {
	if m.lines != batholith.LinesOpenAI {
		return ""
	}
	if m.id.absent() {
		return "custom_id is missing" + expectedOpenAI
	}
	if !m.method.absent() && string(m.method.of(line)) != `"POST"` {
		return fmt.Sprintf("column %d: method is not POST", m.method.from+1)
	}
	if s := m.url; !s.absent() && m.endpoint(line) == "" {
		return fmt.Sprintf("column %d: url is not one of %s, the endpoints of batches here", s.from+1, strings.Join(batholith.Endpoints(), ", "))
	}
	return ""
}

// endpoint returns the url of a line; "": it has none, or one that no line can have.
func (m *members) endpoint(line []byte) string {
	if m.url.absent() {
		return ""
	}
	text := m.url.of(line)
	if e := batholith.EndpointIn(text[1 : len(text)-1]); e != "" {
		return e
	}
	return batholith.EndpointIn(unquoted(text)) // slashes may be escaped
}

// unquoted returns the text of a JSON string, in which slashes may be escaped.
func unquoted(text []byte) []byte {
	b, _ := jsontext.AppendUnquote(nil, text)
	return b
}

// missingOpenAI is missing for OpenAI's lines.
func missingOpenAI(line []byte) string {
	why := ""
	dec := jsontext.NewDecoder(bytes.NewReader(line), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	_, err := dec.ReadToken()
	for err == nil && dec.PeekKind() == '"' {
		var name jsontext.Token
		if name, err = dec.ReadToken(); err != nil {
			break
		}
		switch strings.ToLower(name.String()) {
		case "modelinput":
			why = ` (there is a "modelInput", as in Bedrock's lines; it is "body" here, and "recordId" is "custom_id")`
		case "messages":
			why = ` (there are "messages"; the whole body goes inside "body")`
		}
		err = dec.SkipValue()
	}
	return "body is missing" + why + expectedOpenAI
}

// ModelIn returns the text of the member "model" of a body. ok is false if it has none, or one that is no string.
func ModelIn(body []byte) (name string, ok bool) {
	var w jsonscan.Walker
	i := space(body, 0)
	if at(body, i) != '{' {
		return "", false
	}
	for {
		i = space(body, i+1)
		if at(body, i) != '"' {
			return "", false
		}
		from := i
		if i = w.Text(body, i+1); i < 0 {
			return "", false
		}
		is := string(unquoted(body[from:i])) == "model"
		if i = space(body, i); at(body, i) != ':' {
			return "", false
		}
		from = space(body, i+1)
		if i = w.Value(body, from, 1); i < 0 {
			return "", false
		}
		if is {
			if body[from] != '"' {
				return "", false
			}
			return string(unquoted(body[from:i])), true
		}
		if i = space(body, i); at(body, i) != ',' {
			return "", false
		}
	}
}

// errOutputLine marks a line that AppendOutput and AppendError did not write.
var errOutputLine = errors.New("it is no output line")

// AppendOpenAI appends the output line of a record in OpenAI's form. line is the same in Bedrock's form, as AppendOutput, AppendSourced and
// AppendError write it; modelInput is left out. of names the record: see OpenAIHead. The body of an answer is modelOutput, byte for byte. The
// body of an error is one of OpenAI's:
//
//	{"id":"batch_req_…","custom_id":"…","response":{"status_code":200,"request_id":"req_…","body":{…}},"error":null}
func AppendOpenAI(dst []byte, job string, key batholith.RecordKey, line []byte) ([]byte, error) {
	var w jsonscan.Walker
	rest, ok := bytes.CutPrefix(bytes.TrimSuffix(line, []byte("\n")), []byte(`{"recordId":`))
	if !ok || at(rest, 0) != '"' {
		return dst, errOutputLine
	}
	end := w.Text(rest, 1)
	if end < 0 {
		return dst, errOutputLine
	}
	id, rest := rest[:end], rest[end:]
	if after, echoed := bytes.CutPrefix(rest, []byte(`,"modelInput":`)); echoed {
		if end = w.Value(after, 0, 1); end < 0 {
			return dst, errOutputLine
		}
		rest = after[end:]
	}
	dst = appendOpenAIHead(dst, job, key, id)
	if answer, is := bytes.CutPrefix(rest, []byte(outputMember)); is {
		if end = w.Value(answer, 0, 1); end < 0 {
			return dst, errOutputLine
		}
		dst = append(dst, `{"status_code":200`...)
		dst = appendRequestID(dst, job, key)
		dst = append(append(dst, answer[:end]...), `},"error":null`...)
		return append(append(dst, answer[end:]...), '\n'), nil // the member "batholith" and the brace, as they are
	}
	var e struct {
		Error *batholith.RecordError `json:"error"`
	}
	if !bytes.HasPrefix(rest, []byte(`,"error":`)) || json.Unmarshal(append([]byte("{"), rest[1:]...), &e) != nil || e.Error == nil {
		return dst, errOutputLine
	}
	dst = strconv.AppendInt(append(dst, `{"status_code":`...), int64(e.Error.Code), 10)
	dst = appendRequestID(dst, job, key)
	dst = append(dst, `{"error":{"message":`...)
	dst, _ = jsontext.AppendQuote(dst, e.Error.Message)
	dst = append(dst, `,"type":"`...)
	dst = append(dst, ErrorType(e.Error.Code)...)
	return append(dst, `","param":null,"code":null}}},"error":null}`+"\n"...), nil
}

// AppendUntried appends the output line of a record that was never tried. id is its custom_id; nil: that is not known, and null in the line.
//
//	{"id":"batch_req_…","custom_id":"…","response":null,"error":{"code":"batch_expired","message":"…"}}
func AppendUntried(dst []byte, job string, key batholith.RecordKey, id []byte, code, message string) []byte {
	dst = append(OpenAIHead(dst, job, key, id), `null,"error":{"code":`...)
	dst, _ = jsontext.AppendQuote(dst, code)
	dst = append(dst, `,"message":`...)
	dst, _ = jsontext.AppendQuote(dst, message)
	return append(dst, "}}\n"...)
}

// OpenAIHead appends what the output line of a record in OpenAI's form begins with, up to the value of response. The line of each record of a job
// begins with other bytes. A nil id is null.
func OpenAIHead(dst []byte, job string, key batholith.RecordKey, id []byte) []byte {
	quoted := []byte("null")
	if id != nil {
		quoted, _ = jsontext.AppendQuote(nil, id) // cannot fail: ids from lines are valid UTF-8
	}
	return appendOpenAIHead(dst, job, key, quoted)
}

func appendOpenAIHead(dst []byte, job string, key batholith.RecordKey, id []byte) []byte {
	dst = append(append(dst, `{"id":"batch_req_`...), place(job, key)...)
	dst = append(append(dst, `","custom_id":`...), id...)
	return append(dst, `,"response":`...)
}

func appendRequestID(dst []byte, job string, key batholith.RecordKey) []byte {
	dst = append(append(dst, `,"request_id":"req_`...), place(job, key)...)
	return append(dst, `","body":`...)
}

// place names a record among those of all jobs. It is the same from every publisher.
func place(job string, key batholith.RecordKey) string {
	return job + "_" + MakeID(job, key.File, key.Record)
}

// ErrorType is the type of an error in OpenAI's API that has an HTTP status.
func ErrorType(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "authentication_error"
	case status == http.StatusForbidden:
		return "permission_error"
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status >= http.StatusInternalServerError || status == http.StatusRequestTimeout || status == http.StatusFailedDependency:
		return "server_error"
	}
	return "invalid_request_error"
}
