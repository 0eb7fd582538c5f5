package dialect

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Location is an object in S3 that a body names in place of the bytes (Bedrock: S3Location).
type Location struct {
	Kind   string // image, video, audio, document, or text
	Format string // as the body says it; "" if it does not
	Path   string // of the s3Location in the body, for messages
	URI    string
	Owner  string // bucketOwner; "" if there is none
	Wrong  string // what is wrong with the s3Location itself; "" if nothing is

	from, to int // the member in the body that the bytes replace
}

// IsDocument reports whether the bytes are read while the body is translated. Those of other kinds
// are only passed on.
func (l Location) IsDocument() bool { return l.Kind == "document" || l.Kind == "text" }

// Locations finds the objects that a body of Converse, of Nova or of Nova's embeddings names:
// in image, video, audio and document blocks, also in a tool's result, and in
// singleEmbeddingParams. input must be valid JSON. A body without any costs one search.
func Locations(input []byte) []Location {
	if !bytes.Contains(input, []byte(`"s3Location"`)) {
		return nil
	}
	f := finder{v: input}
	f.members(space(input, 0), func(m named) {
		switch m.name {
		case "messages":
			f.list(m.at, func(i, at int) {
				f.members(at, func(m named) {
					if m.name == "content" {
						f.content(fmt.Sprintf("messages.%d.content", i), m.at)
					}
				})
			})
		case "singleEmbeddingParams":
			f.block(m.name, m.at)
		}
	})
	return f.found
}

// finder collects the locations in a body.
type finder struct {
	v     value
	found []Location
}

// named is a member of an object: where its name begins, and its value.
type named struct {
	name     string
	from, at int
}

// content searches a list of blocks.
func (f *finder) content(path string, at int) {
	f.list(at, func(i, at int) { f.block(fmt.Sprintf("%s.%d", path, i), at) })
}

// block searches one content block, or the parameters of an embedding, which have the same form.
func (f *finder) block(path string, at int) {
	f.members(at, func(m named) {
		path := path + "." + m.name
		switch m.name {
		case "image", "video", "audio", "document", "text":
			f.medium(m.name, path, m.at)
		case "guardContent":
			f.block(path, m.at)
		case "toolResult":
			f.members(m.at, func(m named) {
				if m.name == "content" {
					f.content(path+"."+m.name, m.at)
				}
			})
		}
	})
}

// medium searches an image, video, audio, document, or text to embed: its format and its source.
func (f *finder) medium(kind, path string, at int) {
	var format string
	before := len(f.found)
	f.members(at, func(m named) {
		switch m.name {
		case "format":
			format = f.v[m.at:skip(f.v, m.at)].text()
		case "source":
			f.source(kind, path+"."+m.name, m)
		}
	})
	for i := range f.found[before:] {
		f.found[before+i].Format = format
	}
}

// source searches a source. A source with something else beside s3Location is left alone, since
// the translation refuses it.
func (f *finder) source(kind, path string, source named) {
	name, _, err := only(f.v[source.at:skip(f.v, source.at)], false)
	if err != nil || name != "s3Location" {
		return
	}
	f.members(source.at, func(m named) {
		end := skip(f.v, m.at)
		v := f.v[m.at:end]
		if m.name != name || v.absent() {
			return
		}
		l := Location{Kind: kind, Path: path + "." + name, from: m.from, to: end}
		if kind == "text" { // the text itself has another place than in a source
			l.from, l.to = source.from, skip(f.v, source.at)
		}
		l.read(v)
		f.found = append(f.found, l)
	})
}

// read reads the members of an s3Location.
func (l *Location) read(v value) {
	var uri, owner value
	for name, m := range v.members() {
		switch name {
		case "uri":
			uri = m
		case "bucketOwner":
			owner = m
		default:
			l.Wrong = l.Path + "." + extra(name).Error()
		}
	}
	l.URI, l.Owner = uri.text(), owner.text()
	switch {
	case l.Wrong != "":
	case uri.absent():
		l.Wrong = l.Path + ".uri: field required"
	case uri.kind() != '"':
		l.Wrong = l.Path + ".uri: Input should be a valid string"
	case !owner.absent() && !accountID(l.Owner):
		l.Wrong = l.Path + ".bucketOwner: Input should be the 12 digits of an account"
	}
}

// accountID reports whether s is the id of an account: 12 digits.
func accountID(s string) bool {
	return len(s) == 12 && !slices.ContainsFunc([]byte(s), func(c byte) bool { return c < '0' || c > '9' })
}

// members calls visit for the members of the object at v[at].
func (f *finder) members(at int, visit func(named)) {
	if at >= len(f.v) || f.v[at] != '{' {
		return
	}
	f.v.object(at, func(name value, from int) int {
		visit(named{name.text(), cap(f.v) - cap(name), from}) // name is a slice of v
		return skip(f.v, from)
	})
}

// list calls visit for the elements of the list at v[at].
func (f *finder) list(at int, visit func(i, at int)) {
	if at >= len(f.v) || f.v[at] != '[' {
		return
	}
	f.v.array(at, func(i, from int) int {
		visit(i, from)
		return skip(f.v, from)
	})
}

// MarkBytes is the length of a mark.
const MarkBytes = 24

// NewMark returns a text to stand for an object's Base64 in a body. It is Base64 itself and random, so no
// body has it by chance and no client can guess it.
func NewMark() string {
	var b [MarkBytes / 4 * 3]byte
	_, _ = rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// Filled returns a copy of the body with the content of its objects, as if the client had sent it: for the
// i-th location, content(i), or the mark where it returns nil.
func Filled(input []byte, locations []Location, marks []string, content func(i int) []byte) []byte {
	size := len(input)
	for i := range locations {
		size += base64.StdEncoding.EncodedLen(len(content(i))) + MarkBytes
	}
	b, at := make(buffer, 0, size), 0
	for i, l := range locations {
		b = append(b, input[at:l.from]...)
		c := content(i)
		switch {
		case l.Kind == "text":
			b = append(b, `"value":`...)
			b, _ = jsontext.AppendQuote(b, c) // the error only reports invalid UTF-8, which is replaced
		case c == nil:
			b = append(append(append(b, `"bytes":"`...), marks[i]...), '"')
		default:
			b = append(base64.StdEncoding.AppendEncode(append(b, `"bytes":"`...), c), '"')
		}
		at = l.to
	}
	return append(b, input[at:]...)
}

// standInDocument stands for a document of any format. It is not read.
const standInDocument = "A document in S3, which is not read while bodies are checked."

// StandIn returns the body with stand-ins in place of the objects that it names, to check a body
// without reading them. The error is that of an s3Location that is not valid.
func StandIn(input []byte) ([]byte, error) {
	places := Locations(input)
	if places == nil {
		return input, nil
	}
	marks := make([]string, len(places))
	for i, l := range places {
		if l.Wrong != "" {
			return nil, errors.New(l.Wrong)
		}
		marks[i] = NewMark()
	}
	return Filled(input, places, marks, func(i int) []byte {
		if places[i].IsDocument() {
			return []byte(standInDocument)
		}
		return nil
	}), nil
}
