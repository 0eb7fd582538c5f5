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

// Fault is why a request to an S3 failed, in words for the person who can mend it. The errors of this package wrap one.
type Fault struct {
	Cause  string // what is wrong, with the words of the server if it answered
	Remedy string // what to do about it; "" if nothing is known
	// Verdict is batholith.ErrNoObject, ErrNoBucket, ErrAccessDenied, ErrObjectChanged or ErrRefused. It is nil for a fault that may
	// pass: an outage, keys that expired, settings of this process or of the server that somebody has to correct.
	Verdict error

	err error // as the SDK gave it
}

func (f *Fault) Error() string {
	if f.Remedy == "" {
		return f.Cause
	}
	return f.Cause + "; " + f.Remedy
}

// Unwrap gives the verdict and the error from which it was made.
func (f *Fault) Unwrap() []error {
	if f.Verdict == nil {
		return []error{f.err}
	}
	return []error{f.Verdict, f.err}
}

// Explain wraps what the SDK said of a request that somebody else made with [Client.API], as the verbs of this package do: it wraps a [Fault].
// What such an error has been made of already stays as it is.
func Explain(err error, verb, bucket, key string) error {
	var f *Fault
	if errors.As(err, &f) {
		return err
	}
	return explain(err, verb, bucket, key)
}

// ForeignKeys tells whether a server refused a request because it does not know the access key, or knows another secret of it.
func ForeignKeys(err error) bool {
	r := rule(code(err), status(err))
	return r == unknown || r == signature
}

// explain wraps what the SDK says of a request: verb and thing first, then cause and remedy.
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

// diagnose finds cause, remedy and verdict of an error: of the keys, of an answer, or of the way there.
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

// code is the S3 error code in err, or "".
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// status is the HTTP status of the answer that became err, or 0.
func status(err error) int {
	if re := response(err); re != nil {
		return re.HTTPStatusCode()
	}
	return 0
}

// response is the answer that became err, or nil.
func response(err error) *awshttp.ResponseError {
	var re *awshttp.ResponseError
	if errors.As(err, &re) && re.Response != nil && re.Response.Response != nil {
		return re
	}
	return nil
}

// answer is one key's error inside the answer to a request for many.
type answer struct{ code, message string }

func (a *answer) Error() string                 { return strings.TrimSuffix(a.code+": "+a.message, ": ") }
func (a *answer) ErrorCode() string             { return a.code }
func (a *answer) ErrorMessage() string          { return a.message }
func (a *answer) ErrorFault() smithy.ErrorFault { return smithy.FaultUnknown }
