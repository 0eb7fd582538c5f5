package s3serve

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/versity/versitygw/s3api/utils"
)

// cut is how a client cuts a body into chunks.
type cut struct {
	kind    string // of chunks: value of x-amz-content-sha256
	trailer string // name of the checksum behind them
	ends    string // of the checksum's line
	sizes   []int
	spoil   func(body string) string // what happens to the body on its way; nil: nothing
	length  int                      // added to the decoded length that is announced
	header  http.Header
}

// request cuts, sums up and signs a body.
func (c cut) request(t testing.TB, target string, body []byte) (string, []byte) {
	t.Helper()
	header := http.Header{"X-Amz-Decoded-Content-Length": {fmt.Sprint(len(body) + c.length)}, "Content-Encoding": {"aws-chunked"}}
	for name, values := range c.header {
		header[name] = values
	}
	if c.trailer != "" {
		header.Set("X-Amz-Trailer", c.trailer)
	}
	a := ask{method: "PUT", target: target, payload: c.kind, header: header}
	_, signed := a.sign(t, 0)
	text := c.chunks(signed, body, sumOf(t, c.trailer, body))
	if c.spoil != nil {
		text = c.spoil(text)
	}
	head, again := a.sign(t, len(text))
	if again != signed { // the clock went on; a length is not signed
		return c.request(t, target, body)
	}
	return head, []byte(text)
}

// chunks is the body as it is sent.
func (c cut) chunks(s signature, body []byte, sum string) string {
	scope := s.date[:8] + "/us-east-1/s3/aws4_request"
	key, last := []byte("AWS4secret"), s.seed
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	hash := func(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }
	var out strings.Builder
	for _, size := range append(c.sizes, 0) {
		chunk := body[:min(size, len(body))]
		body = body[len(chunk):]
		if size > 0 && len(chunk) == 0 {
			continue
		}
		if c.kind == unsignedChunks {
			fmt.Fprintf(&out, "%x\r\n", len(chunk))
		} else {
			last = hex.EncodeToString(mac(key, strings.Join([]string{"AWS4-HMAC-SHA256-PAYLOAD", s.date, scope, last, hash(nil), hash(chunk)}, "\n")))
			fmt.Fprintf(&out, "%x;chunk-signature=%s\r\n", len(chunk), last)
		}
		if size > 0 {
			out.Write(chunk)
			out.WriteString("\r\n")
		}
	}
	line := ""
	if c.trailer != "" {
		out.WriteString(c.trailer + ":" + sum + c.ends)
		line = strings.ToLower(c.trailer) + ":" + sum + "\n"
	}
	if c.kind == signedTrailer {
		last = hex.EncodeToString(mac(key, strings.Join([]string{"AWS4-HMAC-SHA256-TRAILER", s.date, scope, last, hash([]byte(line))}, "\n")))
		out.WriteString("x-amz-trailer-signature:" + last + "\r\n")
	}
	return out.String() + "\r\n"
}

func sumOf(t testing.TB, trailer string, body []byte) string {
	t.Helper()
	if trailer == "" {
		return ""
	}
	sum, err := utils.NewHashReader(strings.NewReader(string(body)), "", utils.HashType(strings.TrimPrefix(strings.ToLower(trailer), "x-amz-checksum-")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, sum); err != nil {
		t.Fatal(err)
	}
	return sum.Sum()
}

var algorithms = []string{"crc32", "crc32c", "crc64nvme", "sha1", "sha256", "sha512", "md5", "xxhash64", "xxhash3", "xxhash128"}

// ways are the ways to cut a body that clients have, by name.
func ways() map[string]cut {
	all := map[string]cut{
		"signed":                     {kind: signedChunks, sizes: []int{64 << 10, 64 << 10, 64 << 10}},
		"signed, one chunk":          {kind: signedChunks, sizes: []int{1 << 20}},
		"unsigned, no trailer":       {kind: unsignedChunks, sizes: []int{1 << 20}},
		"trailer in capitals":        {kind: unsignedChunks, trailer: "X-Amz-Checksum-Crc32", ends: "\r\n", sizes: []int{1 << 20}},
		"signed, small chunks":       {kind: signedTrailer, trailer: "x-amz-checksum-crc32", ends: "\r\n", sizes: []int{8 << 10, 8 << 10, 1 << 20}},
		"signed, with a Content-MD5": {kind: signedTrailer, trailer: "x-amz-checksum-crc32", ends: "\n\r\n", sizes: []int{1 << 20}, header: http.Header{"Content-Md5": nil}},
	}
	for _, algorithm := range algorithms {
		trailer := "x-amz-checksum-" + algorithm
		for name, ends := range map[string]string{"CR LF": "\r\n", "LF": "\n", "LF CR LF": "\n\r\n"} {
			all["signed trailer "+algorithm+", "+name] = cut{kind: signedTrailer, trailer: trailer, ends: ends, sizes: []int{64 << 10, 64 << 10, 64 << 10}}
			all["trailer "+algorithm+", "+name] = cut{kind: unsignedChunks, trailer: trailer, ends: ends, sizes: []int{128 << 10, 1 << 20}}
		}
	}
	return all
}

// Whatever way a client has to cut a body into chunks, the object is the bytes in them, an upload's part is, and what follows on the same
// connection is the next request.
func TestABodyInChunksKeepsItsBytes(t *testing.T) {
	w := newWire(t)
	up := element(w.must(t, ask{method: "POST", target: "/box/part?uploads"}).body, "UploadId")
	get, _ := ask{method: "GET", target: "/box/k", header: http.Header{"X-Amz-Checksum-Mode": {"ENABLED"}}}.sign(t, 0)
	for name, c := range ways() {
		for _, size := range []int{0, 64<<10 + 5} {
			body := []byte(strings.Repeat("0123456", size/7+1)[:size])
			if _, named := c.header["Content-Md5"]; named {
				c.header = http.Header{"Content-Md5": {sumOf(t, "md5", body)}}
			}
			head, sent := c.request(t, "/box/k", body)
			part, partSent := c.request(t, "/box/part?partNumber=1&uploadId="+up, body)
			all := w.raw(t, []byte(head+string(sent)+get+part+string(partSent)), "PUT", "GET", "PUT")
			for i, r := range all {
				if r.status != http.StatusOK {
					t.Fatalf("%s, %d bytes, request %d: %d %s", name, size, i, r.status, r.body)
				}
			}
			if all[1].body != string(body) {
				t.Errorf("%s: %d bytes became %d", name, size, len(all[1].body))
			}
			if etag := fmt.Sprintf("%q", fmt.Sprintf("%x", md5.Sum(body))); all[2].header.Get("ETag") != etag {
				t.Errorf("%s: a part of %d bytes has the ETag %s, want %s", name, size, all[2].header.Get("ETag"), etag)
			}
			if c.trailer != "" && all[1].header.Get(c.trailer) != sumOf(t, c.trailer, body) {
				t.Errorf("%s: %d bytes have the checksum %q, sent was %q", name, size, all[1].header.Get(c.trailer), sumOf(t, c.trailer, body))
			}
		}
	}
}

// An object keeps the encodings that are its own, and the one that is the client's way to send it goes.
func TestAnObjectKeepsItsOwnEncoding(t *testing.T) {
	w := newWire(t)
	for sent, want := range map[string]string{"aws-chunked": "", "gzip": "gzip", "aws-chunked,gzip": "gzip", "gzip, aws-chunked": "gzip", "AWS-Chunked": "",
		"gzip,aws-chunked,br": "gzip,br", "aws-chunked, gzip,br": "gzip,br"} {
		head, body := cut{kind: unsignedChunks, sizes: []int{100}, header: http.Header{"Content-Encoding": {sent}}}.request(t, "/box/k", []byte("hello"))
		w.raw(t, append([]byte(head), body...), "PUT")
		up := element(w.must(t, ask{method: "POST", target: "/box/up?uploads", header: http.Header{"Content-Encoding": {sent}}}).body, "UploadId")
		etag := w.must(t, ask{method: "PUT", target: "/box/up?partNumber=1&uploadId=" + up, body: []byte("hello")}).header.Get("ETag")
		w.must(t, ask{method: "POST", target: "/box/up?uploadId=" + up,
			body: []byte("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + etag + "</ETag></Part></CompleteMultipartUpload>")})
		w.must(t, ask{method: "PUT", target: "/box/copy", header: http.Header{"Content-Encoding": {sent}, "X-Amz-Copy-Source": {"box/k"}, "X-Amz-Metadata-Directive": {"REPLACE"}}})
		for _, target := range []string{"/box/k", "/box/up", "/box/copy"} {
			if got := w.must(t, ask{method: "HEAD", target: target}).header.Get("Content-Encoding"); got != want {
				t.Errorf("%s, sent with %q, has the encoding %q, want %q", target, sent, got, want)
			}
		}
	}
}

// A body in chunks that is not what its head announces is the client's fault, whatever is wrong, and nothing is stored.
func TestABodyInWrongChunksIsRefused(t *testing.T) {
	w := newWire(t)
	replace := func(old, new string) func(string) string {
		return func(body string) string { return strings.Replace(body, old, new, 1) }
	}
	last := func(old, new string) func(string) string {
		return func(body string) string {
			at := strings.LastIndex(body, old)
			return body[:at] + new + body[at+len(old):]
		}
	}
	sum := "x-amz-checksum-crc32"
	up := element(w.must(t, ask{method: "POST", target: "/box/part?uploads"}).body, "UploadId")
	for name, c := range map[string]struct {
		cut
		status int
		code   string
	}{
		"longer than announced":         {cut{kind: unsignedChunks, length: -1}, 400, "IncompleteBody"},
		"shorter than announced":        {cut{kind: unsignedChunks, length: 1}, 400, "IncompleteBody"},
		"announced as nothing":          {cut{kind: unsignedChunks, length: -70_000}, 400, "IncompleteBody"},
		"signed, longer":                {cut{kind: signedChunks, length: -1}, 400, "IncompleteBody"},
		"signed, shorter":               {cut{kind: signedChunks, length: 1}, 400, "IncompleteBody"},
		"signed, announced as nothing":  {cut{kind: signedChunks, length: -70_000}, 400, "IncompleteBody"},
		"signed trailer, longer":        {cut{kind: signedTrailer, trailer: sum, ends: "\n\r\n", length: -1}, 400, "IncompleteBody"},
		"signed trailer, shorter":       {cut{kind: signedTrailer, trailer: sum, ends: "\n\r\n", length: 1}, 400, "IncompleteBody"},
		"a byte of the object":          {cut{kind: signedChunks, spoil: replace("aaaa", "aaab")}, 403, "SignatureDoesNotMatch"},
		"a byte under a checksum":       {cut{kind: unsignedChunks, trailer: sum, ends: "\r\n", spoil: replace("aaaa", "aaab")}, 400, "BadDigest"},
		"the checksum":                  {cut{kind: signedTrailer, trailer: sum, ends: "\r\n", spoil: last("x-amz-checksum-crc32:", "x-amz-checksum-crc32:A")}, 403, "SignatureDoesNotMatch"},
		"the signature of the trailer":  {cut{kind: signedTrailer, trailer: sum, ends: "\r\n", spoil: last("x-amz-trailer-signature:", "x-amz-trailer-signature:0")}, 403, "SignatureDoesNotMatch"},
		"no signature of the trailer":   {cut{kind: signedTrailer, trailer: sum, ends: "\r\n", spoil: last("x-amz-trailer-signature:", "x-amz-other:")}, 400, "MalformedTrailerError"},
		"another trailer":               {cut{kind: unsignedChunks, trailer: sum, ends: "\r\n", spoil: last("crc32", "crc32c")}, 400, "MalformedTrailerError"},
		"a trailer too many":            {cut{kind: unsignedChunks, trailer: sum, ends: "\r\nx-amz-meta-a:b\r\n"}, 400, "MalformedTrailerError"},
		"a trailer twice":               {cut{kind: unsignedChunks, trailer: sum, ends: "\r\nx-amz-checksum-crc32:AAAAAA==\r\n"}, 400, "MalformedTrailerError"},
		"no trailer":                    {cut{kind: unsignedChunks, spoil: replace("", ""), header: http.Header{"X-Amz-Trailer": {sum}}}, 400, "MalformedTrailerError"},
		"a checksum nobody knows":       {cut{kind: unsignedChunks, header: http.Header{"X-Amz-Trailer": {"x-amz-checksum-foo"}}}, 400, "InvalidRequest"},
		"a trailer that is no checksum": {cut{kind: unsignedChunks, header: http.Header{"X-Amz-Trailer": {"x-amz-meta-a"}}}, 400, "InvalidRequest"},
		"a checksum that is none":       {cut{kind: unsignedChunks, trailer: sum, ends: "\r\n", spoil: last(sum+":", sum+":????")}, 400, "InvalidRequest"},
		"chunks that are too small":     {cut{kind: signedChunks, sizes: []int{100, 70_000}}, 400, "InvalidChunkSizeError"},
		"no last chunk":                 {cut{kind: unsignedChunks, spoil: last("0\r\n", "")}, 400, "IncompleteBody"},
		"no empty line at the end":      {cut{kind: unsignedChunks, spoil: last("0\r\n\r\n", "0\r\n")}, 400, "IncompleteBody"},
		"a size that is no number":      {cut{kind: unsignedChunks, spoil: replace("11170\r\n", "0x11170\r\n")}, 400, "IncompleteBody"},
		"a negative size":               {cut{kind: unsignedChunks, spoil: replace("11170\r\n", "-11170\r\n")}, 400, "IncompleteBody"},
		"a size without end":            {cut{kind: unsignedChunks, spoil: replace("11170\r\n", strings.Repeat("0", 2000)+"11170\r\n")}, 400, "IncompleteBody"},
		"an extension":                  {cut{kind: unsignedChunks, spoil: replace("11170\r\n", "11170;a=b\r\n")}, 400, "IncompleteBody"},
		"no signature":                  {cut{kind: signedChunks, spoil: replace(";chunk-signature=", ";chunk=")}, 400, "IncompleteBody"},
		"more after the end":            {cut{kind: unsignedChunks, spoil: func(b string) string { return b + "5\r\nhello\r\n0\r\n\r\n" }}, 400, "MalformedTrailerError"},
		"no bytes at all":               {cut{kind: signedTrailer, trailer: sum, ends: "\r\n", spoil: func(string) string { return "" }}, 400, "IncompleteBody"},
		"signed with a key of two":      {cut{kind: "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"}, 501, "NotImplemented"},
		"the same with a trailer":       {cut{kind: "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER", trailer: sum, ends: "\r\n"}, 501, "NotImplemented"},
		"chunks that nobody knows":      {cut{kind: "STREAMING-OTHER"}, 400, "InvalidArgument"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.sizes == nil {
				c.sizes = []int{70_000}
			}
			for _, target := range []string{"/box/wrong", "/box/part?partNumber=1&uploadId=" + up, "/box/wrong/"} {
				head, body := c.request(t, target, []byte(strings.Repeat("a", 70_000)))
				if r := w.raw(t, append([]byte(head), body...), "PUT")[0]; r.status != c.status || r.code() != c.code {
					t.Errorf("%s: %d %s, want %d %s\n%s", target, r.status, r.code(), c.status, c.code, r.body)
				}
			}
			if r := w.do(t, ask{method: "GET", target: "/box/wrong"}); r.status != http.StatusNotFound {
				t.Errorf("it is stored: %d", r.status)
			}
			if r := w.must(t, ask{method: "GET", target: "/box/part?uploadId=" + up}); strings.Contains(r.body, "<Part>") {
				t.Errorf("the part is stored: %s", r.body)
			}
		})
	}
}
