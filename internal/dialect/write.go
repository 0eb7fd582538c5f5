package dialect

import (
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
)

// buffer is JSON that is being written. Commas are added automatically: the last byte tells
// whether one is needed.
type buffer []byte

// buffers reuses the memory of discarded requests.
var buffers sync.Pool

// newBuffer returns an empty buffer with a capacity of at least size bytes.
func newBuffer(size int) buffer {
	if b, ok := buffers.Get().(*buffer); ok && cap(*b) >= size {
		return (*b)[:0]
	}
	return make(buffer, 0, size)
}

// Discard returns the memory of a call for reuse. The call, made by a [Dialect], must not be
// used afterwards.
func Discard(c batholith.Call) {
	b := buffer(c.Body)
	buffers.Put(&b)
}

// comma writes a comma unless the last byte is an opening bracket, a colon or a comma.
func (b *buffer) comma() {
	if n := len(*b); n > 0 {
		switch (*b)[n-1] {
		case '{', '[', ':', ',':
		default:
			*b = append(*b, ',')
		}
	}
}

// open starts an object or array as the next value.
func (b *buffer) open(bracket byte) {
	b.comma()
	*b = append(*b, bracket)
}

// close ends an object or array. It also writes other single bytes without a comma.
func (b *buffer) close(bracket byte) { *b = append(*b, bracket) }

// key writes a member's name that needs no escaping.
func (b *buffer) key(name string) {
	b.comma()
	*b = append(*b, '"')
	*b = append(*b, name...)
	*b = append(*b, '"', ':')
}

// anyKey writes a member's name that a client chose, with escaping.
func (b *buffer) anyKey(name string) {
	b.text(name)
	*b = append(*b, ':')
}

// raw writes a value unchanged.
func (b *buffer) raw(v []byte) {
	b.comma()
	*b = append(*b, v...)
}

// literal writes JSON that is a constant in the source.
func (b *buffer) literal(s string) {
	b.comma()
	*b = append(*b, s...)
}

// text writes a string with the minimal escaping.
func (b *buffer) text(s string) {
	b.comma()
	if isPlain(s) {
		*b = append(append(append(*b, '"'), s...), '"')
		return
	}
	*b, _ = jsontext.AppendQuote(*b, s) // the error only reports invalid UTF-8, which is replaced
}

// isPlain reports whether s is short and needs no escaping.
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

// integer writes a number.
func (b *buffer) integer(n int64) {
	b.comma()
	*b = strconv.AppendInt(*b, n, 10)
}

// member writes a name and a value, or nothing if the value is absent.
func (b *buffer) member(name string, v value) {
	if !v.absent() {
		b.key(name)
		b.raw(v)
	}
}

// field writes a member as it was read: name is the name with its quotes.
func (b *buffer) field(name, v value) {
	b.raw(name)
	*b = append(*b, ':')
	b.raw(v)
}

// textMember writes a name and a string.
func (b *buffer) textMember(name, s string) {
	b.key(name)
	b.text(s)
}

// integerMember writes a name and a number.
func (b *buffer) integerMember(name string, n int64) {
	b.key(name)
	b.integer(n)
}

// quoted writes the JSON v as a string, as OpenAI requires for the arguments of a tool call.
func (b *buffer) quoted(v value) {
	b.comma()
	*b, _ = jsontext.AppendQuote(*b, []byte(v))
}
