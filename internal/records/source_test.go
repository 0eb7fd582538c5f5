package records

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/batholith/batholith/internal/raced"
)

// lastError reads a table to its end or first error.
func lastError(name, content string) error {
	s, err := Open(name, strings.NewReader(content), Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	for _, err := range s.Rows() {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestMistakesAreNamedWithTheirPlace(t *testing.T) {
	for _, tt := range []struct{ name, content, err, remedy string }{
		{"a.csv", "", "a.csv: the file is empty", "names of the columns"},
		{"a.csv", "\xef\xbb\xbf", "a.csv: the file is empty", ""},
		{"a.csv", "a,b\n1\n", "a.csv:2: column b: the row has 1 of 2 cells", "not in quotes"},
		{"a.csv", "a,b\n1,2\n\n1,2,3\n", "a.csv:4: column 5: the row has 3 cells, and the first line has 2", "quotes"},
		{"a.csv", "a,b,a\n", "a.csv:1: column a: the columns 1 and 3 have the same name", "rename"},
		{"a.csv", "a\nx\n5\" wide\n", "a.csv:3: column 2: a quote (\")", "double the quotes"},
		{"a.csv", "a\nx\n\"5\" wide\"\n", "a.csv:3: column 3: the end of a quoted cell", "close"},
		{"a.csv", "a\nx\n\"one\ntwo\n", "a.csv:3: a quoted cell begins in this row, and its end is missing or followed by other text (line 4", "close"},
		{"a.csv", "a\nx\n\"" + strings.Repeat("long\n", MaxRow/5+50000), fmt.Sprintf("a.csv:2: the row after this line has more than %d bytes", MaxRow), "quote"},
		{"a.csv", "a,b\nx,caf\xe9\n", "a.csv:2: column b: the text is not UTF-8", "WINDOWS-1252"},
		{"a.csv", "caf\xe9\nx\n", "a.csv:1: column 1: the text is not UTF-8", "WINDOWS-1252"},
		{"a.csv", "\xff\xfea\x00,\x00", "a.csv: the text is UTF-16", "iconv -f UTF-16"},
		{"a.csv", "a\x00,\x00b\x00\n\x001\x00,\x002\x00", "a.csv: the text is UTF-16 without a byte order mark", "iconv"},
		{"a.csv", "PK\x03\x04...", "a.csv: the file is a zip file or a spreadsheet", "save the spreadsheet as CSV"},
		{"a.txt", "a\n", "a.txt: the name does not say which format", "--from"},
		{"a.XLSX", "PK\x03\x04...", "a.XLSX: the file is a spreadsheet", "save the spreadsheet as CSV"},
		{"a.json", " ", "a.json: the file is empty", "array"},
		{"a.json", "[{\"a\":1},\n 2]", "a.json:2: column 3: this is not an object", "each row"},
		{"a.json", "3", "a.json:1: column 2: this is not an object", "each row"},
		{"a.json", "[{\"a\":1},\n {\"a\":}]", "a.json:2: column 7: the JSON is not valid", ""},
		{"a.json", "[{\"a\":1},\n {\"a\":2", "a.json:2: the JSON ends too early", ""},
		{"a.json", "[{\"a\":1}]\n{}", "a.json:2: column 2: there is more behind the end", ""},
		{"a.json", "[{\"a\":1,\"a\":2}]", "a.json:1: column 9: the JSON is not valid: duplicate object member name", ""},
		{"a.jsonl", "{\"a\":1}\n\n{\"a\":1}\nx\n", "a.jsonl:4: column 1: the JSON is not valid", ""},
		{"a.jsonl", "{\"a\":\"" + strings.Repeat("long ", MaxRow/5+50000), fmt.Sprintf("a.jsonl:1: the row after this line has more than %d bytes", MaxRow), "closed"},
		{"a.parquet", "", "a.parquet: the file is empty", ""},
		{"a.parquet", "PAR1 is how it begins, and nothing else PAR1", "a.parquet: the Parquet file cannot be read", "to its end"},
		{"a.csv.gz", "\x1f\x8b\x08\x00", "a.csv.gz: the gzip data is damaged", ""},
		{"a.csv.zst", "\x28\xb5\x2f\xfd\x00\x01", "a.csv.zst: the zstd data ends too early: the file is not whole", "again"},
	} {
		err := lastError(tt.name, tt.content)
		var e *Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), tt.err) || !strings.Contains(e.Remedy, tt.remedy) {
			t.Errorf("%s, %.40q:\n%v\nwant\n%s", tt.name, tt.content, err, tt.err)
		}
	}
}

func TestTablesAreReadAsPeopleSaveThem(t *testing.T) {
	packed := func(text string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, text)
		z.Close()
		return b.String()
	}
	enc, _ := zstd.NewWriter(nil)
	for _, tt := range []struct{ name, content, columns, rows string }{
		{"bom and CRLF.csv", "\xef\xbb\xbfa,b\r\n1,\"x\r\ny\"\r\n", "a b", "[1 x\ny]"},
		{"semicolons.csv", "\"a,1\";b\n1;2,5\n", "a,1 b", "[1 2,5]"},
		{"tabs.csv", "a\tb\n1\t2\n", "a b", "[1 2]"},
		{"pandas.csv", ",a\n0,x\n", "column_1 a", "[0 x]"},
		{"no end.csv", "a,b\n1,2", "a b", "[1 2]"},
		{"screens.tsv", "a\tb\n5\" wide\t\"quoted \"\"x\"\"\"\n", "a b", "[5\" wide quoted \"x\"]"},
		{"packed.CSV.gz", packed("a\n1\n"), "a", "[1]"},
		{"packed.csv", packed("a\n1\n"), "a", "[1]"},
		{"packed.jsonl.zst", string(enc.EncodeAll([]byte(`{"a":1}`), nil)), "a", "[1]"},
		{"array.json", "\xef\xbb\xbf[ {\"a\":1e400,\"b\":{\"c\": [null, 1.50]}} ,\n{\"b\":null,\"a\":\"\\u00e9\"}]\n", "b a", `[1e400 {"c":[null,1.50]}][ é]`},
		{"lines.json", `{"a":true} {"a":false}`, "a", "[true][false]"},
		{"empty.json", "[]", "", ""},
		{"header.csv", "a,b\n", "", ""},
	} {
		columns, rows := readAll(require{t}, tt.name, []byte(tt.content))
		var got strings.Builder
		for _, row := range rows {
			fmt.Fprint(&got, row)
		}
		if strings.Join(columns, " ") != tt.columns || got.String() != tt.rows {
			t.Errorf("%s: %q %s", tt.name, columns, got.String())
		}
	}
}

// parquetRow has the types of Parquet.
type parquetRow struct {
	Name    string              `parquet:"name"`
	Count   int64               `parquet:"count"`
	Small   uint32              `parquet:"small"`
	Ratio   float32             `parquet:"ratio"`
	Sure    *bool               `parquet:"sure,optional"`
	At      time.Time           `parquet:"at,timestamp(microsecond)"`
	Day     int32               `parquet:"day,date"`
	Price   int64               `parquet:"price,decimal(2:10)"`
	ID      [16]byte            `parquet:"id,uuid"`
	Raw     []byte              `parquet:"raw"`
	Tags    []string            `parquet:"tags,list"`
	Numbers map[string]int64    `parquet:"numbers"`
	Deep    *struct{ A []int8 } `parquet:"deep,optional"`
}

// parquetFile returns a file of two row groups.
func parquetFile(t *testing.T) []byte {
	var b bytes.Buffer
	w := parquet.NewGenericWriter[parquetRow](&b, parquet.MaxRowsPerRowGroup(1))
	sure := true
	at := time.Date(2026, 2, 3, 4, 5, 6, 789000, time.UTC)
	if _, err := w.Write([]parquetRow{
		{"é", 1 << 60, 1 << 31, 0.1, &sure, at, 20000, -5, uuid.MustParse("00112233-4455-6677-8899-aabbccddeeff"), []byte{0xff}, []string{"a", "b"}, map[string]int64{"x": 1}, &struct{ A []int8 }{[]int8{1}}},
		{Name: "null", At: at},
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParquetValuesAreWhatTheyMean(t *testing.T) {
	file := parquetFile(t)
	want := `é|1152921504606846976|2147483648|0.1|true|2026-02-03T04:05:06.000789Z|2024-10-04|-0.05|00112233-4455-6677-8899-aabbccddeeff|/w==|["a","b"]|{"x":1}|{"A":[1]}` + "\n" +
		`null|0|0|0||2026-02-03T04:05:06.000789Z|1970-01-01|0.00|00000000-0000-0000-0000-000000000000||[]|{}|`
	path := filepath.Join(t.TempDir(), "a.parquet")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, r := range []io.Reader{f, bytes.NewReader(file), bytes.NewBuffer(file)} { // where it is, and copied
		s, err := Open("a.parquet", r, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for row, err := range s.Rows() {
			if err != nil {
				t.Fatal(err)
			}
			var cells []string
			for _, v := range row.Values {
				cells = append(cells, Text(v))
			}
			got = append(got, strings.Join(cells, "|"))
		}
		s.Close()
		if strings.Join(got, "\n") != want {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
		}
	}
	for n := 1; n < len(file); n += 37 { // a damaged file is an error, and no panic
		damaged := bytes.Clone(file)
		damaged[n] ^= 0x5a
		_ = lastError("a.parquet", string(damaged))
		if err := lastError("a.parquet", string(file[:n])); err == nil {
			t.Errorf("the first %d bytes are a table", n)
		}
	}
}

// The types of a Parquet source are those of the Parquet file beside the answers.
func TestParquetColumnsKeepTheirTypes(t *testing.T) {
	file := parquetFile(t)
	out := filepath.Join(t.TempDir(), "a.jsonl.out")
	if err := os.WriteFile(out, []byte(`{"recordId":"0000000002","modelOutput":{}}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	j := &Join{Source: func() (*Source, error) { return Open("a.parquet", bytes.NewReader(file), Options{}) }, Outputs: []Output{{out, out}}, Read: func([]byte) Said { return Said{Text: "yes"} }}
	plan, err := j.Plan()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := NewWriter(&b, Parquet, plan.Columns)
	if err != nil {
		t.Fatal(err)
	}
	for values, err := range j.Rows(true) {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(values); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	schema := f.Schema().String()
	for _, line := range []string{"optional int64 at (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS));", "optional int32 day (DATE);", "optional int64 price (DECIMAL(10,2));", "optional fixed_len_byte_array(16) id (UUID);",
		"optional int32 small (INT(32,false));", "optional float ratio;", "optional binary tags (JSON);", "optional binary answer (STRING);", "optional int64 input_tokens (INT(64,true));"} {
		if !strings.Contains(schema, line) {
			t.Errorf("the schema has no %s\n%s", line, schema)
		}
	}
	_, rows := readAll(require{t}, "b.parquet", b.Bytes())
	if len(rows) != 2 || rows[0][5] != "2026-02-03T04:05:06.000789Z" || rows[0][14] != NoAnswer || rows[1][13] != "yes" || rows[0][10] != `["a","b"]` {
		t.Errorf("%q", rows)
	}
}

// The output of a job may be in OpenAI's lines.
func TestOpenAIsLinesAreAnOutput(t *testing.T) {
	out := filepath.Join(t.TempDir(), "a.jsonl.out")
	lines := `{"id":"1","custom_id":"a","response":{"status_code":200,"request_id":"r","body":{"x":1}},"error":null}
{"id":"2","custom_id":"b","response":{"status_code":400,"body":{"error":{"message":"too long"}}},"error":null}
{"id":"3","custom_id":"c","response":null,"error":{"code":"batch_expired","message":"expired"}}
{"id":"4","custom_id":"d","response":{"status_code":500,"body":null}}
`
	if err := os.WriteFile(out, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	j := &Join{Outputs: []Output{{out, out}}, Read: func(output []byte) Said { return Said{Text: string(output)} }}
	if _, err := j.Plan(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for values, err := range j.Rows(false) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, Text(values[0])+":"+Text(values[1])+Text(values[2]))
	}
	if want := `a:{"x":1} b:too long c:expired d:status 500`; strings.Join(got, " ") != want {
		t.Errorf("%q", got)
	}
}

// rowsOf is a CSV of any number of rows, which is made while it is read.
type rowsOf struct {
	left int
	row  string
	rest string
}

// Read implements io.Reader.
func (r *rowsOf) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.left == 0 {
			return 0, io.EOF
		}
		r.left--
		r.rest = r.row
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// heap watches how much the heap has at most, beyond what it had at the beginning.
type heap struct{ before, most uint64 }

// newHeap begins to watch.
func newHeap() *heap { return &heap{before: heapNow()} }

// look notes the present size.
func (h *heap) look() { h.most = max(h.most, heapNow()) }

// grown returns bytes.
func (h *heap) grown() int64 { return int64(h.most) - int64(h.before) }

// heapNow returns the live bytes.
func heapNow() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A table of 400 MB becomes records, and a table with their answers, in the memory of a few rows.
func TestMemoryDoesNotGrowWithTheTable(t *testing.T) {
	rows, most := 200_000, int64(4<<20)
	if raced.On {
		rows /= 10
	}
	open := func() (*Source, error) {
		return Open("big.csv", &rowsOf{left: rows, rest: "id,text\n", row: "x,\"" + strings.Repeat("many words ", 180) + "\"\n"}, Options{})
	}
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	template, err := ParseTemplate("Translate: {{.text}}")
	if err != nil {
		t.Fatal(err)
	}
	recipe := Recipe{Template: template, Body: func(text string) ([]byte, error) { return []byte(`{"prompt":"` + text + `"}`), nil }}
	path := filepath.Join(t.TempDir(), "big.jsonl.out")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewWriter(f)
	n, h := 0, newHeap()
	for rec, err := range recipe.Lines(s) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%(rows/4) == 0 {
			h.look()
		}
		fmt.Fprintf(out, "{\"recordId\":\"%s\",\"modelOutput\":{\"n\":1}}\n", rec.ID)
	}
	if err := errors.Join(out.Flush(), f.Close()); err != nil || n != rows || h.grown() > most {
		t.Errorf("%d records, %v, the heap grew by %d bytes", n, err, h.grown())
	}
	h = newHeap()
	j := &Join{Source: open, Outputs: []Output{{path, path}}, Read: func([]byte) Said { return Said{Text: "a"} }}
	defer j.Close()
	plan, err := j.Plan()
	if err != nil {
		t.Fatal(err)
	}
	h.look()
	w, err := NewWriter(io.Discard, JSONL, plan.Columns)
	if err != nil {
		t.Fatal(err)
	}
	n = 0
	for values, err := range j.Rows(false) {
		if err == nil {
			err = w.Write(values)
		}
		if err != nil || values[2] != "a" {
			t.Fatal(n, err, values)
		}
		if n++; n%(rows/2) == 0 {
			h.look()
		}
	}
	if n != rows || h.grown() > most {
		t.Errorf("%d rows with answers, the heap grew by %d bytes", n, h.grown())
	}
}

// Whatever a file has, it is a table, or an error that names the file.
func TestAnyBytesAreATableOrAnError(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom(Formats).Draw(t, "format")
		pieces := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom([]string{"\"", ",", "\n", "\r\n", "\t", ";", "[", "]", "{", "}", ":", `"a"`, "1e9", "null", "\xef\xbb\xbf", "\x1f\x8b", "PAR1", "\x28\xb5\x2f\xfd", "a", "é"}),
			rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 3), func(b []byte) string { return string(b) })), 0, 20).Draw(t, "pieces")
		var e *Error
		if err := lastError("x."+f, strings.Join(pieces, "")); err != nil && (!errors.As(err, &e) || e.File != "x."+f || e.Reason == "") {
			t.Fatalf("%v", err)
		}
	})
}
