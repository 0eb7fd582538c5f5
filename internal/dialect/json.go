package dialect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith/internal/jsonscan"
)

// value is a JSON value exactly as it was written, without white space around it and without
// line breaks. It is valid JSON, because parse has checked the document that it belongs to.
// Reading it again therefore only searches for ends of values.
type value []byte

// looseNames allows duplicate names; the last one counts, as in most decoders.
var looseNames = jsontext.AllowDuplicateNames(true)

// parse checks that b is exactly one JSON value in valid UTF-8, and removes line breaks.
func parse(b []byte) (value, error) {
	if jsonscan.Sure(b) && bytes.IndexByte(b, '\r') < 0 { // jsonscan.Sure excludes line feeds
		return trim(b), nil
	}
	doc := jsontext.Value(b)
	// Sure may be unsure about valid JSON; the decoder decides.
	if !doc.IsValid(looseNames) {
		return nil, errors.New("not valid JSON" + whyNot(doc))
	}
	if bytes.IndexByte(b, '\n') >= 0 || bytes.IndexByte(b, '\r') >= 0 {
		doc = doc.Clone()
		if err := doc.Compact(looseNames); err != nil {
			return nil, errors.New("not valid JSON" + whyNot(doc))
		}
	}
	return trim(doc), nil
}

// whyNot returns where a text stops being JSON, for messages. The fast check does not report
// that.
func whyNot(b []byte) string {
	d := jsontext.NewDecoder(bytes.NewReader(b), looseNames)
	_, err := d.ReadValue()
	if err == nil {
		_, err = d.ReadToken()
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Sprintf(": %v after byte %d", e.Err, e.ByteOffset)
	}
	return ""
}

// known is parse for a document that parse has accepted before.
func known(b []byte) value {
	if bytes.IndexByte(b, '\n') >= 0 || bytes.IndexByte(b, '\r') >= 0 {
		v, _ := parse(b)
		return v
	}
	return trim(b)
}

// trim removes white space around a value.
func trim(b []byte) value {
	return bytes.Trim(b, " \t\r\n")
}

// kind returns the first byte of a value, with '0' for every number. It returns 'n' for null
// and for an absent value.
func (v value) kind() byte {
	if len(v) == 0 {
		return 'n'
	}
	if c := v[0]; c != '-' && (c < '0' || c > '9') {
		return c
	}
	return '0'
}

// absent reports whether v is missing or null. Clients write null for "not set".
func (v value) absent() bool { return v.kind() == 'n' }

func (v value) isTrue() bool { return v.kind() == 't' }

// text returns the content of a string, or "" if v is not a string.
func (v value) text() string {
	if v.kind() != '"' || len(v) < 2 {
		return ""
	}
	if inner := v[1 : len(v)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return word(inner)
	}
	// An error means a lone surrogate, which became U+FFFD.
	b, err := jsontext.AppendUnquote(nil, []byte(v))
	if err != nil && !utf8.Valid(b) {
		return ""
	}
	return string(b)
}

// word converts bytes to a string. For the words that occur in almost every body or answer it
// returns a constant, so it does not allocate.
func word(b []byte) string {
	switch string(b) {
	case "role":
		return "role"
	case "user":
		return "user"
	case "assistant":
		return "assistant"
	case "system":
		return "system"
	case "content":
		return "content"
	case "messages":
		return "messages"
	case "max_tokens":
		return "max_tokens"
	case "anthropic_version":
		return "anthropic_version"
	case "temperature":
		return "temperature"
	case "top_p":
		return "top_p"
	case "type":
		return "type"
	case "text":
		return "text"
	case "id":
		return "id"
	case "object":
		return "object"
	case "created":
		return "created"
	case "model":
		return "model"
	case "choices":
		return "choices"
	case "index":
		return "index"
	case "message":
		return "message"
	case "logprobs":
		return "logprobs"
	case "finish_reason":
		return "finish_reason"
	case "stop":
		return "stop"
	case "length":
		return "length"
	case "usage":
		return "usage"
	case "prompt_tokens":
		return "prompt_tokens"
	case "completion_tokens":
		return "completion_tokens"
	case "total_tokens":
		return "total_tokens"
	case "prompt_tokens_details":
		return "prompt_tokens_details"
	case "cached_tokens":
		return "cached_tokens"
	case "tool_calls":
		return "tool_calls"
	}
	return string(b)
}

// is reports whether v is the string s.
func (v value) is(s string) bool {
	if v.kind() != '"' || len(v) < 2 {
		return false
	}
	inner := v[1 : len(v)-1]
	return string(inner) == s || bytes.IndexByte(inner, '\\') >= 0 && v.text() == s
}

// integer returns v as an int64. ok is false if v has a fraction or an exponent, or does not
// fit.
func (v value) integer() (int64, bool) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	return n, err == nil
}

// number returns v as a float64, for comparisons only; v itself is what is sent.
func (v value) number() float64 {
	f, _ := strconv.ParseFloat(string(v), 64)
	return f
}

// members yields the names and values of an object in order, and nothing for other values.
func (v value) members() iter.Seq2[string, value] {
	return func(yield func(string, value) bool) {
		for name, m := range v.fields() {
			if !yield(name.text(), m) {
				return
			}
		}
	}
}

// present is members without null values. Most of a server's answer is null, and the names of
// these members are not read.
func (v value) present() iter.Seq2[string, value] {
	return func(yield func(string, value) bool) {
		for name, m := range v.fields() {
			if !m.absent() && !yield(name.text(), m) {
				return
			}
		}
	}
}

// fields is members with the names as they are written, with quotes and escapes.
func (v value) fields() iter.Seq2[value, value] {
	return func(yield func(name, m value) bool) {
		if v.kind() != '{' {
			return
		}
		for i := space(v, 1); i < len(v) && v[i] == '"'; {
			name, at := v.named(i)
			end := skip(v, at)
			if !yield(name, v[at:end]) {
				return
			}
			i = space(v, space(v, end)+1) // skip the comma or the brace
		}
	}
}

// named returns the name that begins at i, and the position of its value after the colon.
func (v value) named(i int) (name value, at int) {
	end := skip(v, i)
	return v[i:end], space(v, space(v, end)+1)
}

// starts is fields without finding the ends of values: rest begins with the value and contains
// everything after it.
func (v value) starts() iter.Seq2[value, value] {
	return func(yield func(name, rest value) bool) {
		if v.kind() != '{' {
			return
		}
		for i := space(v, 1); i < len(v) && v[i] == '"'; {
			name, at := v.named(i)
			if !yield(name, v[at:]) {
				return
			}
			i = space(v, space(v, skip(v, at))+1) // skip the comma or the brace
		}
	}
}

// object visits the members of the object that begins at i and returns the position after it.
// visit gets a member's name and the position of its value, and returns the position after the
// value. So nested values are read once, while fields searches for the end of each first.
func (v value) object(i int, visit func(name value, from int) (end int)) int {
	for i = space(v, i+1); i < len(v) && v[i] == '"'; {
		name, from := v.named(i)
		if i = space(v, visit(name, from)); i >= len(v) || v[i] != ',' {
			break
		}
		i = space(v, i+1)
	}
	return min(i+1, len(v))
}

// array is object for the elements of an array.
func (v value) array(i int, visit func(n, from int) (end int)) int {
	i = space(v, i+1)
	for n := 0; i < len(v) && v[i] != ']'; n++ {
		if i = space(v, visit(n, i)); i >= len(v) || v[i] != ',' {
			break
		}
		i = space(v, i+1)
	}
	return min(i+1, len(v))
}

// elements yields the elements of an array with their indexes, and nothing for other values.
func (v value) elements() iter.Seq2[int, value] {
	return func(yield func(int, value) bool) {
		if v.kind() != '[' {
			return
		}
		i := space(v, 1)
		for n := 0; i < len(v) && v[i] != ']'; n++ {
			end := skip(v, i)
			if !yield(n, v[i:end]) {
				return
			}
			i = space(v, end)
			if i < len(v) && v[i] == ',' {
				i = space(v, i+1)
			}
		}
	}
}

// member returns the value of a name, the last one if there are duplicates, or nil.
func (v value) member(name string) value {
	var found value
	for n, m := range v.fields() {
		if n.is(name) {
			found = m
		}
	}
	return found
}

// len counts the elements of an array.
func (v value) len() int {
	n := 0
	for range v.elements() {
		n++
	}
	return n
}

// space returns the position of the first byte from i that is not white space, or the end.
func space(v value, i int) int {
	for i < len(v) && v[i] <= ' ' {
		i++
	}
	return min(i, len(v))
}

// skip returns the position after the value that begins at i. If the text is not JSON, it
// returns some later position, at most the end.
func skip(v value, i int) int {
	if i >= len(v) {
		return len(v)
	}
	switch v[i] {
	case '"':
		return skipString(v, i)
	case '{', '[':
		return skipComposite(v, i)
	}
	for i++; i < len(v) && v[i] > ' ' && v[i] != ',' && v[i] != ']' && v[i] != '}'; i++ {
	}
	return i
}

// skipString is skip for a string. The first 24 bytes are searched 8 at a time, because most
// strings are short; the rest with bytes.IndexByte, whose call has a fixed cost.
func skipString(v value, i int) int {
	i++
	for range 3 {
		if i+8 > len(v) {
			break
		}
		x := binary.LittleEndian.Uint64(v[i:])
		quote, back := x^ones*'"', x^ones*'\\'
		found := ((quote-ones)&^quote | (back-ones)&^back) & (ones << 7)
		if found == 0 {
			i += 8
			continue
		}
		// A borrow may mark further bytes above the first one, so only the first counts.
		if i += bits.TrailingZeros64(found) >> 3; v[i] == '"' {
			return i + 1
		}
		break
	}
	for ; ; i++ {
		n := bytes.IndexByte(v[i:], '"')
		if n < 0 {
			return len(v)
		}
		i += n
		back := i
		for v[back-1] == '\\' {
			back--
		}
		if (i-back)%2 == 0 { // an even number of backslashes: they escape each other, not the quote
			return i + 1
		}
	}
}

// ones × c is a word with the byte c eight times.
const ones = 0x0101010101010101

// skipComposite is skip for an object or an array.
func skipComposite(v value, i int) int {
	for depth := 0; i < len(v); {
		switch v[i] {
		case '"':
			i = skipString(v, i)
			continue
		case '[':
			if end, ok := skipNumbers(v, i); ok {
				i = end - 1 // the closing bracket; the depth does not change
			} else {
				depth++
			}
		case '{':
			depth++
		case '}', ']':
			depth--
		}
		if i++; depth == 0 {
			return i
		}
	}
	return len(v)
}

// longestVector is how far skipNumbers searches in bytes, so that nested lists do not take
// quadratic time.
const longestVector = 128 << 10

// skipNumbers is a fast skip for a list of numbers, such as an embedding. ok is false if the
// list contains other values.
func skipNumbers(v value, i int) (end int, ok bool) {
	if first := space(v, i+1); first >= len(v) || v[first:].kind() != '0' {
		return 0, false
	}
	n := bytes.IndexByte(v[i:min(len(v), i+longestVector)], ']')
	if n < 0 {
		return 0, false
	}
	list := v[i+1 : i+n]
	for _, c := range []byte(`"[{`) {
		if bytes.IndexByte(list, c) >= 0 {
			return 0, false
		}
	}
	return i + n + 1, true
}
