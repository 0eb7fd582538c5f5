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

// plainToTLS are messages of servers that received plain HTTP on a TLS port (net/http, nginx,
// Apache).
var plainToTLS = []string{"http request to an https server", "plain http request was sent to https port", "speaking plain http to an ssl-enabled"}

// strange is a header in which [answers] stores the first line of an error body that does not
// come from an S3.
const strange = "X-Batholith-Body"

// answers is an HTTP client that inspects error answers before the SDK does. The SDK
// understands only S3's XML errors. From any other body, of a proxy or another server, it keeps
// the first line in a header.
type answers struct {
	*http.Client
	standing *Standing // nil: nobody asks
}

// maxError is the number of bytes of an error body that are inspected.
const maxError = 64 << 10

// Do sends a request. It removes error bodies that are not S3 errors.
func (a answers) Do(req *http.Request) (*http.Response, error) {
	resp, err := a.Client.Do(req)
	if err == nil {
		a.standing.answered(resp.StatusCode)
	}
	if err != nil || resp.StatusCode < 300 {
		return resp, err
	}
	resp.Header.Del(strange)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if closing := errors.Join(err, resp.Body.Close()); closing != nil && len(body) == 0 {
		body = nil // the status alone is enough
	}
	if !bytes.Contains(body, []byte("<Error")) && len(body) > 0 {
		line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
		resp.Header.Set(strange, strings.ToValidUTF8(line[:min(len(line), 200)], ""))
		body = nil
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// foreign returns a Fault if the answer does not come from an S3: an HTML page, a redirect to
// https, an error about TLS. Otherwise it returns nil. None of these ends a job: a gateway
// answers so while the S3 behind it is down.
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
	return &Fault{Cause: fmt.Sprintf("the server at %s is not an S3 (%s)", host, words),
		Remedy: "check s3.endpoint: it is the address of the S3 API, not of a console or a gateway"}
}

// at returns the host and port that answered, or "s3.endpoint" if unknown.
func at(err error) string {
	if re := response(err); re != nil && re.Response.Request != nil {
		return re.Response.Request.URL.Host
	}
	return "s3.endpoint"
}
