package jsonl

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/jsonscan"
)

// AppendOutput appends the output line of an answered record. input must be the modelInput of a
// line, or nil for an output without it, and answer one JSON value. Both are copied unchanged, except that line breaks in answer
// become spaces (in JSON, a raw line break can only be white space).
func AppendOutput(dst, id, input, answer []byte) []byte {
	dst = appendHead(dst, id, input)
	dst = append(dst, `,"modelOutput":`...)
	start := len(dst)
	dst = append(dst, answer...)
	for start < len(dst) {
		i := bytes.IndexByte(dst[start:], '\n')
		if i < 0 {
			break
		}
		start += i
		dst[start] = ' '
	}
	return append(dst, "}\n"...)
}

// AppendSourced is AppendOutput with the additional member "batholith", which names the
// answer's origin. from may be nil.
func AppendSourced(dst, id, input, answer []byte, from *batholith.Source) []byte {
	dst = AppendOutput(dst, id, input, answer)
	if from == nil {
		return dst
	}
	dst = append(dst[:len(dst)-len("}\n")], SourceMember...)
	dst = append(dst, `"backend":`...)
	dst, _ = jsontext.AppendQuote(dst, from.Backend) // the error only means that invalid UTF-8 became U+FFFD
	dst = append(dst, `,"model":`...)
	dst, _ = jsontext.AppendQuote(dst, from.Model)
	return append(dst, "}}\n"...)
}

// SourceMember is the beginning of the additional member.
const SourceMember = `,"batholith":{`

// AppendError appends the output line of a record that ended with an error.
func AppendError(dst, id, input []byte, e *batholith.RecordError) []byte {
	dst = appendHead(dst, id, input)
	dst = append(dst, `,"error":{"errorCode":`...)
	dst = strconv.AppendInt(dst, int64(e.Code), 10)
	dst = append(dst, `,"errorMessage":`...)
	dst, _ = jsontext.AppendQuote(dst, e.Message) // the error only means that invalid UTF-8 became U+FFFD
	return append(dst, "}}\n"...)
}

// appendHead appends the common beginning of both kinds of lines.
func appendHead(dst, id, input []byte) []byte {
	dst = append(dst, `{"recordId":`...)
	dst, _ = jsontext.AppendQuote(dst, id) // cannot fail: ids from lines are valid UTF-8
	if input == nil {
		return dst
	}
	dst = append(dst, `,"modelInput":`...)
	return append(dst, input...)
}

// EchoesInput reports whether an output line, as AppendOutput and AppendError write it, has the
// record's modelInput.
func EchoesInput(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte(`{"recordId":"`))
	for i := 0; ok && i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '"':
			return bytes.HasPrefix(rest[i+1:], []byte(`,"modelInput":`))
		}
	}
	return true
}

// outputMember follows modelInput in the line of an answer.
const outputMember = `,"modelOutput":`

// Answered is what the line of an answered record says.
type Answered struct {
	ID, Input, Output      []byte // recordId, unquoted; modelInput and modelOutput as they are in the line
	BackendName, ModelName string // of its member "batholith"; "": it has none
}

// ParseAnswer reads an output line as AppendOutput and AppendSourced write it. answered is false for every other line:
// an error line, one without modelInput, one that another program wrote, and one that is damaged. The slices are those
// of line, unless the id contains escapes.
func ParseAnswer(line []byte) (a Answered, answered bool) {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	m, ok := check(line, batholith.LinesBedrock)
	if !ok {
		var reason string
		if m, reason = examine(line, batholith.LinesBedrock); reason != "" {
			return a, false
		}
	}
	if m.id.absent() || m.input.absent() || !bytes.HasPrefix(line[m.input.to:], []byte(outputMember)) {
		return a, false
	}
	from := m.input.to + len(outputMember)
	var w jsonscan.Walker
	to := w.Value(line, from, 1)
	if to < 0 {
		return a, false
	}
	a.ID, _ = unquote(line, m.id, nil)
	a.Input, a.Output = m.input.of(line), line[from:to]
	rest := line[to:]
	if string(rest) == "}" {
		return a, true
	}
	var source struct {
		Backend string `json:"backend"`
		Model   string `json:"model"`
	}
	member, is := bytes.CutPrefix(rest, []byte(SourceMember))
	if !is || json.Unmarshal(append([]byte{'{'}, member[:len(member)-1]...), &source) != nil {
		return a, false
	}
	a.BackendName, a.ModelName = source.Backend, source.Model
	return a, true
}
