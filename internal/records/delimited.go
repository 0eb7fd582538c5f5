package records

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// delimited reads CSV (RFC 4180) and TSV.
type delimited struct {
	limit   *rowLimit
	csv     *csv.Reader
	columns []string
	line    int64 // of the last row
}

// sniffed is how many bytes of the first line decide which sign separates the columns.
const sniffed = 32 << 10

// openDelimited reads the header. The columns of a CSV may be separated by semicolons or tabs, if the first line has no comma.
func (s *Source) openDelimited(content io.Reader) error {
	limit := &rowLimit{r: content}
	limit.reset()
	r := bufio.NewReaderSize(limit, sniffed)
	head, err := r.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return err
	}
	if err := refuseEncoding(head); err != nil {
		return err
	}
	if rest, ok := bytes.CutPrefix(head, []byte("\xef\xbb\xbf")); ok {
		head = rest
		if _, err := r.Discard(3); err != nil {
			return err
		}
	}
	d := &delimited{limit: limit, csv: csv.NewReader(r)}
	d.csv.FieldsPerRecord = -1 // next says which columns are missing
	switch s.Format {
	case TSV:
		d.csv.Comma, d.csv.LazyQuotes = '\t', true
	default:
		d.csv.Comma, s.Note = separator(head)
	}
	d.columns, err = d.csv.Read()
	if errors.Is(err, io.EOF) {
		return &Error{Reason: "the file is empty", Remedy: "its first line has the names of the columns"}
	}
	if err != nil {
		return d.fault(err)
	}
	line, _ := d.csv.FieldPos(0)
	for i, name := range d.columns {
		if !utf8.ValidString(name) {
			return notUTF8(int64(line), "", strconv.Itoa(i+1))
		}
	}
	s.Columns, s.rows = d.columns, d
	return checkColumns(d.columns, int64(line))
}

// separator returns the sign between the columns, by the first line, and a note if it is no comma.
func separator(head []byte) (sign rune, note string) {
	counts, quoted := map[byte]int{}, false
line:
	for _, c := range head {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '\n':
			break line
		default:
			counts[c]++
		}
	}
	switch {
	case counts[','] > 0:
		return ',', ""
	case counts[';'] > 0:
		return ';', "the columns are separated by semicolons"
	case counts['\t'] > 0:
		return '\t', "the columns are separated by tabs"
	}
	return ',', ""
}

// next returns the next row. A row with more or fewer cells than the header is an error.
func (d *delimited) next() (Row, error) {
	d.limit.reset()
	cells, err := d.csv.Read()
	if err != nil {
		return Row{}, d.fault(err)
	}
	line, _ := d.csv.FieldPos(0)
	d.line = int64(line)
	switch n := len(d.columns); {
	case len(cells) < n:
		return Row{}, &Error{Line: int64(line), Column: d.columns[len(cells)], Reason: fmt.Sprintf("the row has %d of %d cells: this column and those behind it are missing", len(cells), n),
			Remedy: "is a cell with a newline or a separator not in quotes? otherwise add the empty cells"}
	case len(cells) > n:
		_, at := d.csv.FieldPos(n)
		return Row{}, &Error{Line: int64(line), Column: strconv.Itoa(at), Reason: fmt.Sprintf("the row has %d cells, and the first line has %d", len(cells), n),
			Remedy: `put cells that contain the separator in quotes: "a, b"`}
	}
	values := make([]any, len(cells))
	for i, cell := range cells {
		if !utf8.ValidString(cell) {
			at, _ := d.csv.FieldPos(i)
			return Row{}, notUTF8(int64(at), d.columns[i], "")
		}
		values[i] = cell
	}
	return Row{Line: int64(line), Columns: d.columns, Values: values}, nil
}

// fault returns an error of the reader with its place.
func (d *delimited) fault(err error) error {
	var p *csv.ParseError
	if errors.Is(err, errRowTooLong) {
		return &Error{Line: d.line, Reason: fmt.Sprintf("the row after this line has more than %d bytes", MaxRow), Remedy: "is a quote not closed there?"}
	}
	if !errors.As(err, &p) {
		return err
	}
	e := &Error{Line: int64(p.Line), Column: strconv.Itoa(p.Column), Reason: p.Err.Error()}
	switch {
	case errors.Is(p.Err, csv.ErrBareQuote):
		e.Reason, e.Remedy = `a quote (") stands inside a cell that does not begin with one`, `put the cell in quotes, and double the quotes in it: "5"" screen"`
	case errors.Is(p.Err, csv.ErrQuote) && p.StartLine != p.Line:
		e.Line, e.Column = int64(p.StartLine), ""
		e.Reason, e.Remedy = fmt.Sprintf("a quoted cell begins in this row, and its end is missing or followed by other text (line %d, column %d)", p.Line, p.Column), `close the quote, or double the quotes inside: "5"" screen"`
	case errors.Is(p.Err, csv.ErrQuote):
		e.Reason, e.Remedy = "the end of a quoted cell is missing, or followed by other text", `close the quote, or double the quotes inside: "5"" screen"`
	}
	return e
}

// errRowTooLong is the error of a rowLimit.
var errRowTooLong = errors.New("the row is too long")

// rowLimit fails if a reader takes more than MaxRow bytes for one row, and the buffer before it.
type rowLimit struct {
	r    io.Reader
	left int
}

// reset begins a row.
func (l *rowLimit) reset() { l.left = MaxRow + 2*sniffed }

// Read implements io.Reader.
func (l *rowLimit) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errRowTooLong
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// otherEncodings are the beginnings of files that are no UTF-8 text.
var otherEncodings = []struct{ head, reason, remedy string }{
	{"\xff\xfe", "the text is UTF-16, not UTF-8", "convert it: iconv -f UTF-16 -t UTF-8 FILE > converted.csv"},
	{"\xfe\xff", "the text is UTF-16, not UTF-8", "convert it: iconv -f UTF-16 -t UTF-8 FILE > converted.csv"},
	{"PK\x03\x04", "the file is a zip file or a spreadsheet (.xlsx), not text", "save the spreadsheet as CSV (UTF-8)"},
	{"PAR1", "the file is in Parquet format", "say so: --from parquet"},
	{"BZh", "the file is in bzip2 format", "unpack it first: bunzip2 -k FILE"},
	{"\xfd7zXZ", "the file is in xz format", "unpack it first: unxz -k FILE"},
}

// refuseEncoding returns an error for the beginning of a file that is no UTF-8 text.
func refuseEncoding(head []byte) error {
	for _, o := range otherEncodings {
		if bytes.HasPrefix(head, []byte(o.head)) {
			return &Error{Reason: o.reason, Remedy: o.remedy}
		}
	}
	if n := min(len(head), 64); n > 3 && bytes.Count(head[:n], []byte{0}) >= n/3 {
		return &Error{Reason: "the text is UTF-16 without a byte order mark, not UTF-8", Remedy: "convert it: iconv -f UTF-16LE -t UTF-8 FILE > converted.csv"}
	}
	return nil
}

// notUTF8 returns the error for text of another encoding.
func notUTF8(line int64, column, number string) error {
	return &Error{Line: line, Column: column + number, Reason: "the text is not UTF-8; it may be Windows-1252 or Latin-1",
		Remedy: "convert it: iconv -f WINDOWS-1252 -t UTF-8 FILE > converted.csv"}
}
