package plain

import (
	"fmt"
	"io"
	"reflect"
)

// Writer stands around a stream that people read. What is written to it appears with the escapes of this package; newlines and tabs stay.
// A character must be written in one piece. It has no state: it is as safe for concurrent use as the stream.
type Writer struct{ out io.Writer }

// NewWriter returns a Writer to a stream.
func NewWriter(out io.Writer) *Writer { return &Writer{out} }

// Write is part of io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	if harmless(p, true) {
		return w.out.Write(p)
	}
	if _, err := w.out.Write(appendShown(make([]byte, 0, len(p)+64), string(p), true)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Control is a sequence of the program's own that moves the cursor or sets a colour. It must be a constant.
type Control string

// Draw writes parts of a line in one piece: Control as it is, and texts as [Line] has them. w may be a [Writer] or any other stream.
func Draw(w io.Writer, parts ...any) error {
	var b []byte
	for _, p := range parts {
		if c, ok := p.(Control); ok {
			b = append(b, c...)
		} else {
			b = appendShown(b, fmt.Sprint(p), false)
		}
	}
	if own, ok := w.(*Writer); ok {
		w = own.out
	}
	_, err := w.Write(b)
	return err
}

// Fprintf is fmt.Fprintf whose operands appear as [Line] has them. Only newlines and tabs of the format end a line or make a column.
func Fprintf(w io.Writer, format string, args ...any) (int, error) {
	return fmt.Fprintf(w, format, operands(args)...)
}

// Sprintf is fmt.Sprintf, likewise.
func Sprintf(format string, args ...any) string {
	return fmt.Sprintf(format, operands(args)...)
}

// operands wraps what may hold text of others. Numbers need nothing, and keep their verbs.
func operands(args []any) []any {
	all := make([]any, len(args))
	for i, a := range args {
		switch reflect.ValueOf(a).Kind() {
		case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32,
			reflect.Uint64, reflect.Float32, reflect.Float64:
			all[i] = a
		default:
			all[i] = operand{a}
		}
	}
	return all
}

// operand is a value that appears on one line, with the width and the precision of its verb.
type operand struct{ value any }

// Format is part of fmt.Formatter.
func (o operand) Format(f fmt.State, verb rune) {
	switch verb {
	case 's', 'v':
		fmt.Fprintf(f, fmt.FormatString(f, 's'), Line(fmt.Sprint(o.value)))
	default:
		fmt.Fprintf(f, "%s", Line(fmt.Sprintf(fmt.FormatString(f, verb), o.value)))
	}
}
