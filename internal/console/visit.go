package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/smithy-go"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/sigv4"
)

// visit is one request of a browser that has signed in.
type visit struct {
	c       *Console
	w       http.ResponseWriter
	r       *http.Request
	session *session
	who     sigv4.Identity
}

// fault is an error that a page shows.
type fault struct {
	Status int
	Title  string
	Text   string
}

func (f *fault) Error() string { return f.Title + ": " + f.Text }

func notFound(format string, a ...any) error {
	return &fault{http.StatusNotFound, "Not found", fmt.Sprintf(format, a...)}
}

func badRequest(format string, a ...any) error {
	return &fault{http.StatusBadRequest, "That cannot be done", fmt.Sprintf(format, a...)}
}

// apiError is an error that the API has answered.
type apiError struct {
	Status  int
	Code    string
	Message string
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

// denied reports whether an error says that the caller has no right.
func denied(err error) bool {
	var a *apiError
	var s smithy.APIError
	return errors.As(err, &a) && a.Code == bedrock.CodeAccessDenied || errors.As(err, &s) && (s.ErrorCode() == "AccessDenied" || s.ErrorCode() == "Forbidden")
}

// formBytes is the longest form, other than uploads.
const formBytes = 64 << 10

// signed returns the handler of a page for people who have signed in. Others are led to the sign-in; scripts get 401.
func (c *Console) signed(f func(*visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stream := strings.HasSuffix(r.URL.Path, "/live") || strings.HasSuffix(r.URL.Path, "/points")
		v := &visit{c: c, w: w, r: r, session: c.sessions.find(tokenOf(r), stream)}
		if v.session != nil {
			who, err := c.identify(r, v.session.proof)
			if f := unverifiable(err); f != nil {
				c.fail(w, r, nil, f)
				return
			}
			if err != nil { // the key was removed or changed, or has expired
				c.sessions.end(v.session)
				v.session = nil
			}
			v.who = who
		}
		if v.session == nil {
			c.leadToSignIn(w, r, stream)
			return
		}
		if r.Method == http.MethodPost && !v.multipart() {
			r.Body = http.MaxBytesReader(w, r.Body, formBytes)
			if err := r.ParseForm(); err != nil {
				c.fail(w, r, v, badRequest("The form cannot be read: send it again."))
				return
			}
			if err := v.checkForm(r.PostForm.Get("csrf")); err != nil {
				c.fail(w, r, v, err)
				return
			}
		}
		err := f(v)
		if r.Method == http.MethodPost {
			c.readings.forget(v.session)
		}
		if err != nil {
			c.fail(w, r, v, err)
		}
	})
}

func (v *visit) multipart() bool {
	return strings.HasPrefix(v.r.Header.Get("Content-Type"), "multipart/form-data")
}

// checkForm refuses a form that does not come from a page of this session.
func (v *visit) checkForm(token string) error {
	if v.session.sends(token) {
		return nil
	}
	return &fault{http.StatusForbidden, "This form is out of date", "It belongs to an earlier session, or did not come from the console. Open the page again and repeat."}
}

// leadToSignIn answers a request without a session.
func (c *Console) leadToSignIn(w http.ResponseWriter, r *http.Request, script bool) {
	if script || r.Header.Get("HX-Request") != "" {
		http.Error(w, "the session has ended", http.StatusUnauthorized)
		return
	}
	to := Path + "sign-in"
	if next := r.URL.RequestURI(); r.Method == http.MethodGet && next != Path {
		to += "?next=" + url.QueryEscape(next)
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// fail shows an error. What is no fault of the visitor is logged, and the page does not show it.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, v *visit, err error) {
	var f *fault
	var a *apiError
	var s smithy.APIError
	if !errors.As(err, &f) {
		f = farFault(err)
	}
	switch {
	case f != nil:
	case denied(err):
		f = &fault{http.StatusForbidden, "Not permitted", message(err)}
	case errors.As(err, &a):
		f = &fault{a.Status, "The server refused this", a.Message}
		if a.Status == http.StatusNotFound {
			f.Title = "Not found"
		}
	case errors.As(err, &s):
		f = &fault{http.StatusBadRequest, "The S3 refused this", s.ErrorCode() + ": " + s.ErrorMessage()}
		if strings.HasPrefix(s.ErrorCode(), "NoSuch") || s.ErrorCode() == "NotFound" {
			f.Status, f.Title = http.StatusNotFound, "Not found"
		}
	case r.Context().Err() != nil:
		return // nobody waits for the answer
	default:
		c.o.Log.Error("console: a page failed", "path", r.URL.Path, "error", err)
		f = &fault{http.StatusInternalServerError, "The page cannot be shown", "Something failed inside the server; its log says what. Try again."}
	}
	c.write(w, f.Status, "fault", c.frame(v, f.Title, "", f))
}

// message returns what an error says to people.
func message(err error) string {
	var a *apiError
	var s smithy.APIError
	switch {
	case errors.As(err, &a):
		return a.Message
	case errors.As(err, &s) && (s.ErrorCode() == "AccessDenied" || s.ErrorCode() == "Forbidden"):
		return "The policies do not let you read or change this bucket or object."
	case errors.As(err, &s):
		return s.ErrorCode() + ": " + s.ErrorMessage()
	}
	return err.Error()
}

// Bounds of a call of the API.
const (
	callTime  = 30 * time.Second
	callBytes = 16 << 20 // of an answer
)

// answer is the answer of the API to a call inside the process.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header, WriteHeader and Write implement http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader keeps the first status.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write keeps the body, up to callBytes.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.body.Len()+len(p) > callBytes {
		return 0, errors.New("the answer is too long for a page")
	}
	return a.body.Write(p)
}

// call sends a request to the API with the visitor's key. out may be nil. The error of a refusal is an *apiError.
func (v *visit) call(method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(v.r.Context(), callTime)
	defer cancel()
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode a request: %w", err)
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+v.r.Host+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make a request for %s: %w", path, err)
	}
	r.RequestURI, r.RemoteAddr = path, v.r.RemoteAddr
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", v.r.UserAgent())
	if err := v.c.put(v.session.proof, r, body); err != nil {
		return fmt.Errorf("sign a request for %s: %w", path, err)
	}
	a := &answer{header: http.Header{}}
	v.c.o.API.ServeHTTP(a, r)
	if a.status >= http.StatusBadRequest {
		var said struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(a.body.Bytes(), &said) // without a message the code must do
		code, _, _ := strings.Cut(a.header.Get("x-amzn-ErrorType"), ":")
		return &apiError{Status: a.status, Code: code, Message: said.Message}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(a.body.Bytes(), out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return nil
}

// job returns a job of the visitor's.
func (v *visit) job(id string) (j bedrock.JobSummary, err error) {
	if err := v.call(http.MethodGet, jobPath(id), nil, &j); err != nil {
		return j, err
	}
	return j, nil
}

// jobPath is the path of a job in the API.
func jobPath(id string) string { return "/model-invocation-job/" + url.PathEscape(id) }

// idOf returns the id in a job's ARN.
func idOf(arn string) string {
	_, id, _ := strings.Cut(arn, "/")
	return id
}

// terminal reports whether a job has ended.
func terminal(s batholith.Status) bool { return s.Terminal() }
