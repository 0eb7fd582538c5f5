package jsonl

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
)

// AppendOutput appends the output line of an answered record. input must be the modelInput of a
// line, and answer one JSON value. Both are copied unchanged, except that line breaks in answer
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
	dst = append(dst, `,"modelInput":`...)
	return append(dst, input...)
}
