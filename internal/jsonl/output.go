package jsonl

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
)

// AppendOutput appends the output line of a record that a model answered. input must come from a line and answer be one
// JSON value; both are copied as they are, save line breaks inside answer, which JSON allows as white space only and which
// become spaces.
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

// AppendSourced is AppendOutput with a member behind the answer that names where it came from.
func AppendSourced(dst, id, input, answer []byte, from *batholith.Source) []byte {
	dst = AppendOutput(dst, id, input, answer)
	if from == nil {
		return dst
	}
	dst = append(dst[:len(dst)-len("}\n")], SourceMember...)
	dst = append(dst, `"backend":`...)
	dst, _ = jsontext.AppendQuote(dst, from.Backend) // its error says that bytes beyond UTF-8 became U+FFFD
	dst = append(dst, `,"model":`...)
	dst, _ = jsontext.AppendQuote(dst, from.Model)
	return append(dst, "}}\n"...)
}

// SourceMember is what the source begins with in a line.
const SourceMember = `,"batholith":{`

// AppendError appends the output line of a record that ended with an error.
func AppendError(dst, id, input []byte, e *batholith.RecordError) []byte {
	dst = appendHead(dst, id, input)
	dst = append(dst, `,"error":{"errorCode":`...)
	dst = strconv.AppendInt(dst, int64(e.Code), 10)
	dst = append(dst, `,"errorMessage":`...)
	dst, _ = jsontext.AppendQuote(dst, e.Message) // its error says that bytes beyond UTF-8 became U+FFFD
	return append(dst, "}}\n"...)
}

// appendHead appends what both kinds of lines begin with.
func appendHead(dst, id, input []byte) []byte {
	dst = append(dst, `{"recordId":`...)
	dst, _ = jsontext.AppendQuote(dst, id) // an id from a line is UTF-8
	dst = append(dst, `,"modelInput":`...)
	return append(dst, input...)
}
