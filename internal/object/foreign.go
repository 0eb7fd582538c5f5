package object

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// plainToTLS is what servers say, in this or that form, to a request without TLS on their port for TLS (net/http, nginx, Apache).
var plainToTLS = []string{"http request to an https server", "plain http request was sent to https port", "speaking plain http to an ssl-enabled"}

// strange is the header in which [answers] leaves the first line of an error's body that is no S3's.
const strange = "X-Batholith-Body"

// answers is an HTTP client that looks at errors before the SDK does, which can read those of an S3 only: what a proxy or another
// server says is kept in a header, and the body is left out.
type answers struct{ *http.Client }

// maxError is how much of an error's body is looked at.
const maxError = 64 << 10

// Do sends a request.
func (a answers) Do(req *http.Request) (*http.Response, error) {
	resp, err := a.Client.Do(req)
	if err != nil || resp.StatusCode < 300 {
		return resp, err
	}
	resp.Header.Del(strange)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if closing := errors.Join(err, resp.Body.Close()); closing != nil && len(body) == 0 {
		body = nil // the status alone tells enough
	}
	if !bytes.Contains(body, []byte("<Error")) && len(body) > 0 {
		line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
		resp.Header.Set(strange, strings.ToValidUTF8(line[:min(len(line), 200)], ""))
		body = nil
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// foreign judges an answer that no S3 gave: a page for a browser, a redirection, a complaint about TLS. It is nil for others. None of
// these ends a job, since a gateway in front of the S3 answers so while the S3 is away.
func foreign(err error) *Fault {
	re := response(err)
	if re == nil {
		return nil
	}
	host := at(err)
	body := re.Response.Header.Get(strange)
	for _, words := range plainToTLS {
		if strings.Contains(strings.ToLower(body), words) {
			return &Fault{Cause: host + " speaks TLS", Remedy: "write https:// in s3.endpoint"}
		}
	}
	code := re.HTTPStatusCode()
	if to := re.Response.Header.Get("Location"); code >= 300 && code < 400 && strings.HasPrefix(to, "https:") && re.Response.Request != nil && re.Response.Request.URL.Scheme == "http" {
		return &Fault{Cause: host + " wants TLS", Remedy: "write https:// in s3.endpoint"}
	}
	if kind, _, _ := mime.ParseMediaType(re.Response.Header.Get("Content-Type")); kind == "text/html" && code < 500 {
		return notS3(host, fmt.Sprintf("%d %s, a page for browsers", code, http.StatusText(code)))
	}
	return nil
}

func notS3(host, words string) *Fault {
	return &Fault{Cause: fmt.Sprintf("what answers at %s is not an S3 (%s)", host, words),
		Remedy: "check s3.endpoint: it is the address of the S3 API, not of a console or a gateway"}
}

// at is the host and port that answered.
func at(err error) string {
	if re := response(err); re != nil && re.Response.Request != nil {
		return re.Response.Request.URL.Host
	}
	return "s3.endpoint"
}
