package sigv4

import (
	"fmt"
	"net/http"
)

// Error rejects a request whose sender could not be authenticated.
type Error struct {
	Code    string // error code in AWS's words
	Status  int
	Message string
}

// Error returns code and message, for logs.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Refusal returns what the caller is told. It implements bedrock.Refusal.
func (e *Error) Refusal() (code string, status int, message string) {
	return e.Code, e.Status, e.Message
}

// Error codes. Bedrock's service model does not declare them; SDKs show them as they are.
const (
	CodeMissing      = "MissingAuthenticationTokenException" // neither signature nor bearer key
	CodeIncomplete   = "IncompleteSignatureException"        // an Authorization header that cannot be read
	CodeUnrecognized = "UnrecognizedClientException"         // an unknown key, or a wrong session token
	CodeInvalid      = "InvalidSignatureException"           // a wrong signature, scope or date
	CodeExpired      = "ExpiredTokenException"               // temporary keys after their end
)

func missing(format string, a ...any) *Error {
	return &Error{CodeMissing, http.StatusForbidden, fmt.Sprintf(format, a...)}
}

func incomplete(format string, a ...any) *Error {
	return &Error{CodeIncomplete, http.StatusBadRequest, fmt.Sprintf(format, a...)}
}

func invalid(format string, a ...any) *Error {
	return &Error{CodeInvalid, http.StatusForbidden, fmt.Sprintf(format, a...)}
}

func unrecognized() *Error {
	return &Error{CodeUnrecognized, http.StatusForbidden, "The security token included in the request is invalid."}
}

func expired() *Error {
	return &Error{CodeExpired, http.StatusForbidden, "The security token included in the request is expired"}
}
