package jsonl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
)

// expected ends the reasons that concern the whole line.
const expected = `; expected is one object {"recordId": "…", "modelInput": {…}} on a line`

// expectedIn is expected for a form of lines.
func expectedIn(lines batholith.Lines) string {
	if lines == batholith.LinesOpenAI {
		return expectedOpenAI
	}
	return expected
}

// examine decides about a line that check did not accept. The reason is empty if the line is
// valid. Columns count bytes from 1. A reason quotes at most one byte of the line, because
// messages and logs must not show prompts.
func examine(line []byte, lines batholith.Lines) (m members, reason string) {
	m.lines = lines
	if reason := alien(line); reason != "" {
		return m, reason
	}
	dec := jsontext.NewDecoder(bytes.NewReader(line),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) // lone surrogates; bytes were seen to above
	// Common mistakes have a reason of their own.
	if kind := dec.PeekKind(); kind != '{' {
		return m, notAnObject(dec, line, lines)
	}
	if _, err := dec.ReadToken(); err != nil {
		return m, syntax(err, line)
	}
	for dec.PeekKind() == '"' {
		reason, err := m.read(dec, line)
		if err != nil {
			return m, syntax(err, line)
		}
		if reason != "" {
			return m, reason
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return m, syntax(err, line)
	}
	// Anything after the object: a comma, a second object, zero bytes.
	if end := int(dec.InputOffset()); space(line, end) != len(line) {
		return m, trailing(line, space(line, end), lines)
	}
	if m.input.absent() {
		return m, missing(line, lines)
	}
	return m, m.unfit(line)
}

// alien reports errors in the bytes that are independent of JSON: another file format, invalid
// UTF-8, a line break.
func alien(line []byte) string {
	if what := wholly(line); what != "" {
		return what
	}
	for i := 0; i < len(line); {
		r, n := utf8.DecodeRune(line[i:])
		if r == utf8.RuneError && n == 1 {
			return fmt.Sprintf("column %d: the byte 0x%02X is not UTF-8; convert the file, perhaps from Latin-1", i+1, line[i])
		}
		i += n
	}
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		return fmt.Sprintf("column %d: a line break inside the line", i+1)
	}
	return ""
}

// read reads one member. It returns a reason if the member is recordId or modelInput and is not
// valid, and an error if the line is not JSON.
func (m *members) read(dec *jsontext.Decoder, line []byte) (reason string, err error) {
	token, err := dec.ReadToken()
	if err != nil {
		return "", err
	}
	name := token.String()
	kind := dec.PeekKind()
	value, err := dec.ReadValue()
	if err != nil {
		return "", err
	}
	end := int(dec.InputOffset())
	s := span{end - len(value), end}
	switch memberOf(m.lines, []byte(name)) {
	case idMember:
		reason = m.id.take(s, name, kind, '"')
		if reason == "" {
			reason = unfitID(line, s, name)
		}
	case inputMember:
		reason = m.input.take(s, name, kind, '{')
	case methodMember:
		reason = m.method.take(s, name, kind, '"')
	case urlMember:
		reason = m.url.take(s, name, kind, '"')
	}
	if reason == "" && depth(value)+1 > MaxDepth {
		reason = fmt.Sprintf("column %d: arrays and objects nest deeper than %d", s.from+1, MaxDepth)
	}
	return reason, nil
}

// take sets *s to v. It returns a reason if the member is a duplicate or has the wrong type.
func (s *span) take(v span, name string, kind, must jsontext.Kind) string {
	if !s.absent() {
		return fmt.Sprintf("column %d: %s appears twice", v.from+1, name)
	}
	if kind != must {
		return fmt.Sprintf("column %d: %s is %s; expected is %s", v.from+1, name, noun(kind), noun(must))
	}
	*s = v
	return ""
}

// unfitID rejects an id with a lone surrogate, which cannot be written to the output.
func unfitID(line []byte, s span, name string) string {
	if _, err := jsontext.AppendUnquote(nil, s.of(line)); err != nil {
		return fmt.Sprintf("column %d: %s has half of a surrogate pair", s.from+1, name)
	}
	return ""
}

// tooLong rejects a modelInput longer than batholith.MaxInputBytes.
func (m members) tooLong() string {
	if n := m.input.to - m.input.from; n > batholith.MaxInputBytes {
		return fmt.Sprintf("%s is %s bytes long; one may have %s", inputName(m.lines), grouped(int64(n)), grouped(batholith.MaxInputBytes))
	}
	return ""
}

// depth returns the nesting depth of a valid JSON value.
func depth(value []byte) int {
	deepest, now := 0, 0
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '"':
			for i++; value[i] != '"'; i++ {
				if value[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			now++
			deepest = max(deepest, now)
		case '}', ']':
			now--
		}
	}
	return deepest
}

// syntax converts a decoder's error to a reason.
func syntax(err error, line []byte) string {
	var bad *jsontext.SyntacticError
	switch {
	// Usually a pretty-printed object, or a raw line break in a string.
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return fmt.Sprintf("the line ends at column %d inside a value; a record is on one line as a whole, and a line break in a string is written \\n",
			len(line))
	case errors.As(err, &bad):
		if what := familiar(line, int(bad.ByteOffset)); what != "" {
			return fmt.Sprintf("column %d: %s", bad.ByteOffset+1, what)
		}
		return fmt.Sprintf("column %d: %v", bad.ByteOffset+1, bad.Err)
	}
	return err.Error()
}

// noun names a JSON type.
func noun(kind jsontext.Kind) string {
	switch kind {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '0':
		return "a number"
	case 't', 'f':
		return "a boolean"
	}
	return "null"
}

// grouped formats n with commas: 25,000,000.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
