package records

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// objects reads objects of JSON: the elements of one array, or one after another with any white space between them.
type objects struct {
	limit   *rowLimit
	lines   *lineCount
	dec     *jsontext.Decoder
	array   bool
	columns []string // of the last row: rows with the same members share them
}

// openJSON begins to read.
func (s *Source) openJSON(content io.Reader) error {
	limit := &rowLimit{r: content}
	limit.reset()
	r := bufio.NewReaderSize(limit, sniffed)
	head, err := r.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := refuseEncoding(head); err != nil {
		return err
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		if _, err := r.Discard(3); err != nil {
			return err
		}
	}
	o := &objects{limit: limit, lines: &lineCount{r: r}}
	o.dec = jsontext.NewDecoder(o.lines)
	s.rows = o
	switch o.dec.PeekKind() {
	case '[':
		o.array = true
		_, err = o.dec.ReadToken()
		return err
	case '{':
		return nil
	}
	_, err = o.dec.ReadToken()
	switch {
	case errors.Is(err, io.EOF):
		return &Error{Reason: "the file is empty", Remedy: "it has one JSON array of objects, or one object on each line"}
	case err != nil:
		return o.fault(err)
	}
	return o.notAnObject()
}

// notAnObject returns the error for a value that is no row.
func (o *objects) notAnObject() error {
	line, column := o.lines.at(o.dec.InputOffset())
	return &Error{Line: line, Column: strconv.FormatInt(column, 10), Reason: "this is not an object", Remedy: `each row is an object with the columns: {"text": "…"}`}
}

// next returns the next object.
func (o *objects) next() (Row, error) {
	o.limit.reset()
	switch kind := o.dec.PeekKind(); {
	case kind == ']' && o.array:
		if _, err := o.dec.ReadToken(); err != nil {
			return Row{}, o.fault(err)
		}
		_, err := o.dec.ReadToken()
		if err == nil {
			line, column := o.lines.at(o.dec.InputOffset())
			return Row{}, &Error{Line: line, Column: strconv.FormatInt(column, 10), Reason: "there is more behind the end of the array", Remedy: "leave it out, or write it as a file of its own"}
		}
		return Row{}, o.fault(err)
	case kind != '{' && kind != 0:
		if _, err := o.dec.ReadValue(); err != nil {
			return Row{}, o.fault(err)
		}
		return Row{}, o.notAnObject()
	}
	if _, err := o.dec.ReadToken(); err != nil {
		return Row{}, o.fault(err)
	}
	line, _ := o.lines.at(o.dec.InputOffset())
	row, same := Row{Line: line}, true
	var names []string
	for i := 0; o.dec.PeekKind() != '}'; i++ {
		name, err := o.dec.ReadToken()
		if err != nil {
			return Row{}, o.fault(err)
		}
		n := name.String()
		if same = same && i < len(o.columns) && o.columns[i] == n; !same {
			if names == nil {
				names = append(make([]string, 0, i+8), o.columns[:i]...)
			}
			names = append(names, n)
		}
		value, err := o.dec.ReadValue()
		if err != nil {
			return Row{}, o.fault(err)
		}
		if i == maxColumns {
			return Row{}, &Error{Line: line, Reason: fmt.Sprintf("the row has more than %d columns", maxColumns)}
		}
		v, err := valueOf(value)
		if err != nil {
			return Row{}, &Error{Line: line, Column: n, Reason: err.Error()}
		}
		row.Values = append(row.Values, v)
	}
	if _, err := o.dec.ReadToken(); err != nil {
		return Row{}, o.fault(err)
	}
	if names != nil {
		o.columns = names
	}
	row.Columns = o.columns[:len(row.Values)]
	return row, nil
}

// valueOf returns a JSON value as a value of a row.
func valueOf(v jsontext.Value) (any, error) {
	switch v.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return v.Kind() == 't', nil
	case '0':
		return Number(v), nil
	case '"':
		text, err := jsontext.AppendUnquote(nil, v)
		return string(text), err
	}
	v = v.Clone()
	err := v.Compact()
	return Nested(v), err
}

// fault returns an error of the decoder with its place.
func (o *objects) fault(err error) error {
	var s *jsontext.SyntacticError
	if errors.Is(err, errRowTooLong) {
		line, _ := o.lines.at(o.dec.InputOffset())
		return &Error{Line: line, Reason: fmt.Sprintf("the row after this line has more than %d bytes", MaxRow), Remedy: "is a quote or a bracket not closed there?"}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		line, _ := o.lines.at(o.lines.read)
		return &Error{Line: line, Reason: "the JSON ends too early: the file is not whole, or a bracket or quote is not closed"}
	}
	if !errors.As(err, &s) {
		return err
	}
	line, column := o.lines.at(s.ByteOffset)
	return &Error{Line: line, Column: strconv.FormatInt(column, 10), Reason: "the JSON is not valid: " + s.Err.Error()}
}

// lineCount finds the line of an offset, for offsets that rise. It keeps the newlines that were read and not passed.
type lineCount struct {
	r     io.Reader
	read  int64   // bytes
	ahead []int64 // offsets of newlines
	line  int64   // newlines that were passed
	start int64   // offset where the line begins
}

// Read implements io.Reader.
func (l *lineCount) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for rest, at := p[:n], l.read; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		l.ahead = append(l.ahead, at+int64(i))
		rest, at = rest[i+1:], at+int64(i)+1
	}
	l.read += int64(n)
	return n, err
}

// at returns line and column, from 1, of an offset.
func (l *lineCount) at(offset int64) (line, column int64) {
	n := 0
	for n < len(l.ahead) && l.ahead[n] < offset {
		l.start = l.ahead[n] + 1
		n++
	}
	l.line += int64(n)
	l.ahead = l.ahead[:copy(l.ahead, l.ahead[n:])]
	return l.line + 1, max(offset-l.start, 0) + 1
}
