package dialect

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/batholith/batholith"
)

// invalid is an error in a body and its place. The path is built while the error is returned,
// so a valid body costs nothing.
type invalid struct {
	path string
	text string
}

// Error returns "path: text", as in the record's error line.
func (e *invalid) Error() string {
	if e.path == "" {
		return e.text
	}
	return e.path + ": " + e.text
}

// at prepends a member's name or an element's index to the path of err. Other errors are
// returned unchanged.
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

// refuse converts an *invalid error to the record's error (400).
func refuse(err error) error {
	if e, ok := errors.AsType[*invalid](err); ok {
		return &batholith.RecordError{Code: 400, Message: shortened(e.Error(), maxRefusal)}
	}
	return err
}

// maxRefusal is the maximum length of the message in bytes: names and values in it come from
// the client.
const maxRefusal = 1000

// shortened cuts s to at most n bytes, between two characters.
func shortened(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	for n -= len("…"); !utf8.RuneStart(s[n]); n-- {
	}
	return s[:n] + "…"
}

// wrong returns an error at the current place.
func wrong(format string, args ...any) error { return &invalid{text: fmt.Sprintf(format, args...)} }

// required and extra use Bedrock's own words (Bedrock: error lines of batch jobs).
func required(name string) error { return at(name, wrong("Field required")) }

func extra(name string) error { return at(name, wrong("Extra inputs are not permitted")) }

// The functions below accept null as absent. If a member is required, use need… instead, or
// check that it is present first. wantString checks for a string.

func wantString(name string, v value) error {
	if k := v.kind(); k != '"' && k != 'n' {
		return at(name, wrong("Input should be a valid string"))
	}
	return nil
}

// wantArray checks for an array.
func wantArray(name string, v value) error {
	if k := v.kind(); k != '[' && k != 'n' {
		return at(name, wrong("Input should be a valid list"))
	}
	return nil
}

// wantObject checks for an object.
func wantObject(name string, v value) error {
	if k := v.kind(); k != '{' && k != 'n' {
		return at(name, wrong("Input should be an object"))
	}
	return nil
}

// wantBool checks for true or false.
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

// short formats a limit for a message.
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

// first returns the first error that is not nil.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// object parses a body, which must be a JSON object.
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

// needString checks for a string that is present.
func needString(name string, v value) error {
	if v.absent() {
		return required(name)
	}
	return wantString(name, v)
}

// needObject checks for an object that is present.
func needObject(name string, v value) error {
	if v.absent() {
		return required(name)
	}
	return wantObject(name, v)
}

// needArray checks for an array that is present.
func needArray(name string, v value) error {
	if v.absent() {
		return required(name)
	}
	return wantArray(name, v)
}
