package bedrock

import "fmt"

// Refusal is an error that the caller is told: a code of the API, its HTTP status and a message for people.
// [Error] is one; packages below have their own.
type Refusal interface {
	error
	Refusal() (code string, status int, message string)
}

// Error is a refusal in the words of the API.
type Error struct {
	Code         string // one of the constants
	Message      string // for the caller: names the cause, and no secret
	ResourceName string // only with TooManyTags: the ARN
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Refusal tells the error to the caller.
func (e *Error) Refusal() (code string, status int, message string) {
	return e.Code, statusOf(e.Code), e.Message
}

func refuse(code, format string, a ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, a...)}
}

// Validation refuses a request that makes no sense (400).
func Validation(format string, a ...any) *Error { return refuse(CodeValidation, format, a...) }

// AccessDenied refuses what the caller may not do (403).
func AccessDenied(format string, a ...any) *Error { return refuse(CodeAccessDenied, format, a...) }

// NotFound refuses a request about something that does not exist (404).
func NotFound(format string, a ...any) *Error { return refuse(CodeResourceNotFound, format, a...) }

// Conflict refuses what does not fit the state of things (400).
func Conflict(format string, a ...any) *Error { return refuse(CodeConflict, format, a...) }

// QuotaExceeded refuses what would exceed a quota (400).
func QuotaExceeded(format string, a ...any) *Error {
	return refuse(CodeServiceQuotaExceeded, format, a...)
}

// Throttling refuses what comes too fast; every SDK tries again (429).
func Throttling(format string, a ...any) *Error { return refuse(CodeThrottling, format, a...) }

// TooManyTags refuses tags beyond the bound of the resource with this ARN (400).
func TooManyTags(arn, format string, a ...any) *Error {
	e := refuse(CodeTooManyTags, format, a...)
	e.ResourceName = arn
	return e
}
