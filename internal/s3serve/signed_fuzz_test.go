package s3serve

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"
)

// script is a connection over which a request has come already, and nothing more comes.
type script struct {
	in  bytes.Reader
	out bytes.Buffer
}

func (s *script) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4601} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 50000} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// vault is a server whose every object but open/ok.txt is a secret.
type vault struct {
	server *Server
	dir    string
}

// secrets are what a request that is signed for open/ok.txt must neither read nor change.
var secrets = map[string]string{"vault/secret.txt": "SECRET 1", "vault/open/ok.txt": "SECRET 2", "vault/ok.txt": "SECRET 3", "open/other.txt": "SECRET 4",
	"open/ok.txt.d/ok.txt": "SECRET 5", "open/open/ok.txt": "SECRET 6"}

const openly = "public"

func newVault(t testing.TB) *vault {
	t.Helper()
	v := &vault{dir: t.TempDir()}
	s, err := New(Options{Dir: v.dir, Region: "us-east-1", Owner: "000000000000", Accounts: []Account{{AccessKeyID: "AK", Secret: "secret"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	v.server = s
	for _, bucket := range []string{"open", "vault"} {
		if err := s.EnsureBucket(bucket); err != nil {
			t.Fatal(err)
		}
	}
	s.app.Handler() // makes the routes
	for name, body := range secrets {
		v.write(t, name, body)
	}
	v.write(t, "open/ok.txt", openly)
	return v
}

func (v *vault) write(t testing.TB, name, body string) {
	t.Helper()
	path := filepath.Join(v.dir, "buckets", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
}

// objects are the files of all buckets, without the one that the requests are signed for.
func (v *vault) objects(t testing.TB) map[string]string {
	t.Helper()
	root, found := filepath.Join(v.dir, "buckets"), map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		found[rel] = string(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(found, "open/ok.txt")
	return found
}

// signatures are the ways to sign a request for open/ok.txt.
var signatures = []string{"header", "url", "old url", "header, bucket in the host name", "url, bucket in the host name", "old url, bucket in the host name",
	"old header", "old header, bucket in the host name"}

// signed is a request for open/ok.txt: host, path, query and headers.
func signed(t testing.TB, how, method string) (host, path, query string, header http.Header) {
	t.Helper()
	host, path = "127.0.0.1:4601", "/open/ok.txt"
	if strings.HasSuffix(how, "host name") {
		host, path = "open.localhost:4601", "/ok.txt"
	}
	req, err := http.NewRequest(method, "http://"+host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	key := aws.Credentials{AccessKeyID: "AK", SecretAccessKey: "secret"}
	const unsigned = "UNSIGNED-PAYLOAD"
	switch kind, _, _ := strings.Cut(how, ","); kind {
	case "header":
		req.Header.Set("X-Amz-Content-Sha256", unsigned)
		err = signer.SignHTTP(context.Background(), key, req, unsigned, "s3", "us-east-1", time.Now())
	case "url":
		req.URL.RawQuery = "X-Amz-Expires=600"
		uri, more, perr := signer.PresignHTTP(context.Background(), key, req, unsigned, "s3", "us-east-1", time.Now())
		if err = perr; err == nil {
			_, req.URL.RawQuery, _ = strings.Cut(uri, "?")
			more.Del("Host")
			req.Header = more
		}
	case "old header":
		date := time.Now().UTC().Format(http.TimeFormat)
		mac := hmac.New(sha1.New, []byte("secret"))
		mac.Write([]byte(method + "\n\n\n" + date + "\n/open/ok.txt"))
		req.Header.Set("Date", date)
		req.Header.Set("Authorization", "AWS AK:"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	case "old url":
		expires := fmt.Sprint(time.Now().Add(time.Hour).Unix())
		mac := hmac.New(sha1.New, []byte("secret"))
		mac.Write([]byte(method + "\n\n\n" + expires + "\n/open/ok.txt"))
		req.URL.RawQuery = url.Values{"AWSAccessKeyId": {"AK"}, "Expires": {expires}, "Signature": {base64.StdEncoding.EncodeToString(mac.Sum(nil))}}.Encode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return host, path, req.URL.RawQuery, req.Header
}

// bend is what somebody makes of a signed request without the key.
type bend struct {
	method string // "": the one that was signed
	host   string // "": the one that was signed
	before string // before the path: a scheme and a host
	path   string // "": the one that was signed
	query  string // beside the one that was signed: before it with "^" in front
	header string // lines that are added
}

// ask sends a signed request that was bent, and returns what the server wrote.
func (v *vault) ask(t testing.TB, how, method string, b bend) []byte {
	t.Helper()
	host, path, query, header := signed(t, how, method)
	if b.method != "" {
		method = b.method
	}
	if b.host != "" {
		host = b.host
	}
	if b.path != "" {
		path = b.path
	}
	if first, front := strings.CutPrefix(b.query, "^"); front {
		query = first + "&" + query
	} else if b.query != "" {
		query += "&" + b.query
	}
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s%s?%s HTTP/1.1\r\nHost: %s\r\n", method, b.before, path, query, host)
	for name, values := range header {
		for _, value := range values {
			fmt.Fprintf(&head, "%s: %s\r\n", name, value)
		}
	}
	if b.header != "" {
		head.WriteString(b.header + "\r\n")
	}
	body := ""
	if method == http.MethodPut || method == http.MethodPost {
		body = "CHANGED"
		head.WriteString("Content-Length: 7\r\n")
	}
	c := &script{}
	c.in.Reset([]byte(head.String() + "\r\n" + body))
	v.server.app.Server().ServeConn(c) // its error is that of the request
	return c.out.Bytes()
}

// keeps checks the law: whatever a request is bent to, it reads and changes what it was signed for, or nothing.
func (v *vault) keeps(t testing.TB, how, method string, b bend) {
	t.Helper()
	out := v.ask(t, how, method, b)
	if bytes.Contains(out, []byte("SECRET")) || bytes.Contains(out, []byte("<ListBucketResult")) || bytes.Contains(out, []byte("<ListAllMyBucketsResult")) {
		t.Errorf("%s, %s, bent to %+v: %s", how, method, b, out)
	}
	if method == http.MethodGet && (b.method == "" || b.method == method) {
		if resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out)), &http.Request{Method: method}); err == nil && resp.StatusCode == http.StatusOK {
			if body, _ := io.ReadAll(resp.Body); string(body) != openly {
				t.Errorf("%s, bent to %+v, reads %q", how, b, body)
			}
		}
		return
	}
	if diff := cmp.Diff(secrets, v.objects(t)); diff != "" {
		t.Errorf("%s, %s, bent to %+v:\n%s", how, method, b, diff)
		for name := range v.objects(t) {
			if _, known := secrets[name]; !known {
				os.Remove(filepath.Join(v.dir, "buckets", name))
			}
		}
		for name, body := range secrets {
			v.write(t, name, body)
		}
	}
	v.write(t, "open/ok.txt", openly)
}

var bends = map[string]bend{
	"host of another bucket":             {host: "vault.localhost"},
	"host of another bucket, port":       {host: "vault.localhost:4601"},
	"host of another bucket, upper case": {host: "VAULT.LOCALHOST:4601"},
	"host of another bucket, dot":        {host: "vault.localhost.:4601"},
	"host of another bucket, domain":     {host: "vault.localhost.example.com"},
	"target with the host of another":    {before: "http://vault.localhost"},
	"target with the host, port":         {before: "http://vault.localhost:4601"},
	"target and host of another":         {before: "http://vault.localhost", host: "vault.localhost"},
	"target without a scheme":            {before: "//vault.localhost"},
	"target of another scheme":           {before: "ftp://vault.localhost"},
	"target with a user":                 {before: "http://127.0.0.1:4601@vault.localhost"},
	"host with a path":                   {host: "127.0.0.1/vault/secret.txt?"},
	"host with a query":                  {host: "127.0.0.1/vault/secret.txt?x="},
	"host with a fragment":               {host: "127.0.0.1/vault/secret.txt#"},
	"host with a user":                   {host: "a@127.0.0.1/vault/secret.txt?"},
	"host with a backslash":              {host: `127.0.0.1\vault`},
	"host with escapes":                  {host: "127.0.0.1%2fvault%2fsecret.txt%3f"},
	"host with a bucket and a path":      {host: "vault.localhost/secret.txt?"},
	"host of the bucket and its path":    {host: "open.localhost:4601"},
	"host of the address":                {host: "127.0.0.1:4601", path: "/ok.txt"},
	"another host in a second header":    {header: "Host: vault.localhost"},
	"forwarded host":                     {header: "X-Forwarded-Host: vault.localhost"},
	"path up and down":                   {path: "/open/ok.txt/../../vault/secret.txt"},
	"path up and down, escaped":          {path: "/open/ok.txt%2f..%2f..%2fvault%2fsecret.txt"},
	"path with two slashes":              {path: "//vault/secret.txt"},
	"path with a fragment":               {path: "/open/ok.txt#/../../vault/secret.txt"},
	"path escaped twice":                 {path: "/open%252fok.txt"},
	"path of another":                    {path: "/vault/secret.txt"},
	"path of another object":             {path: "/open/other.txt"},
	"path of the bucket":                 {path: "/open"},
	"path of all":                        {path: "/"},
	"copy":                               {header: "X-Amz-Copy-Source: /vault/secret.txt"},
	"copy by query":                      {query: "x-amz-copy-source=/vault/secret.txt"},
	"part":                               {query: "partNumber=1&uploadId=x"},
	"tags":                               {query: "tagging"},
	"attributes":                         {query: "attributes"},
	"hold":                               {query: "legal-hold"},
	"listing":                            {query: "list-type=2&prefix="},
	"second expiry":                      {query: "Expires=9999999999"},
	"first expiry":                       {query: "^Expires=9999999999"},
	"second expiry, new":                 {query: "X-Amz-Expires=604800"},
	"first key":                          {query: "^AWSAccessKeyId=batholith-internal"},
	"first credential":                   {query: "^X-Amz-Credential=batholith-internal/20260101/us-east-1/s3/aws4_request"},
	"signed headers, twice":              {query: "X-Amz-SignedHeaders=host"},
	"case of a parameter":                {query: "signature=x"},
	"another method":                     {method: "DELETE"},
	"form":                               {method: "POST", path: "/vault", header: "Content-Type: multipart/form-data; boundary=x"},
	"another signature":                  {header: "Authorization: AWS4-HMAC-SHA256 Credential=AK/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"},
	"second request":                     {header: "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /vault/secret.txt HTTP/1.1\r\nHost: 127.0.0.1"},
}

func TestARequestIsRoutedAsItWasSigned(t *testing.T) {
	v := newVault(t)
	for _, how := range signatures {
		if out := v.ask(t, how, "GET", bend{}); !bytes.HasSuffix(out, []byte(openly)) {
			t.Errorf("%s: %s", how, out)
		}
		if out := v.ask(t, how, "PUT", bend{}); !bytes.HasPrefix(out, []byte("HTTP/1.1 200")) {
			t.Errorf("%s: %s", how, out)
		}
		v.write(t, "open/ok.txt", openly)
		for name, b := range bends {
			for _, method := range []string{"GET", "PUT", "DELETE"} {
				v.keeps(t, how, method, b)
			}
			if t.Failed() {
				t.Fatalf("%s: %s", how, name)
			}
		}
	}
}

// FuzzSignedRequest holds what anybody can make of a signed request, without the key, to the same law.
func FuzzSignedRequest(f *testing.F) {
	for i, name := range slices.Sorted(maps.Keys(bends)) {
		b := bends[name]
		f.Add(uint8(i), []string{"GET", "PUT"}[i%2], b.method, b.host, b.before, b.path, b.query, b.header)
	}
	v := newVault(f)
	methods := map[string]bool{"GET": true, "PUT": true, "DELETE": true, "HEAD": true}
	f.Fuzz(func(t *testing.T, how uint8, method, other, host, before, path, query, header string) {
		if !methods[method] || len(host)+len(before)+len(path)+len(query)+len(header) > 4<<10 {
			return
		}
		v.keeps(t, signatures[int(how)%len(signatures)], method, bend{other, host, before, path, query, header})
	})
}

// FuzzAddress holds the reading of a request's head to its own rules, for every host and target.
func FuzzAddress(f *testing.F) {
	for _, b := range bends {
		host, path := b.host, b.path
		f.Add(host, b.before+path+"?"+b.query)
	}
	f.Add("open.localhost:4601", "/a%2Fb%20c?x=1&y=%26")
	f.Fuzz(func(t *testing.T, host, target string) {
		a, err := resolve(host, target)
		if err != nil {
			return
		}
		if again, err := resolve("127.0.0.1", a.target(a.rawQuery)); err != nil || again.bucket != a.bucket || again.key != a.key {
			t.Errorf("%q %q names %q and %q, in path style %+v, %v", host, target, a.bucket, a.key, again, err)
		}
		names := maps.Collect(a.each)
		if 2*len(names) != len(a.query) {
			t.Errorf("%q: a parameter stands twice: %q", target, a.query)
		}
		if routed := a.routed(); a.bucket != "" && !strings.HasPrefix(routed, "/"+a.bucket) {
			t.Errorf("%q %q names %q and is routed by %q", host, target, a.bucket, routed)
		}
	})
}
