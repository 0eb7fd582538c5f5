package bedrock

import "fmt"

// Refusal is an error that the caller may see: an error code of the API, its HTTP status and a
// message. [Error] implements it, and packages below have their own implementations.
type Refusal interface {
	error
	// Refusal returns the error code, the HTTP status and the message for the caller.
	Refusal() (code string, status int, message string)
}

// Error is the Refusal of this package.
type Error struct {
	Code         string // one of the Code constants
	Message      string // for the caller; names the cause and contains no secret
	ResourceName string // ARN of the resource; only for TooManyTags
}

// Error returns code and message, for logs.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Refusal implements [Refusal]. The status is the one that api.yaml gives for the code.
func (e *Error) Refusal() (code string, status int, message string) {
	return e.Code, statusOf(e.Code), e.Message
}

// refuse builds an Error with a formatted message.
func refuse(code, format string, a ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, a...)}
}

// Validation returns a ValidationException (400): the request is invalid.
func Validation(format string, a ...any) *Error { return refuse(CodeValidation, format, a...) }

// AccessDenied returns an AccessDeniedException (403): the caller lacks the permission.
func AccessDenied(format string, a ...any) *Error { return refuse(CodeAccessDenied, format, a...) }

// NotFound returns a ResourceNotFoundException (404).
func NotFound(format string, a ...any) *Error { return refuse(CodeResourceNotFound, format, a...) }

// Conflict returns a ConflictException (400): the request does not match the state of the
// resource.
func Conflict(format string, a ...any) *Error { return refuse(CodeConflict, format, a...) }

// QuotaExceeded returns a ServiceQuotaExceededException (400).
func QuotaExceeded(format string, a ...any) *Error {
	return refuse(CodeServiceQuotaExceeded, format, a...)
}

// Throttling returns a ThrottlingException (429): too many requests. Every AWS SDK retries it.
func Throttling(format string, a ...any) *Error { return refuse(CodeThrottling, format, a...) }

// TooManyTags returns a TooManyTagsException (400) for the resource arn.
func TooManyTags(arn, format string, a ...any) *Error {
	e := refuse(CodeTooManyTags, format, a...)
	e.ResourceName = arn
	return e
}
