package openai

import (
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
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/plain"
)

// Error is a refusal in OpenAI's form.
type Error struct {
	Status  int
	Code    string // "": null
	Param   string // "": null
	Message string
	Again   time.Duration // after which the client may try again; 0: it is not told
}

// Error returns the message, for logs.
func (e *Error) Error() string { return e.Message }

func refusal(status int, code, param, format string, a ...any) *Error {
	return &Error{Status: status, Code: code, Param: param, Message: fmt.Sprintf(format, a...)}
}

// wrong is the refusal of a member of a request.
func wrong(param, format string, a ...any) *Error {
	return refusal(http.StatusBadRequest, "invalid_value", param, format, a...)
}

// show makes a client's text safe and short for a message.
func show(text string) string { return plain.Short(text, 200) }

// said is an error as clients read it.
type said struct {
	Error struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	} `json:"error"`
}

// refuse answers an error. A fault is logged, and the client gets only the request's id.
func (h *handler) refuse(c *call, err error) {
	if c.r.Context().Err() != nil {
		c.w.WriteHeader(gone)
		return
	}
	e, aws := h.known(c, err)
	var s said
	s.Error.Message, s.Error.Type = e.Message, jsonl.ErrorType(e.Status)
	if e.Code != "" {
		s.Error.Code = &e.Code
	}
	if e.Param != "" {
		s.Error.Param = &e.Param
	}
	body, _ := json.Marshal(s, jsontext.AllowInvalidUTF8(true)) // strings can always be encoded
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("x-amzn-ErrorType", aws)
	if e.Again > 0 {
		c.w.Header().Set("Retry-After", strconv.Itoa(int(e.Again.Seconds())))
	}
	c.w.WriteHeader(e.Status)
	_, _ = c.w.Write(body)
}

// gone is the status in the audit log if the client closed the connection. No answer is sent.
const gone = 499

// known returns the refusal of an error, and its code in AWS's words, for the audit log.
func (h *handler) known(c *call, err error) (*Error, string) {
	if own, ok := errors.AsType[*Error](err); ok {
		return own, map[int]string{http.StatusNotFound: bedrock.CodeResourceNotFound, http.StatusTooManyRequests: bedrock.CodeThrottling,
			http.StatusServiceUnavailable: "ServiceUnavailableException"}[own.Status]
	}
	var r bedrock.Refusal
	if !errors.As(err, &r) {
		switch {
		case errors.Is(err, batholith.ErrNoBucket):
			return refusal(http.StatusNotFound, "", "", "The bucket of the files does not exist. Create it: %s. Or name another with the setting openai.bucket.", h.Bucket(c.who.Account)), bedrock.CodeResourceNotFound
		case errors.Is(err, batholith.ErrAccessDenied):
			return refusal(http.StatusForbidden, "", "", "The S3 denies the access to the files: check the rights of the role %s.", h.Role(c.who.Account)), bedrock.CodeAccessDenied
		}
		h.Log.Error("request of OpenAI's API failed", "request", c.id, "err", err)
		return refusal(http.StatusInternalServerError, "", "", "Internal error. Look for request %s in the log of the server.", c.id), bedrock.CodeInternalServer
	}
	code, status, message := r.Refusal()
	e := &Error{Status: status, Message: message}
	switch {
	case code == bedrock.CodeAccessDenied:
	case status == http.StatusForbidden || status == http.StatusUnauthorized: // no key, or a wrong one
		e.Status, e.Code = http.StatusUnauthorized, "invalid_api_key"
	case status == http.StatusNotFound:
		e.Code = "not_found"
	case status == http.StatusTooManyRequests:
		e.Code = "rate_limit_exceeded"
	case code == bedrock.CodeValidation && strings.Contains(message, "No model is configured"):
		e.Code, e.Param = "model_not_found", "model"
	case code == bedrock.CodeServiceQuotaExceeded:
		e.Status, e.Code = http.StatusTooManyRequests, "batch_limit_exceeded"
	}
	return e, code
}
