package records

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Kind is the type of a column, for formats with types.
type Kind int

// The kinds.
const (
	KindText   Kind = iota
	KindInt         // int64
	KindNumber      // float64
	KindBool
	KindJSON
)

// Column is a column of a table that is written.
type Column struct {
	Name string
	Kind Kind

	stored *storedColumn // it is copied from a Parquet file
}

// Writer writes a table. Close writes the end and what is buffered; it does not close the stream below.
type Writer interface {
	Write(values []any) error
	Close() error
}

// NewWriter returns the writer of a format. CSV and TSV begin with the names of the columns, have LF at the ends of lines, and quotes where
// a cell needs them; nil is an empty cell. JSON is an array with one object on each line, JSONL the objects alone.
func NewWriter(w io.Writer, f Format, columns []Column) (Writer, error) {
	switch f {
	case CSV, TSV:
		c := csv.NewWriter(w)
		if f == TSV {
			c.Comma = '\t'
		}
		d := &delimitedWriter{csv: c, cells: make([]string, len(columns))}
		for i, column := range columns {
			d.cells[i] = column.Name
		}
		return d, c.Write(d.cells)
	case JSON, JSONL:
		return &jsonWriter{w: bufio.NewWriterSize(w, 64<<10), columns: columns, array: f == JSON}, nil
	case Parquet:
		return newParquetWriter(w, columns)
	}
	return nil, fmt.Errorf("the format %q is not known", f)
}

// Text returns a value as the text of a cell.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case Number:
		return string(v)
	case Nested:
		return string(v)
	}
	return fmt.Sprint(v)
}

// delimitedWriter writes CSV and TSV.
type delimitedWriter struct {
	csv   *csv.Writer
	cells []string
}

// Write writes a row.
func (d *delimitedWriter) Write(values []any) error {
	for i, v := range values {
		d.cells[i] = Text(v)
	}
	return d.csv.Write(d.cells)
}

// Close writes what is buffered.
func (d *delimitedWriter) Close() error {
	d.csv.Flush()
	return d.csv.Error()
}

// jsonWriter writes JSON and JSON lines.
type jsonWriter struct {
	w       *bufio.Writer
	columns []Column
	array   bool
	begun   bool
	line    []byte
}

// Write writes a row.
func (j *jsonWriter) Write(values []any) (err error) {
	b := j.line[:0]
	switch {
	case j.array && !j.begun:
		b = append(b, "[\n"...)
	case j.array:
		b = append(b, ",\n"...)
	}
	j.begun = true
	b = append(b, '{')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = jsontext.AppendQuote(b, j.columns[i].Name); err != nil {
			return err
		}
		b = append(b, ':')
		if b, err = appendJSON(b, v); err != nil {
			return fmt.Errorf("column %s: %w", j.columns[i].Name, err)
		}
	}
	b = append(b, '}')
	if !j.array {
		b = append(b, '\n')
	}
	j.line = b
	_, err = j.w.Write(b)
	return err
}

// appendJSON appends a value as JSON.
func appendJSON(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case string:
		return jsontext.AppendQuote(b, v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return jsontext.AppendQuote(b, Text(v))
		}
	}
	return append(b, Text(v)...), nil
}

// Close writes the end.
func (j *jsonWriter) Close() error {
	if j.array && !j.begun {
		j.w.WriteByte('[')
	}
	if j.array {
		j.w.WriteString("\n]\n")
	}
	return j.w.Flush()
}

// IsFormula reports whether a spreadsheet may run a cell of a CSV as a formula when it opens the file.
func IsFormula(cell string) bool {
	r, _ := utf8.DecodeRuneInString(cell)
	switch r {
	case '=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠':
		return true
	}
	return false
}
