package s3serve

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// wire sends requests as bytes, so that each may be what some client sends. Nothing listens: a connection is a buffer.
type wire struct {
	server *Server
	dir    string
}

// newWire serves the bucket box.
func newWire(t testing.TB) *wire {
	t.Helper()
	return openWire(t, t.TempDir(), false)
}

// openWire serves the bucket box of a directory.
func openWire(t testing.TB, dir string, metaFiles bool) *wire {
	t.Helper()
	w := &wire{dir: dir}
	s, err := New(Options{Dir: w.dir, Region: "us-east-1", Owner: "000000000000", Accounts: []Account{{AccessKeyID: "AK", Secret: "secret"}}, MetaFiles: metaFiles})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.EnsureBucket("box"); err != nil {
		t.Fatal(err)
	}
	s.app.Handler() // makes the routes
	w.server = s
	return w
}

// ask is a request before it is signed. The payload is what the signature says of the body; "" for the body's hash.
type ask struct {
	method, target string
	header         http.Header
	payload        string
	body           []byte
}

// signature is what later parts of a signed request need of it.
type signature struct{ date, seed string }

// sign returns the request as bytes, without its body.
func (a ask) sign(t testing.TB, length int) (string, signature) {
	t.Helper()
	req, err := http.NewRequest(a.method, "http://127.0.0.1:4601"+a.target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range a.header {
		req.Header[name] = values
	}
	if a.payload == "" {
		sum := sha256.Sum256(a.body)
		a.payload = hex.EncodeToString(sum[:])
	}
	req.Header.Set("X-Amz-Content-Sha256", a.payload)
	now := time.Now()
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AK", SecretAccessKey: "secret"}, req, a.payload, "s3", "us-east-1", now); err != nil {
		t.Fatal(err)
	}
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", a.method, a.target, req.URL.Host, length)
	for name, values := range req.Header {
		for _, v := range values {
			fmt.Fprintf(&head, "%s: %s\r\n", name, v)
		}
	}
	_, seed, _ := strings.Cut(req.Header.Get("Authorization"), "Signature=")
	return head.String() + "\r\n", signature{req.Header.Get("X-Amz-Date"), seed}
}

// reply is what was answered to one request.
type reply struct {
	status int
	header http.Header
	body   string
}

// code is that of an error.
func (r reply) code() string {
	_, rest, _ := strings.Cut(r.body, "<Code>")
	code, _, _ := strings.Cut(rest, "</Code>")
	return code
}

// raw sends bytes over one connection and returns what is answered to each of the requests in them.
func (w *wire) raw(t testing.TB, sent []byte, methods ...string) []reply {
	t.Helper()
	c := &script{}
	c.in.Reset(sent)
	w.server.app.Server().ServeConn(c) // its error is that of the last request
	var all []reply
	from := bufio.NewReader(&c.out)
	for _, method := range methods {
		resp, err := http.ReadResponse(from, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("answer %d of %d: %v", len(all)+1, len(methods), err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, reply{resp.StatusCode, resp.Header, string(body)})
	}
	if rest, _ := io.ReadAll(from); len(rest) > 0 {
		t.Fatalf("after %d answers there came %q", len(methods), rest)
	}
	return all
}

// do sends one request.
func (w *wire) do(t testing.TB, a ask) reply {
	t.Helper()
	head, _ := a.sign(t, len(a.body))
	return w.raw(t, append([]byte(head), a.body...), a.method)[0]
}

// must is do for what succeeds.
func (w *wire) must(t testing.TB, a ask) reply {
	t.Helper()
	r := w.do(t, a)
	if r.status >= 300 {
		t.Fatalf("%s %s: %d %s", a.method, a.target, r.status, r.body)
	}
	return r
}

// put makes an object.
func (w *wire) put(t testing.TB, target, body string) {
	t.Helper()
	w.must(t, ask{method: "PUT", target: target, body: []byte(body)})
}

// element is the text of the first element of a name in a document.
func element(document, name string) string {
	_, rest, found := strings.Cut(document, "<"+name+">")
	if !found {
		return ""
	}
	text, _, _ := strings.Cut(rest, "</"+name+">")
	return text
}
