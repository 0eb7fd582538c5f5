package records

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Recipe says how to make records of rows.
type Recipe struct {
	Template *Template
	Body     func(text string) ([]byte, error) // the modelInput for a text: compact JSON
	ID       string                            // column with the recordIds; "": the rows are numbered
}

// Record is one line of an input file.
type Record struct {
	Line []byte // with its newline
	ID   string
	Row  int64 // number of the row
	At   int64 // line of the row in its file; 0: unknown
}

// numberDigits is the length of recordIds that are numbers of rows: with leading zeros, texts sort as numbers do.
const numberDigits = 10

// NumberedID returns the recordId of a row without one of its own.
func NumberedID(row int64) string { return fmt.Sprintf("%0*d", numberDigits, row) }

// numberOf returns the row of such a recordId.
func numberOf(id string) (row int64, ok bool) {
	if len(id) < numberDigits {
		return 0, false
	}
	for _, c := range id {
		if c < '0' || c > '9' || row > 1<<58 {
			return 0, false
		}
		row = row*10 + int64(c-'0')
	}
	return row, row > 0 && NumberedID(row) == id
}

// Lines yields a record for each row, in order, and ends after the first error. A table without rows is an error. Repeated recordIds
// are not found here. The bytes of a line are valid until the next one.
func (r Recipe) Lines(s *Source) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		var line []byte
		for row, err := range s.Rows() {
			rec := Record{Row: row.Number, At: row.Line}
			if err == nil {
				line, err = r.append(line[:0], &rec, row)
				err = s.inRow(row, err)
			}
			rec.Line = line
			if !yield(rec, err) || err != nil {
				return
			}
		}
		if s.count == 0 {
			yield(Record{}, s.fault(&Error{Reason: "the table has no rows", Remedy: "a job needs at least one record"}))
		}
	}
}

// append appends the line of a row, and sets the record's id.
func (r Recipe) append(line []byte, rec *Record, row Row) ([]byte, error) {
	text, err := r.Template.Text(row)
	if err != nil {
		return line, err
	}
	if rec.ID = NumberedID(row.Number); r.ID != "" {
		if rec.ID, err = cellOf(row, r.ID); err != nil {
			return line, err
		}
	}
	body, err := r.Body(text)
	if err != nil {
		return line, err
	}
	if len(body) > MaxRow {
		return line, &Error{Reason: fmt.Sprintf("the record has %d bytes, and %d are the most", len(body), MaxRow), Remedy: "shorten the text: {{cut 100000 .text}} takes its beginning"}
	}
	line = append(line, `{"recordId":`...)
	if line, err = jsontext.AppendQuote(line, rec.ID); err != nil {
		return line, err
	}
	line = append(line, `,"modelInput":`...)
	line = append(line, body...)
	return append(line, "}\n"...), nil
}

// cellOf returns a row's cell in the column of the recordIds.
func cellOf(row Row, column string) (string, error) {
	i := slices.Index(row.Columns, column)
	if i < 0 {
		return "", &Error{Reason: fmt.Sprintf("there is no column %q for the recordId", column), Remedy: "the columns are: " + named(row.Columns, column)}
	}
	id := Text(row.Values[i])
	if strings.TrimSpace(id) == "" {
		return "", &Error{Column: column, Reason: "the cell is empty, and is to be the recordId", Remedy: "fill it, or leave out --id, and the rows are numbered"}
	}
	return id, nil
}

// inRow adds the place of a row to an error.
func (s *Source) inRow(row Row, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Reason: err.Error()}
	}
	e.File, e.Row, e.Line = s.Name, row.Number, row.Line
	return e
}
