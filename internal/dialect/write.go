package dialect

import (
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
)

// buffer is JSON in the making. A comma is set where one is due, which the byte before tells: after an opening bracket, a
// colon or a comma there is none.
type buffer []byte

// buffers are those of requests that were made to look at them only.
var buffers sync.Pool

// newBuffer is an empty buffer with room for size bytes.
func newBuffer(size int) buffer {
	if b, ok := buffers.Get().(*buffer); ok && cap(*b) >= size {
		return (*b)[:0]
	}
	return make(buffer, 0, size)
}

// Discard lets the next request have the memory of one that was made by a [Dialect] and is not sent, nor looked at any more.
func Discard(c batholith.Call) {
	b := buffer(c.Body)
	buffers.Put(&b)
}

func (b *buffer) comma() {
	if n := len(*b); n > 0 {
		switch (*b)[n-1] {
		case '{', '[', ':', ',':
		default:
			*b = append(*b, ',')
		}
	}
}

// open begins an object or array as the next value.
func (b *buffer) open(bracket byte) {
	b.comma()
	*b = append(*b, bracket)
}

func (b *buffer) close(bracket byte) { *b = append(*b, bracket) }

// key writes a member's name, which needs no escaping.
func (b *buffer) key(name string) {
	b.comma()
	*b = append(*b, '"')
	*b = append(*b, name...)
	*b = append(*b, '"', ':')
}

// anyKey writes a member's name that a client chose.
func (b *buffer) anyKey(name string) {
	b.text(name)
	*b = append(*b, ':')
}

// raw writes a value as it is.
func (b *buffer) raw(v []byte) {
	b.comma()
	*b = append(*b, v...)
}

// literal writes a few bytes of JSON that stand in the source.
func (b *buffer) literal(s string) {
	b.comma()
	*b = append(*b, s...)
}

// text writes a string. Only what JSON demands is escaped.
func (b *buffer) text(s string) {
	b.comma()
	if isPlain(s) {
		*b = append(append(append(*b, '"'), s...), '"')
		return
	}
	*b, _ = jsontext.AppendQuote(*b, s) // an error only tells of invalid UTF-8, which is replaced
}

// isPlain tells whether s is short and stands in JSON as it is.
func isPlain(s string) bool {
	if len(s) > 32 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return false
		}
	}
	return true
}

func (b *buffer) integer(n int64) {
	b.comma()
	*b = strconv.AppendInt(*b, n, 10)
}

// member writes a name and a value as it is; nothing when the value is absent.
func (b *buffer) member(name string, v value) {
	if !v.absent() {
		b.key(name)
		b.raw(v)
	}
}

// textMember writes a name and a string.
func (b *buffer) textMember(name, s string) {
	b.key(name)
	b.text(s)
}

func (b *buffer) integerMember(name string, n int64) {
	b.key(name)
	b.integer(n)
}

// quoted writes the JSON v as a string that holds it, as OpenAI has the arguments of a tool call.
func (b *buffer) quoted(v value) {
	b.comma()
	*b, _ = jsontext.AppendQuote(*b, []byte(v))
}
