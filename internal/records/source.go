package records

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/batholith/batholith/internal/words"
)

// MaxRow is the largest size of one row, in bytes as written: that of a modelInput. A quote that is never closed ends there.
const MaxRow = 25_000_000

// maxColumns is the largest number of columns.
const maxColumns = 10_000

// Options say how to read a table.
type Options struct {
	From Format // "": by the ending of the name
	// Check is called before each row; its error ends the reading. Nil: nothing is called.
	Check func() error
}

// Row is one row of a table. It is valid until the next one is read, but its values may be kept.
type Row struct {
	Number  int64    // from 1, without the header
	Line    int64    // of the file where the row begins; 0: the format has no lines
	Columns []string // names, in the order of the file
	// Values are nil, string, bool, int64, float64, [Number] or [Nested].
	Values []any

	leaves []parquet.Value // of a Parquet file: the stored value of each column; that of a nested one is null
}

// Number is a number of JSON as it was written.
type Number string

// Nested is an object or an array, as JSON.
type Nested string

// Source is a table that is read once, row by row. It is used by one goroutine.
type Source struct {
	Name   string
	Format Format
	// Columns are the names of the columns, where they are known before the rows: not for JSON.
	Columns []string
	// Note says what was assumed about the file, for people: "" mostly.
	Note string

	rows  rowReader
	check func() error
	close []func()
	count int64
}

// rowReader reads a format. next returns io.EOF after the last row.
type rowReader interface {
	next() (Row, error)
}

// Open begins to read a table. name is its file's name, for the format and for messages; r may be compressed with gzip or zstd. A
// Parquet file is read where it is if r is a file that is not compressed, and is copied to a temporary file otherwise. The errors
// about the content are of the type *[Error]. The source must be closed; r is the caller's.
func Open(name string, r io.Reader, o Options) (_ *Source, err error) {
	s := &Source{Name: name, Format: o.From, check: o.Check}
	if s.Format == "" {
		s.Format = FormatOf(name)
	}
	defer func() {
		if err != nil {
			s.Close()
			err = s.fault(err)
		}
	}()
	if s.Format == "" {
		if spreadsheet(name) {
			return nil, &Error{File: name, Reason: "the file is a spreadsheet, which is not read", Remedy: "save the spreadsheet as CSV (UTF-8), and name that file"}
		}
		return nil, &Error{File: name, Reason: "the name does not say which format the table has", Remedy: "name the format: --from " + strings.Join(Formats, "|")}
	}
	if f, ok := plainParquet(r); ok && s.Format == Parquet {
		return s, s.openParquet(f.ReaderAt, f.size)
	}
	content, err := Unpack(r)
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, func() { content.Close() })
	switch s.Format {
	case CSV, TSV:
		err = s.openDelimited(content)
	case JSON, JSONL:
		err = s.openJSON(content)
	case Parquet:
		f, size, err := spool(content)
		if err != nil {
			return nil, fmt.Errorf("copy it to a temporary file: %w", err)
		}
		s.close = append(s.close, func() { unspool(f) })
		return s, s.openParquet(f, size)
	default:
		return nil, fmt.Errorf("the format %q is not known", s.Format)
	}
	return s, err
}

// spreadsheet reports whether a file's name is that of a spreadsheet: Excel's or OpenDocument's.
func spreadsheet(name string) bool {
	return slices.Contains([]string{".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"}, strings.ToLower(filepath.Ext(name)))
}

// Close frees what Open took.
func (s *Source) Close() error {
	for _, f := range slices.Backward(s.close) {
		f()
	}
	s.close = nil
	return nil
}

// OnClose calls f when the source is closed.
func (s *Source) OnClose(f func()) { s.close = append([]func(){f}, s.close...) }

// Next returns the next row, or io.EOF after the last.
func (s *Source) Next() (Row, error) {
	if s.check != nil {
		if err := s.check(); err != nil {
			return Row{}, err
		}
	}
	row, err := s.rows.next()
	if err != nil {
		return Row{}, s.fault(err)
	}
	s.count++
	row.Number = s.count
	return row, nil
}

// Rows yields all rows that were not read, and ends after the first error.
func (s *Source) Rows() iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for {
			row, err := s.Next()
			if errors.Is(err, io.EOF) || !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// fault adds the file's name to an error. io.EOF stays what it is.
func (s *Source) fault(err error) error {
	var e *Error
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.As(err, &e):
		if e.File == "" {
			e.File, e.Remedy = s.Name, strings.ReplaceAll(e.Remedy, "FILE", words.Quote(s.Name))
		}
		return e
	}
	e = &Error{File: s.Name, Reason: err.Error(), Err: err}
	if errors.Is(err, errNotWhole) {
		e.Remedy = "fetch or make the file again, and check it with gzip -t or zstd -t"
	}
	return e
}

// checkColumns names columns without a name, and refuses two of the same name.
func checkColumns(columns []string, line int64) error {
	if len(columns) > maxColumns {
		return &Error{Line: line, Reason: fmt.Sprintf("the table has %d columns, and %d are the most", len(columns), maxColumns)}
	}
	at := make(map[string]int, len(columns))
	for i, name := range columns {
		if name == "" {
			columns[i] = fmt.Sprintf("column_%d", i+1)
		}
		if first, ok := at[columns[i]]; ok {
			return &Error{Line: line, Column: columns[i], Reason: fmt.Sprintf("the columns %d and %d have the same name", first+1, i+1), Remedy: "rename one of them in the first line"}
		}
		at[columns[i]] = i
	}
	return nil
}
