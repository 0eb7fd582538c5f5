package sts

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"github.com/batholith/batholith/internal/audit"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/sigv4"
)

// Service is the name for which clients sign requests to STS.
const Service = "sts"

// bodyBytes is the largest body that is read. AWS's largest request, with a session policy, is smaller.
const bodyBytes = 64 << 10

// Verifier authenticates requests to the service.
type Verifier interface {
	// Admit checks the headers, before the body is read.
	Admit(r *http.Request) (verified bool, err error)
	// Verify returns the sender.
	Verify(r *http.Request, body []byte) (sigv4.Identity, error)
}

// Authorizer decides who may assume which role.
type Authorizer interface {
	Decide(ctx context.Context, r authz.Request) authz.Decision
}

// Handler answers STS requests: forms posted to the path /, or queries of it. Proven, if it is not nil, is called
// when a request is verified. What becomes known of a request is noted in the [audit.Trail] of its context. The
// members must not be changed once it serves.
type Handler struct {
	Verifier   Verifier
	Sessions   *Sessions
	Authorizer Authorizer // nil: every principal may assume the roles of its account
	Proven     func(*http.Request)
	Log        *slog.Logger
}

// Is reports whether a request is for this service, by its address and type.
func Is(r *http.Request) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return r.URL.Path == "/" && (r.Method == http.MethodPost && kind == "application/x-www-form-urlencoded" || r.Method == http.MethodGet && r.URL.Query().Has("Action"))
}

// call is a verified request.
type call struct {
	who     sigv4.Identity
	key     string // access key id that signed it; "" for a bearer key
	session bool   // the key is temporary
	form    url.Values
}

// ServeHTTP answers one request. Internal errors are logged with the request's id and shown as InternalFailure.
// Answers hold secrets, so no cache may store them.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := uuid.NewString()
	trail := audit.Of(r.Context())
	trail.Served(Service, id)
	out, err := h.answer(w, r)
	var refused *fault
	switch {
	case err == nil:
	case errors.As(err, &refused):
	default:
		h.Log.Error("the token service failed", "request_id", id, "err", err)
		refused = &fault{http.StatusInternalServerError, "InternalFailure", "The request processing has failed because of an unknown error, exception or failure."}
	}
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("x-amzn-RequestId", id)
	w.Header().Set("Cache-Control", "no-store")
	if refused != nil {
		trail.Refused(refused.code)
		w.WriteHeader(refused.status)
		write(w, "ErrorResponse", refused.document(id))
		return
	}
	write(w, out.name()+"Response", struct {
		Result   result
		Metadata metadata `xml:"ResponseMetadata"`
	}{out, metadata{id}})
}

// answer verifies a request and carries it out.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request) (result, error) {
	verified, err := h.Verifier.Admit(r)
	if err != nil {
		return nil, unverified(err)
	}
	if verified && h.Proven != nil {
		h.Proven(r)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyBytes))
	if err != nil {
		return nil, invalid("The request is larger than %d bytes, or broke off.", bodyBytes)
	}
	c := call{session: r.Header.Get("X-Amz-Security-Token") != "", key: sigv4.KeyOf(r)}
	if c.who, err = h.Verifier.Verify(r, body); err != nil {
		return nil, unverified(err)
	}
	if h.Proven != nil {
		h.Proven(r)
	}
	trail := audit.Of(r.Context())
	trail.Sender(c.who.Account, c.who.Principal)
	text := string(body)
	if r.Method == http.MethodGet {
		text = r.URL.RawQuery
	}
	if c.form, err = url.ParseQuery(text); err != nil {
		return nil, &fault{http.StatusBadRequest, "MalformedQueryString", "The query string contains a syntax error."}
	}
	action := c.form.Get("Action")
	operation := operations[action]
	switch {
	case action == "":
		return nil, &fault{http.StatusBadRequest, "MissingAction", "The request is missing an action."}
	case operation == nil:
		return nil, &fault{http.StatusBadRequest, "InvalidAction", fmt.Sprintf("Could not find operation %s for version 2011-06-15. This token service has AssumeRole, GetSessionToken and GetCallerIdentity.", action)}
	}
	trail.Asked(Service + ":" + action)
	return operation(h, r.Context(), c)
}

// fault is a refusal in AWS's form.
type fault struct {
	status        int
	code, message string
}

// Error returns the code and the message.
func (f *fault) Error() string { return f.code + ": " + f.message }

// document returns the XML answer: the fault is the sender's below 500, otherwise ours.
func (f *fault) document(id string) any {
	type detail struct{ Type, Code, Message string }
	kind := "Sender"
	if f.status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	return struct {
		Error     detail
		RequestID string `xml:"RequestId"`
	}{detail{kind, f.code, f.message}, id}
}

// invalid returns a ValidationError, status 400.
func invalid(format string, a ...any) *fault {
	return &fault{http.StatusBadRequest, "ValidationError", fmt.Sprintf(format, a...)}
}

// codes are the codes of STS for those of signatures (AWS STS: Common Errors).
var codes = map[string]string{sigv4.CodeMissing: "MissingAuthenticationToken", sigv4.CodeIncomplete: "IncompleteSignature",
	sigv4.CodeUnrecognized: "InvalidClientTokenId", sigv4.CodeInvalid: "SignatureDoesNotMatch", sigv4.CodeExpired: "ExpiredToken"}

// unverified is the refusal of a request whose sender could not be authenticated.
func unverified(err error) error {
	var refused interface {
		error
		Refusal() (code string, status int, message string)
	}
	if !errors.As(err, &refused) {
		return err
	}
	code, status, message := refused.Refusal()
	return &fault{status, cmp.Or(codes[code], "InvalidClientTokenId"), message}
}

// result is the answer to an operation.
type result interface{ name() string }

type metadata struct {
	RequestID string `xml:"RequestId"`
}

// namespace is that of STS's documents.
const namespace = "https://sts.amazonaws.com/doc/2011-06-15/"

// write writes a document. An error means that the client is gone.
func write(w io.Writer, root string, document any) {
	e := xml.NewEncoder(w)
	_ = e.EncodeElement(document, xml.StartElement{Name: xml.Name{Space: namespace, Local: root}})
	_ = e.Close()
}
