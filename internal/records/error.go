package records

import (
	"fmt"
	"strings"
)

// Error is a mistake in a table, with its place and what to do about it.
type Error struct {
	File   string
	Line   int64  // from 1; 0: unknown
	Row    int64  // from 1, without the header; 0: it is in no row
	Column string // name of the column, or the number of the byte in the line; "": all
	Reason string
	Remedy string // "": none
	Err    error  // the cause, if it is another error; nil mostly
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Error returns the place and the reason: file:line: row N, column C: reason.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	switch {
	case e.Row > 0 && e.Column != "":
		fmt.Fprintf(&b, "row %d, column %s: ", e.Row, e.Column)
	case e.Row > 0:
		fmt.Fprintf(&b, "row %d: ", e.Row)
	case e.Column != "":
		fmt.Fprintf(&b, "column %s: ", e.Column)
	}
	return b.String() + e.Reason
}
