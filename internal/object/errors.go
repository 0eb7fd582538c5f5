package object

import (
	"context"
	"errors"
	"fmt"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/batholith/batholith"
)

// Fault explains why a request to an S3 failed, for the person who can fix it. All errors of
// this package wrap one.
type Fault struct {
	Cause  string // what is wrong, with the server's own words if it answered
	Remedy string // what to do about it; "": unknown
	// Verdict is batholith.ErrNoObject, ErrNoBucket, ErrAccessDenied, ErrObjectChanged or
	// ErrRefused. It is nil if the fault may be temporary: an outage, expired keys, or a
	// setting of this process or the server that somebody must correct.
	Verdict error

	err error // the SDK's error
}

// Error returns the cause and, after a semicolon, the remedy.
func (f *Fault) Error() string {
	if f.Remedy == "" {
		return f.Cause
	}
	return f.Cause + "; " + f.Remedy
}

// Explained returns the cause and the remedy.
func (f *Fault) Explained() (cause, remedy string) { return f.Cause, f.Remedy }

// Unwrap returns the verdict and the SDK's error.
func (f *Fault) Unwrap() []error {
	if f.Verdict == nil {
		return []error{f.err}
	}
	return []error{f.Verdict, f.err}
}

// Explain converts an error of a request made with [Client.API] into an error of this package,
// which wraps a [Fault]. verb and the URI of bucket and key come first in the message. An error
// that wraps a Fault already is returned unchanged.
func Explain(err error, verb, bucket, key string) error {
	var f *Fault
	if errors.As(err, &f) {
		return err
	}
	return explain(err, verb, bucket, key)
}

// ForeignKeys reports whether the server rejected a request because it does not know the access
// key, or knows it with another secret.
func ForeignKeys(err error) bool {
	r := rule(code(err), status(err))
	return r == unknown || r == signature
}

// explain wraps an SDK error: verb and URI, then cause and remedy. It returns nil for nil.
func explain(err error, verb, bucket, key string) error {
	if err == nil {
		return nil
	}
	f := diagnose(err)
	if key == "" && f.Verdict == batholith.ErrNoObject {
		f = &Fault{batholith.ErrNoBucket.Error(), noBucket.remedy, batholith.ErrNoBucket, err}
	}
	return fmt.Errorf("%s %s: %w", verb, uri(bucket, key), f)
}

// diagnose finds the Fault for an error: missing keys, an error answer, or a network error.
func diagnose(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	var keys *keysError
	var api smithy.APIError
	switch {
	case errors.Is(err, context.Canceled):
		f = &Fault{Cause: context.Canceled.Error()}
	case errors.As(err, &keys):
		f = withoutKeys(keys.err)
	case errors.As(err, &api):
		f = answered(api, err)
	default:
		f = unreached(err)
	}
	f.err = err
	return f
}

// code returns the S3 error code in err, or "".
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// status returns the HTTP status of the answer in err, or 0 if there was no answer.
func status(err error) int {
	if re := response(err); re != nil {
		return re.HTTPStatusCode()
	}
	return 0
}

// response returns the answer in err, or nil if there was none.
func response(err error) *awshttp.ResponseError {
	var re *awshttp.ResponseError
	if errors.As(err, &re) && re.Response != nil && re.Response.Response != nil {
		return re
	}
	return nil
}

// answer is the error of one key in the answer to DeleteObjects. It implements smithy.APIError.
type answer struct{ code, message string }

// Error, ErrorCode, ErrorMessage and ErrorFault return what the server said about the key.
func (a *answer) Error() string                 { return strings.TrimSuffix(a.code+": "+a.message, ": ") }
func (a *answer) ErrorCode() string             { return a.code }
func (a *answer) ErrorMessage() string          { return a.message }
func (a *answer) ErrorFault() smithy.ErrorFault { return smithy.FaultUnknown }
