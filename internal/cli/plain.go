package cli

import (
	"errors"
	"io"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// plainError is an SDK error in the words that matter: the service's code and message, or what the network said. The SDK wraps
// them in its operation, its retries and its transport, none of which a person asked about.
type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }

// plainly shortens an error of an AWS client.
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

// writeLines writes a text of the program's own that has several lines.
func writeLines(w io.Writer, text string) error {
	for line := range strings.SplitSeq(text, "\n") {
		if _, err := plain.Fprintf(w, "%s\n", line); err != nil {
			return err
		}
	}
	return nil
}
