package upstream

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
)

// FuzzAnErrorAnswerIsClassified has a server answer a request with anything. The answer is a text or a failure of a known kind.
func FuzzAnErrorAnswerIsClassified(f *testing.F) {
	for _, body := range []string{`{"error":{"message":"too long","type":"invalid_request_error","code":400}}`, `[{"error":{"code":429,"message":"quota"}}]`, `{"error":"model 'x' not found"}`,
		`{"detail":[{"loc":["body",0],"msg":"Field required","input":"secret"}]}`, "<html><title>502</title>", `{"object":"error","message":"…, 'input': 'secret'"}`, "\xff", ""} {
		f.Add(400, body, "5")
		f.Add(200, body, "Wed, 21 Oct 2026 07:28:00 GMT")
		f.Add(503, body, "-1")
	}
	f.Fuzz(func(t *testing.T, status int, body, after string) {
		if status < 200 || status > 599 {
			return
		}
		r := newRefusal(&http.Response{StatusCode: status, Header: http.Header{"Retry-After": {after}}}, []byte(body))
		if r.retryAfter < 0 {
			t.Fatalf("%q asks for a retry %v ago", after, -r.retryAfter)
		}
		if s := r.said.status(); s < 400 || s > 599 {
			t.Fatalf("%q has the status %d", body, s)
		}
		if strings.Contains(r.Error(), body) && len(body) > 40 {
			t.Fatal("the error quotes the server")
		}
		if bytes.Contains([]byte(r.said.Message), []byte("'input': ")) {
			t.Fatalf("%q keeps the input of a request: %q", body, r.said.Message)
		}
	})
}
