package plain

import (
	"fmt"
	"io"
	"reflect"
)

// Writer wraps a stream that people read. It escapes what is written to it, except newlines and
// tabs. A UTF-8 character must not be split across two calls of Write. It has no state, so it
// is as safe for concurrent use as the stream.
type Writer struct {
	out    io.Writer
	recode func(string) string // into the characters that the stream shows; nil: all of them
}

// NewWriter returns a Writer to out, a stream of UTF-8.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// Write implements io.Writer. It returns len(p) even though escapes make the output longer.
func (w *Writer) Write(p []byte) (int, error) {
	if harmless(p, true) {
		return w.out.Write(p)
	}
	text := string(p)
	if w.recode != nil {
		text = w.recode(text)
	}
	if _, err := w.out.Write(appendShown(make([]byte, 0, len(p)+64), text, true)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Control is a terminal sequence of the program's own, which moves the cursor or sets a colour.
// It must be a constant.
type Control string

// Draw writes parts with a single Write: Control values unchanged, everything else escaped as
// by [Line]. w may be a [Writer] or any other stream.
func Draw(w io.Writer, parts ...any) error {
	recode := func(s string) string { return s }
	if own, ok := w.(*Writer); ok {
		w = own.out
		if own.recode != nil {
			recode = own.recode
		}
	}
	var b []byte
	for _, p := range parts {
		if c, ok := p.(Control); ok {
			b = append(b, c...)
		} else {
			b = appendShown(b, recode(fmt.Sprint(p)), false)
		}
	}
	_, err := w.Write(b)
	return err
}

// Fprintf is fmt.Fprintf with operands escaped as by [Line]. Only newlines and tabs in the
// format string are written as such.
func Fprintf(w io.Writer, format string, args ...any) (int, error) {
	return fmt.Fprintf(w, format, operands(args)...)
}

// Sprintf is fmt.Sprintf with operands escaped as by [Line].
func Sprintf(format string, args ...any) string {
	return fmt.Sprintf(format, operands(args)...)
}

// operands wraps all operands that may contain text. Numbers and booleans stay as they are, so
// that verbs such as %d work.
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

// operand escapes a value when it is formatted. Width and precision of the verb apply to the
// escaped text.
type operand struct{ value any }

// Format implements fmt.Formatter.
func (o operand) Format(f fmt.State, verb rune) {
	switch verb {
	case 's', 'v':
		fmt.Fprintf(f, fmt.FormatString(f, 's'), Line(fmt.Sprint(o.value)))
	default:
		fmt.Fprintf(f, "%s", Line(fmt.Sprintf(fmt.FormatString(f, verb), o.value)))
	}
}
