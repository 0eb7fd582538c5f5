package dialect

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/batholith/batholith"
)

// invalid says what is wrong with a body and where. The path grows on the way out, so that a body in order pays nothing.
type invalid struct {
	path string
	text string
}

// Error is the path and the text, as the error line of the record will have them.
func (e *invalid) Error() string {
	if e.path == "" {
		return e.text
	}
	return e.path + ": " + e.text
}

// at puts err one member or element deeper.
func at[N int | string](name N, err error) error {
	e, ok := errors.AsType[*invalid](err)
	if !ok {
		return err
	}
	path := fmt.Sprint(name)
	if e.path != "" {
		path += "." + e.path
	}
	return &invalid{path: path, text: e.text}
}

// refuse makes a record's failure of what is wrong with its body.
func refuse(err error) error {
	if e, ok := errors.AsType[*invalid](err); ok {
		return &batholith.RecordError{Code: 400, Message: shortened(e.Error(), maxRefusal)}
	}
	return err
}

// maxRefusal bounds the message of a refusal in bytes: names and values in it are the client's.
const maxRefusal = 1000

// shortened cuts s at a character, to at most n bytes.
func shortened(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	for n -= len("…"); !utf8.RuneStart(s[n]); n-- {
	}
	return s[:n] + "…"
}

// wrong begins an error at the place where it was found.
func wrong(format string, args ...any) error { return &invalid{text: fmt.Sprintf(format, args...)} }

// required and extra are the service's own words (Bedrock: seen in the error lines of batch jobs).
func required(name string) error { return at(name, wrong("Field required")) }

func extra(name string) error { return at(name, wrong("Extra inputs are not permitted")) }

// The checks below accept null as absent, so they must follow a check of presence where a field is required.

func wantString(name string, v value) error {
	if k := v.kind(); k != '"' && k != 'n' {
		return at(name, wrong("Input should be a valid string"))
	}
	return nil
}

func wantArray(name string, v value) error {
	if k := v.kind(); k != '[' && k != 'n' {
		return at(name, wrong("Input should be a valid list"))
	}
	return nil
}

func wantObject(name string, v value) error {
	if k := v.kind(); k != '{' && k != 'n' {
		return at(name, wrong("Input should be an object"))
	}
	return nil
}

func wantBool(name string, v value) error {
	switch v.kind() {
	case 't', 'f', 'n':
		return nil
	}
	return at(name, wrong("Input should be a valid boolean"))
}

// wantCount checks for a whole number of at least min.
func wantCount(name string, v value, min int64) error {
	if v.absent() {
		return nil
	}
	n, ok := v.integer()
	switch {
	case !ok:
		return at(name, wrong("Input should be a valid integer"))
	case n < min:
		return at(name, wrong("Input should be greater than or equal to %d", min))
	}
	return nil
}

// wantNumber checks for a number from min to max.
func wantNumber(name string, v value, min, max float64) error {
	switch v.kind() {
	case 'n':
		return nil
	case '0':
	default:
		return at(name, wrong("Input should be a valid number"))
	}
	switch f := v.number(); {
	case f < min:
		return at(name, wrong("Input should be greater than or equal to %s", short(min)))
	case f > max:
		return at(name, wrong("Input should be less than or equal to %s", short(max)))
	}
	return nil
}

func short(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// wantStrings checks for a list of strings.
func wantStrings(name string, v value) error {
	if err := wantArray(name, v); err != nil {
		return err
	}
	for i, s := range v.elements() {
		if s.kind() != '"' {
			return at(name, at(i, wrong("Input should be a valid string")))
		}
	}
	return nil
}

// first is the first error of several checks.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// object reads a body that must be a JSON object.
func object(input []byte) (value, error) {
	v, err := parse(input)
	if err != nil {
		return nil, wrong("modelInput is %v", err)
	}
	if v.kind() != '{' {
		return nil, wrong("modelInput should be an object")
	}
	return v, nil
}

func needString(name string, v value) error {
	if v.absent() {
		return required(name)
	}
	return wantString(name, v)
}

func needObject(name string, v value) error {
	if v.absent() {
		return required(name)
	}
	return wantObject(name, v)
}

func needArray(name string, v value) error {
	if v.absent() {
		return required(name)
	}
	return wantArray(name, v)
}
