package simlm

import (
	"bytes"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// message is one turn of a conversation. Its content is a text or a list of parts.
type message struct {
	Role    string         `json:"role"`
	Content jsontext.Value `json:"content"`
}

// rendered is the prompt as a chat template would write it: tools, system turns, then the other turns in order. Parameters are not part
// of it, so that bodies that differ only in parameters share their prefix.
func (w *wire) rendered() []byte {
	var b []byte
	for _, whole := range []jsontext.Value{w.Prompt, w.Input} {
		if len(w.Messages) == 0 && len(whole) > 0 {
			return appendText(b, whole)
		}
	}
	if len(w.Tools) > 0 {
		b = append(append(b, "<|tools|>"...), w.Tools...)
	}
	for _, system := range []bool{true, false} {
		var ok bool
		if b, ok = appendTurns(b, w.Messages, system); !ok {
			return bytes.Clone(w.Messages)
		}
	}
	return append(b, "<|assistant|>"...)
}

// appendTurns appends the system turns, or all others. It decodes one at a time, since a conversation may have a million turns.
func appendTurns(b []byte, messages jsontext.Value, system bool) (_ []byte, ok bool) {
	d := jsontext.NewDecoder(bytes.NewBuffer(messages), jsontext.AllowDuplicateNames(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '[' {
		return b, false
	}
	for d.PeekKind() != ']' {
		var m message
		if json.UnmarshalDecode(d, &m) != nil {
			return b, false
		}
		if (m.Role == "system" || m.Role == "developer") == system {
			b = append(append(append(b, "<|"...), m.Role...), "|>"...)
			b = append(appendText(b, m.Content), '\n')
		}
	}
	return b, true
}

// appendText appends a text, or the texts of a list of parts. Other JSON is appended unchanged.
func appendText(b []byte, v jsontext.Value) []byte {
	switch v.Kind() {
	case '"':
		text, _ := jsontext.AppendUnquote(b, v)
		return text
	case '[':
		var parts []jsontext.Value
		if json.Unmarshal(v, &parts) != nil {
			return append(b, v...)
		}
		for _, p := range parts {
			b = appendPart(b, p)
		}
		return b
	}
	return append(b, v...)
}

// appendPart appends the text of a part.
func appendPart(b []byte, v jsontext.Value) []byte {
	var part struct {
		Text jsontext.Value `json:"text"`
	}
	if v.Kind() == '{' && json.Unmarshal(v, &part, jsontext.AllowDuplicateNames(true)) == nil && part.Text.Kind() == '"' {
		v = part.Text
	}
	if v.Kind() == '"' {
		return appendText(b, v)
	}
	return append(b, v...)
}
