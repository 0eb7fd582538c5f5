package object

import (
	"errors"
	"fmt"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/batholith/batholith"
)

// verdicts are the answers of an S3 that will be the same next time, by their code. HEAD answers have no body and no code but
// what the SDK makes of their status: NotFound and Forbidden.
var verdicts = map[string]error{
	"NoSuchKey":             batholith.ErrNoObject,
	"NotFound":              batholith.ErrNoObject,
	"NoSuchBucket":          batholith.ErrNoBucket,
	"InvalidBucketName":     batholith.ErrNoBucket,
	"AccessDenied":          batholith.ErrAccessDenied,
	"Forbidden":             batholith.ErrAccessDenied,
	"AllAccessDisabled":     batholith.ErrAccessDenied,
	"AccountProblem":        batholith.ErrAccessDenied,
	"InvalidAccessKeyId":    batholith.ErrAccessDenied,
	"SignatureDoesNotMatch": batholith.ErrAccessDenied,
	"InvalidToken":          batholith.ErrAccessDenied,
	"ExpiredToken":          batholith.ErrAccessDenied,
	"PreconditionFailed":    batholith.ErrObjectChanged,

	"InvalidArgument":           batholith.ErrRefused,
	"InvalidRequest":            batholith.ErrRefused,
	"KeyTooLongError":           batholith.ErrRefused,
	"MethodNotAllowed":          batholith.ErrRefused,
	"NotImplemented":            batholith.ErrRefused,
	"ObjectParentIsFile":        batholith.ErrRefused, // the embedded S3: a key below another object
	"ExistingObjectIsDirectory": batholith.ErrRefused,
}

// explain wraps what the SDK says of a request: verb and thing first, then the verdict when there is one.
// What the answer said remains in the message; the SDK's own chain does not, as it repeats itself at length.
func explain(err error, verb, bucket, key string) error {
	if err == nil {
		return nil
	}
	thing := uri(bucket, key)
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("%s %s: %w", verb, thing, err)
	}
	verdict, known := verdicts[api.ErrorCode()]
	switch {
	case known && key == "" && verdict == batholith.ErrNoObject:
		return fmt.Errorf("%s %s: %w", verb, thing, batholith.ErrNoBucket)
	case known && api.ErrorMessage() != "":
		return fmt.Errorf("%s %s: %w (%w)", verb, thing, verdict, &answer{api.ErrorCode(), api.ErrorMessage()})
	case known:
		return fmt.Errorf("%s %s: %w (%w)", verb, thing, verdict, &answer{code: api.ErrorCode()})
	}
	return fmt.Errorf("%s %s: %w", verb, thing, err)
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
	var re *awshttp.ResponseError
	if errors.As(err, &re) {
		return re.HTTPStatusCode()
	}
	return 0
}

// answer is one key's error inside the answer to a request for many.
type answer struct{ code, message string }

func (a *answer) Error() string                 { return strings.TrimSuffix(a.code+": "+a.message, ": ") }
func (a *answer) ErrorCode() string             { return a.code }
func (a *answer) ErrorMessage() string          { return a.message }
func (a *answer) ErrorFault() smithy.ErrorFault { return smithy.FaultUnknown }
