package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/words"
)

// formBytes is the length of the beginning of a file, in bytes, by which its form is recognised. If the first line
// is longer, the file is not judged by its lines.
const formBytes = 64 << 10

// form describes a file that does not hold records as lines, and gives the command that makes records of it. FILE
// in the remedy stands for the file's path.
type form struct{ what, remedy string }

// magics are the first bytes of formats that are not text, or not UTF-8.
var magics = []struct {
	bytes string
	form
}{
	{"\x1f\x8b", form{"the file is in gzip format, not plain text", "give it a name that ends in .jsonl.gz, or unpack it: gunzip -c FILE > records.jsonl"}},
	{"\x28\xb5\x2f\xfd", form{"the file is in zstd format, not plain text", "give it a name that ends in .jsonl.zst, or unpack it: zstd -dc FILE > records.jsonl"}},
	{"PK\x03\x04", form{"the file is in zip format, not plain text", "unpack it: unzip -p FILE > records.jsonl; a spreadsheet (.xlsx) is saved as CSV, and then: docs/from-csv.md"}},
	{"BZh", form{"the file is in bzip2 format, not plain text", "unpack it: bunzip2 -c FILE > records.jsonl"}},
	{"\xfd7zXZ", form{"the file is in xz format, not plain text", "unpack it: unxz -c FILE > records.jsonl"}},
	{"PAR1", form{"the file is in Parquet format, not plain text", "make a record of each row: batholith run FILE --template 'Translate: {{.COLUMN}}' --to csv, or batholith records; see docs/from-csv.md"}},
	{"\x00\x05\x16\x07", form{"the file is a macOS AppleDouble file (._…), which has another file's attributes and no records", "leave it out, and name the file that it stands beside"}},
	{"\xff\xfe", form{"the text is UTF-16, not UTF-8", "convert it: iconv -f UTF-16 -t UTF-8 FILE > records.jsonl"}},
	{"\xfe\xff", form{"the text is UTF-16, not UTF-8", "convert it: iconv -f UTF-16 -t UTF-8 FILE > records.jsonl"}},
	{"version https://git-lfs", form{"the file is a pointer of Git LFS, not its content", "fetch the content: git lfs pull"}},
}

// wrappers are members of a line that hold the request's body in the formats of other batch APIs.
var wrappers = []struct {
	member string
	form
}{
	{"body", form{`the lines have a "body", as in OpenAI's batch files, and neither a "custom_id" nor a "url"`, `give each line an id: jq -c '{custom_id: (input_line_number|tostring), method: "POST", url: "/v1/chat/completions", body: .body}' FILE > batch.jsonl`}},
	{"params", form{`the lines have "params", as in Anthropic's batches, and no "modelInput"`,
		`rewrite them: jq -c '{recordId: .custom_id, modelInput: (.params | del(.model) | .anthropic_version = "bedrock-2023-05-31")}' FILE > records.jsonl`}},
	{"messages", form{`the lines have "messages", and no "modelInput" around them`, `rewrite them: jq -c '{recordId: (input_line_number|tostring), modelInput: .}' FILE > records.jsonl`}},
	{"prompt", form{`the lines have a "prompt", and no "modelInput"`,
		`rewrite them: jq -c '{recordId: (input_line_number|tostring), modelInput: {messages: [{role: "user", content: .prompt}], max_tokens: 500}}' FILE > records.jsonl`}},
}

// fileForm recognises a file that as a whole is not a file of records, by its first bytes head. whole says that
// head is all of the file. ok is false if it may hold records; single bad lines are reported later, each with its
// number.
func fileForm(head []byte, whole bool) (form, bool) {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.bytes)) {
			return m.form, true
		}
	}
	if f, ok := encoding(head); ok {
		return f, true
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(text) == 0 {
		return form{}, false
	}
	first, rest, more := bytes.Cut(text, []byte("\n"))
	first = bytes.TrimRight(first, "\r")
	switch {
	case text[0] == '[':
		return form{"the file is one JSON array; records are one object on a line, with no [ ] around and no commas between the lines", "rewrite it: jq -c '.[]' FILE > records.jsonl"}, true
	case text[0] == '<':
		return form{"the file is a web page or XML, not JSON", "is it a download that failed? fetch it again"}, true
	case text[0] == '{' && more && spread(text):
		return form{"each record is spread over several lines; a record is on one line", "rewrite it: jq -c . FILE > records.jsonl"}, true
	case text[0] == '{':
		return wrapped(first)
	case !more && !whole, text[0] == '"', text[0] == '\'':
		return form{}, false
	}
	if name := tableOf(first, rest); name != "" {
		return form{"the file is a table (" + name + "), not JSON lines", "make a record of each row: batholith run FILE --template 'Translate: {{.COLUMN}}' --to csv, or batholith records; see docs/from-csv.md"}, true
	}
	if more && isProse(text) {
		return form{"the file is plain text, not JSON lines", `make a record of each line: jq -Rc '{recordId: (input_line_number|tostring), modelInput: {messages: [{role: "user", content: .}], max_tokens: 500}}' FILE > records.jsonl`}, true
	}
	return form{}, false
}

// separators are those of tables.
var separators = []struct{ sign, name string }{{",", "CSV"}, {"\t", "TSV"}, {";", "CSV (with semicolons)"}}

// tableOf returns the kind of a table by its first line and the rest, or "". A table has its separator at least as
// often in the second line as in the first, and no braces. If several signs are so, it is the most frequent one: the
// others stand within the cells.
func tableOf(first, rest []byte) (name string) {
	if bytes.ContainsAny(first, "{}") {
		return ""
	}
	second, _, _ := bytes.Cut(rest, []byte("\n"))
	most := 0
	for _, s := range separators {
		if n := bytes.Count(first, []byte(s.sign)); n > most && bytes.Count(second, []byte(s.sign)) >= n {
			name, most = s.name, n
		}
	}
	return name
}

// encoding recognises text that begins like a record and is not UTF-8: UTF-16 without a byte order mark, or an
// encoding with one byte per character. The latter needs an accented letter of Latin-1 and no multi-byte character
// of UTF-8. If both occur, single lines are damaged, and each of them is reported instead.
func encoding(head []byte) (form, bool) {
	switch {
	case bytes.HasPrefix(head, []byte("{\x00")):
		return form{"the text is UTF-16 (little endian, without a byte order mark), not UTF-8", "convert it: iconv -f UTF-16LE -t UTF-8 FILE > records.jsonl"}, true
	case bytes.HasPrefix(head, []byte("\x00{")):
		return form{"the text is UTF-16 (big endian, without a byte order mark), not UTF-8", "convert it: iconv -f UTF-16BE -t UTF-8 FILE > records.jsonl"}, true
	case len(head) == 0 || head[0] != '{':
		return form{}, false
	}
	if end := bytes.LastIndexByte(head, '\n'); end > 0 { // a character may be cut in two at the end of head
		head = head[:end]
	}
	letters := 0
	for len(head) > 0 {
		r, size := utf8.DecodeRune(head)
		switch b := head[0]; {
		case r != utf8.RuneError && size > 1, b == 0xff:
			return form{}, false
		case r == utf8.RuneError && b >= 0xc0:
			letters++
		}
		head = head[size:]
	}
	return form{"the text is not UTF-8; it looks like Windows-1252 or Latin-1", "convert it: iconv -f WINDOWS-1252 -t UTF-8 FILE > records.jsonl"}, letters > 0
}

// isProse reports whether text is plain prose: no line is JSON or begins like a record, and its complete lines are
// UTF-8 without zero bytes.
func isProse(text []byte) bool {
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && (line[0] == '{' || json.Valid(line)) {
			return false
		}
	}
	return utf8.Valid(text[:bytes.LastIndexByte(text, '\n')]) && !bytes.ContainsRune(text, 0)
}

// spread reports whether the first JSON object continues after its first line, as in pretty-printed JSON.
func spread(text []byte) bool {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	if json.Valid(first) {
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	var object map[string]json.RawMessage
	err := dec.Decode(&object)
	return err == nil && dec.InputOffset() > int64(len(first)) || errors.Is(err, io.ErrUnexpectedEOF) && len(bytes.TrimSpace(first)) == 1
}

// wrapped returns the form of a line whose body stands in a member other than modelInput. A line with a modelInput
// is never wrapped.
func wrapped(line []byte) (form, bool) {
	var object map[string]json.RawMessage
	if json.Unmarshal(line, &object) != nil || object["modelInput"] != nil {
		return form{}, false
	}
	if object["body"] != nil && (object["custom_id"] != nil || object["url"] != nil) {
		return form{}, false // a line of OpenAI's batches
	}
	for _, w := range wrappers {
		if object[w.member] != nil {
			return w.form, true
		}
	}
	return form{}, false
}

// refuseForm returns an error with a remedy if the file at path, which people know by name, is not a file of records as a whole. It reads at
// most formBytes. A file that cannot be read is not refused here: the later reader reports why.
func refuseForm(path, name string) error {
	f, err := files.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, formBytes)
	n, err := io.ReadFull(f, head)
	whole := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !whole {
		return nil
	}
	found, ok := fileForm(head[:n], whole)
	if !ok {
		return nil
	}
	return hint(fmt.Errorf("%s: %s", name, found.what), "%s", strings.ReplaceAll(found.remedy, "FILE", words.Quote(name)))
}

// refuseForms calls refuseForm for each file whose name ends in .jsonl, and returns the first error. Nothing has
// been sent or uploaded then.
func refuseForms(gathered []localFile) error {
	for _, f := range gathered {
		if strings.HasSuffix(f.key, inputSuffix) {
			if err := refuseForm(f.path, f.name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// otherEnding returns the error for an input without a .jsonl file: its files have another form, or records stand
// in a file with another suffix. It returns nil if neither is recognised.
func otherEnding(gathered []localFile) error {
	for _, f := range gathered {
		if err := refuseForm(f.path, f.name()); err != nil {
			return err
		}
	}
	for _, f := range gathered {
		switch ending := filepath.Ext(f.path); ending {
		case ".json", ".ndjson", ".txt", ".jsonlines":
			return hint(fmt.Errorf("no file in %s ends in %s", f.path, inputSuffix), "if it has one record a line, rename it: mv %s %s",
				words.Quote(f.path), words.Quote(strings.TrimSuffix(f.path, ending)+inputSuffix))
		}
	}
	return nil
}
