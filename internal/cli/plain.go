package cli

import (
	"errors"
	"io"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// plainError is an SDK error reduced to the service's message and code, or to the network's. The SDK's own text
// adds its operation, its retries and its transport.
type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }

// plainly shortens an error of an AWS client to "MESSAGE (CODE)" or to the network's cause. An answer that is not
// from a Bedrock API, such as a login page, is named as that with a remedy. Other errors are returned unchanged.
// errors.Is and errors.As find the original error in each case.
func plainly(err error) error {
	var (
		api     smithy.APIError
		ours    *hintedError
		garbled *smithy.DeserializationError
	)
	switch {
	case errors.As(err, &ours):
		return &plainError{text: ours.Error(), err: err}
	case errors.As(err, &garbled), errors.As(err, &api) && api.ErrorCode() == "UnknownError" && (api.ErrorMessage() == "" || api.ErrorMessage() == "UnknownError"):
		return &plainError{text: "the server's answer is not that of a Bedrock API", err: hint(err, "check AWS_ENDPOINT_URL_BEDROCK: another server, a proxy or a login page answers there")}
	case errors.As(err, &api) && api.ErrorMessage() != "":
		return &plainError{text: plain.Sprintf("%s (%s)", api.ErrorMessage(), api.ErrorCode()), err: err}
	case errors.As(err, &api):
		return &plainError{text: plain.Line(api.ErrorCode()), err: err}
	}
	if text := words.Network(err); text != "" {
		return &plainError{text: text, err: err}
	}
	return err
}

// writeLines writes a text of this program that has several lines. Texts of others must go through package plain
// in one line.
func writeLines(w io.Writer, text string) error {
	for line := range strings.SplitSeq(text, "\n") {
		if _, err := plain.Fprintf(w, "%s\n", line); err != nil {
			return err
		}
	}
	return nil
}
