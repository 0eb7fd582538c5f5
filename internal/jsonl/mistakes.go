package jsonl

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
)

// packed lists the magic bytes of compressed and binary file formats.
var packed = []struct{ magic, name string }{
	{"\x1f\x8b", "gzip"}, {"\x28\xb5\x2f\xfd", "zstd"}, {"PK\x03\x04", "zip"}, {"BZh", "bzip2"}, {"PAR1", "Parquet"},
}

// wholly recognises lines of files in another format.
func wholly(line []byte) string {
	for _, p := range packed {
		if bytes.HasPrefix(line, []byte(p.magic)) {
			return "the file is in " + p.name + " format; expected is plain text, one JSON object on a line"
		}
	}
	switch {
	case bytes.HasPrefix(line, []byte("\x00\x05\x16\x07")):
		return "the file is a macOS AppleDouble file (named ._…), which has another file's attributes and no records; leave it out"
	case bytes.HasPrefix(line, []byte{0xff, 0xfe}), bytes.HasPrefix(line, []byte{0xfe, 0xff}), wide(line):
		return "the line is UTF-16; expected is UTF-8"
	case len(line) > 0 && line[0] == 0 && len(bytes.Trim(line, "\x00\r")) == 0:
		return fmt.Sprintf("the line consists of zero bytes (%d), which a crash or an interrupted copy leaves behind; remove them, or write the file again", len(line))
	case len(line) > 0 && line[0] == 0:
		return "column 1: a zero byte stands before the object, which a crash or an interrupted copy leaves behind; remove it, or write the file again"
	case bytes.HasPrefix(line, []byte("\xef\xbb\xbf")):
		return "the line begins with a byte order mark (EF BB BF), which joining files leaves behind; remove it"
	}
	return ""
}

// wide reports whether a line is UTF-16 without a byte order mark, as every line but the first
// is: each ASCII character has a zero byte before or after it.
func wide(line []byte) bool {
	// at returns 0 beyond the end, so a short line needs the check of its length.
	zero := func(i int) bool { return at(line, i) == 0 }
	switch {
	case len(line) < 3:
		return false
	case zero(0): // or the second half of the previous line break
		return !zero(1) && zero(2)
	}
	return zero(1) && !zero(2) && (len(line) < 4 || zero(3))
}

// notAnObject returns the reason for a line that does not begin with {. The kind alone is not
// enough: the decoder takes any word beginning with n for null.
func notAnObject(dec *jsontext.Decoder, line []byte, lines batholith.Lines) string {
	expected := expectedIn(lines)
	kind := dec.PeekKind()
	_, err := dec.ReadValue()
	switch {
	case kind == '[':
		return "the line is an array" + expected + ", with no [ ] around the lines"
	case err != nil:
		return "the line is not JSON" + expected
	case space(line, int(dec.InputOffset())) != len(line):
		return "the line begins with " + noun(kind) + expected
	}
	return "the line is " + noun(kind) + expected
}

// trailing returns the reason for a line with something after the object, at index i.
func trailing(line []byte, i int, lines batholith.Lines) string {
	expected := expectedIn(lines)
	what := "something follows the object" + expected
	switch line[i] {
	case '{':
		what = "a second object follows; each must stand on a line of its own"
	case 0:
		what = "a zero byte follows the object, which a crash or an interrupted copy leaves behind; remove it, or write the file again"
	case ',':
		what = "a comma follows the object; lines are not joined by commas"
	}
	return fmt.Sprintf("column %d: %s", i+1, what)
}

// familiar recognises common mistakes at the byte where JSON parsing failed: syntax of Python,
// JavaScript and others.
func familiar(line []byte, i int) string {
	rest := line[min(i, len(line)):]
	// The neighbours tell a trailing comma from a missing value.
	before, after := around(line, i)
	begins := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return bytes.HasPrefix(rest, []byte(w)) })
	}
	switch c := at(line, i); {
	case c == '\'':
		return "a single quote; JSON has double quotes around names and strings"
	case c == ',' && strings.IndexByte("}]", after) >= 0, (c == '}' || c == ']') && before == ',':
		return "a comma with nothing after it; leave it out"
	case c == '/' || c == '#':
		return "a comment; JSON has none"
	case begins("True", "False", "None"):
		return "a word of Python's; JSON writes true, false and null"
	case begins("NaN", "Infinity"):
		return "NaN and Infinity are not JSON numbers; write a number or null"
	case c|0x20 >= 'a' && c|0x20 <= 'z' && strings.IndexByte("{,:[", before) >= 0:
		return "a word without quotes; JSON has double quotes around names and strings"
	case c < ' ' && i < len(line):
		return fmt.Sprintf(`a control character (0x%02X) inside a string; escape it, a tab as \t`, c)
	}
	return ""
}

// around returns the nearest bytes before and after index i that are not white space; 0: none.
func around(line []byte, i int) (before, after byte) {
	k := i - 1
	for k >= 0 && (line[k] == ' ' || line[k] == '\t') {
		k--
	}
	return at(line, k), at(line, space(line, i+1))
}

// misnamed maps lower-case names that people use instead of modelInput to a hint.
var misnamed = map[string]string{
	"modelinput":  `names are compared with their case`,
	"model_input": `there is a "model_input"`,
	"body":        `there is a "body", as in OpenAI's batch files; it is "modelInput" here, and "custom_id" is "recordId"; or give the job the tag batholith:input=openai`,
	"params":      `there are "params", as in Anthropic's batches; they are "modelInput" here, and "custom_id" is "recordId"`,
	"messages":    `there are "messages"; the whole body of the model goes inside "modelInput"`,
	"prompt":      `there is a "prompt"; the whole body of the model goes inside "modelInput"`,
	"inputtext":   `there is an "inputText"; the whole body of the model goes inside "modelInput"`,
}

// missing returns the reason for an object without modelInput. It mentions a misnamed member if
// there is one.
func missing(line []byte, lines batholith.Lines) string {
	if lines == batholith.LinesOpenAI {
		return missingOpenAI(line)
	}
	dec := jsontext.NewDecoder(bytes.NewReader(line), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	_, err := dec.ReadToken()
	for err == nil && dec.PeekKind() == '"' {
		var name jsontext.Token
		if name, err = dec.ReadToken(); err != nil {
			break
		}
		if why, ok := misnamed[strings.ToLower(name.String())]; ok {
			return "modelInput is missing (" + why + ")" + expected
		}
		err = dec.SkipValue()
	}
	return "modelInput is missing" + expected
}
