package runtime

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/plain"
)

// Error codes of the runtime that the control plane does not have.
const (
	CodeModelTimeout       = "ModelTimeoutException"       // 408: the model server did not answer in time
	CodeModelError         = "ModelErrorException"         // 424: the model server failed, or its answer cannot be used
	CodeModelNotReady      = "ModelNotReadyException"      // 429: no server of the model can be used now; SDKs retry
	CodeServiceUnavailable = "ServiceUnavailableException" // 503: try again
)

// statuses are the HTTP statuses of the codes (Bedrock: errors of the runtime).
var statuses = map[string]int{
	bedrock.CodeValidation:       http.StatusBadRequest,
	bedrock.CodeSerialization:    http.StatusBadRequest,
	bedrock.CodeAccessDenied:     http.StatusForbidden,
	bedrock.CodeResourceNotFound: http.StatusNotFound,
	bedrock.CodeUnknownOperation: http.StatusNotFound,
	bedrock.CodeThrottling:       http.StatusTooManyRequests,
	CodeModelTimeout:             http.StatusRequestTimeout,
	CodeModelError:               http.StatusFailedDependency,
	CodeModelNotReady:            http.StatusTooManyRequests,
	CodeServiceUnavailable:       http.StatusServiceUnavailable,
	bedrock.CodeInternalServer:   http.StatusInternalServerError,
}

// Error is a refusal of a call.
type Error struct {
	Code       string
	Message    string        // for the caller
	Original   int           // status of the model server; only of ModelErrorException, 0: it has none
	Resource   string        // ARN of the model; only of ModelErrorException
	RetryAfter time.Duration // when to try again; 0: not known
}

// Error returns code and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Refusal implements [bedrock.Refusal].
func (e *Error) Refusal() (code string, status int, message string) {
	return e.Code, statuses[e.Code], e.Message
}

func validation(format string, a ...any) *Error {
	return &Error{Code: bedrock.CodeValidation, Message: fmt.Sprintf(format, a...)}
}

func throttled(format string, a ...any) *Error {
	return &Error{Code: bedrock.CodeThrottling, Message: fmt.Sprintf(format, a...)}
}

// gone is the status in the audit log if the client closed the connection. No answer is sent.
const gone = 499

// refuse answers an error.
func (h *handler) refuse(c *call, w http.ResponseWriter, err error) {
	ctx := c.http.Context()
	if ctx.Err() != nil {
		w.Header().Set("x-amzn-ErrorType", clientGone)
		w.WriteHeader(gone)
		return
	}
	e := h.failure(c, err)
	code, status, message := e.Refusal()
	w.Header().Set("x-amzn-ErrorType", code)
	if c.api != nil {
		h.refuseAPI(c, w, e)
		return
	}
	if own, ok := e.(*Error); ok && own.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((own.RetryAfter+time.Second-1)/time.Second)))
	}
	said := struct {
		Message  string `json:"message"`
		Original int    `json:"originalStatusCode,omitzero"`
		Resource string `json:"resourceName,omitzero"`
	}{Message: message}
	if own, ok := e.(*Error); ok {
		said.Original, said.Resource = own.Original, own.Resource
	}
	body, _ := json.Marshal(said, jsontext.AllowInvalidUTF8(true)) // strings and a number can always be encoded
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

// failure returns the refusal for an error. It logs an unexpected error, once; the client then gets only the request's id.
func (h *handler) failure(c *call, err error) bedrock.Refusal {
	var (
		refusal bedrock.Refusal
		record  *batholith.RecordError
		failed  *batholith.Failure
		unready *batholith.NotReadyError
		unread  *batholith.MediaError
	)
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.As(err, &record):
		if record.Code == http.StatusForbidden {
			return &Error{Code: bedrock.CodeAccessDenied, Message: record.Message}
		}
		if record.Code < http.StatusInternalServerError {
			said := record.Message
			if rest, ok := strings.CutPrefix(said, "modelInput "); ok { // the word for the body of a record
				said = "The body " + rest
			}
			return validation("%s", said)
		}
		return h.modelError(c, record.Code, record.Message)
	case errors.As(err, &failed):
		return h.failed(c, failed)
	case errors.As(err, &unread):
		h.Log.Warn("an object that a call names could not be read", "request", c.id, "error", err)
		return &Error{Code: CodeServiceUnavailable, Message: "The object " + plain.Line(unread.URI) + " cannot be read now. Try again. The server's log has the cause, with the request " + c.id + "."}
	case errors.Is(err, batholith.ErrBusy):
		return throttled("Too many requests, please wait before trying again: the servers of the model %s are busy.", c.model.ID)
	case errors.As(err, &unready):
		return &Error{Code: CodeModelNotReady, Message: fmt.Sprintf("The model %s is not ready: %s. Try again.", c.model.ID, unready.Why)}
	case errors.Is(err, batholith.ErrShutdown), errors.Is(err, context.Canceled):
		return &Error{Code: CodeServiceUnavailable, Message: "The service is stopping. Try again."}
	}
	operation := ""
	if c.op != nil {
		operation = c.op.name
	}
	h.Log.Error("call failed", "operation", operation, "request", c.id, "error", err)
	return &Error{Code: bedrock.CodeInternalServer, Message: "Internal error. Look for request " + c.id + " in the log of the server."}
}

// failed returns the refusal for a failed attempt at a model server. The message may quote the server, and the server may quote the call. This
// discloses nothing: the call is the caller's own.
func (h *handler) failed(c *call, f *batholith.Failure) *Error {
	message := f.Message
	if message == "" {
		message = f.Cause()
	}
	message = plain.Line(message)
	switch f.Kind {
	case batholith.FailureBadRecord:
		return validation("%s", message)
	case batholith.FailureBackPressure:
		if f.Status == http.StatusTooManyRequests {
			return &Error{Code: bedrock.CodeThrottling, Message: message, RetryAfter: f.RetryAfter}
		}
		return &Error{Code: CodeServiceUnavailable, Message: message, RetryAfter: f.RetryAfter}
	case batholith.FailureUnreachable:
		return &Error{Code: CodeServiceUnavailable, Message: "The model server cannot be reached: " + f.Cause() + "."}
	}
	if f.TimedOut || f.Status == http.StatusRequestTimeout || f.Status == http.StatusGatewayTimeout {
		return &Error{Code: CodeModelTimeout, Message: message}
	}
	return h.modelError(c, f.Status, message)
}

// modelError is a ModelErrorException.
func (h *handler) modelError(c *call, status int, message string) *Error {
	arn := batholith.ARN{Partition: "aws", Service: "bedrock", Region: h.Region, Resource: "foundation-model/" + c.model.ID}
	return &Error{Code: CodeModelError, Message: message, Original: status, Resource: arn.String()}
}
