package jsonl

import (
	"bytes"
	"unicode/utf8"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/jsonscan"
)

// MaxDepth is the maximum nesting depth of arrays and objects in a line, including the line's
// own object.
const MaxDepth = jsonscan.MaxDepth

// A span is a range of bytes in a line. The zero span means absent, because no value starts at
// the first byte of an object.
type span struct{ from, to int }

func (s span) absent() bool          { return s.to == 0 }
func (s span) of(line []byte) []byte { return line[s.from:s.to] }

// members are the positions of the two members that matter.
type members struct {
	id    span // value of recordId with its quotes; may be absent
	input span // value of modelInput with its braces
	// Values of OpenAI's method and url; may be absent.
	method, url span
	lines       batholith.Lines // form of the line
}

// The members of a line that matter.
const (
	otherMember = iota
	idMember
	inputMember
	methodMember
	urlMember
)

// memberOf returns which member a name is in a form of lines.
func memberOf(lines batholith.Lines, name []byte) int {
	if lines == batholith.LinesOpenAI {
		switch string(name) {
		case "custom_id":
			return idMember
		case "body":
			return inputMember
		case "method":
			return methodMember
		case "url":
			return urlMember
		}
		return otherMember
	}
	switch string(name) {
	case "recordId":
		return idMember
	case "modelInput":
		return inputMember
	}
	return otherMember
}

// check is the fast path: it accepts a well-formed line and finds its members. false gives no
// reason. It rejects every invalid line and a few unusual valid ones (escapes in a top-level
// name, \u in an id); examine decides about those. It allocates nothing.
func check(line []byte, lines batholith.Lines) (m members, ok bool) {
	m.lines = lines
	var w jsonscan.Walker
	i := space(line, 0)
	if at(line, i) != '{' {
		return m, false
	}
	for {
		i = space(line, i+1)
		name := i // start of the name, for the slice below
		if at(line, i) != '"' {
			return m, false // also an empty object: it has no modelInput
		}
		if i = w.Text(line, i+1); i < 0 || w.Escaped() {
			return m, false
		}
		key := line[name+1 : i-1]
		if i = space(line, i); at(line, i) != ':' {
			return m, false
		}
		if i = m.pass(&w, line, key, space(line, i+1)); i < 0 {
			return m, false
		}
		i = space(line, i)
		if c := at(line, i); c == '}' {
			break
		} else if c != ',' {
			return m, false
		}
	}
	if space(line, i+1) != len(line) || m.input.absent() || m.unfit(line) != "" {
		return m, false
	}
	// Only lines with bytes above 0x7f need the UTF-8 check.
	return m, w.ASCII() || utf8.Valid(line)
}

// pass skips the value at i and records its position if key is one of the two names. It returns
// the index after the value, or -1.
func (m *members) pass(w *jsonscan.Walker, line, key []byte, i int) int {
	switch memberOf(m.lines, key) {
	case methodMember, urlMember:
		s := &m.method
		if memberOf(m.lines, key) == urlMember {
			s = &m.url
		}
		if !s.absent() || at(line, i) != '"' {
			return -1
		}
		end := w.Text(line, i+1)
		*s = span{i, end}
		return end
	case idMember:
		if !m.id.absent() || at(line, i) != '"' {
			return -1
		}
		end := w.Text(line, i+1)
		if w.Escaped() && bytes.Contains(line[i:max(i, end)], []byte(`\u`)) {
			return -1 // possibly a lone surrogate, which an id must not contain
		}
		m.id = span{i, end}
		return end
	case inputMember:
		if !m.input.absent() || at(line, i) != '{' {
			return -1
		}
		end := w.Value(line, i, 1)
		m.input = span{i, end}
		return end
	}
	return w.Value(line, i, 1)
}

func space(b []byte, i int) int { return jsonscan.Space(b, i) }

func at(b []byte, i int) byte { return jsonscan.At(b, i) }
