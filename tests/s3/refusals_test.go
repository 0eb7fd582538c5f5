package s3_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// announce signs a request that declares a body of n bytes, sends its head alone, and returns the answer.
func announce(t *testing.T, e endpoint, method, target string, n int, header http.Header) (status int, body string) {
	t.Helper()
	w := signedBy(t, e, method+" "+target, method, target, unsigned, header, nil)
	w.head = strings.Replace(w.head, "Content-Length: 0\r\n", fmt.Sprintf("Content-Length: %d\r\n", n), 1)
	c, err := net.Dial("tcp", w.host)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(c, w.head+strings.Repeat(" ", min(n, 8<<10))) // the HTTP server reads as much before it asks anybody
	must(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(got)
}

// The answer comes while the body has not, so nothing holds it.
func TestADocumentThatIsLargerThanS3TakesIsNotRead(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	form := http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}
	for i, d := range []struct {
		method, target string
		most           int
	}{
		{"POST", "/box?delete", 2 << 20}, {"POST", "/box/k?uploadId=1", 3 << 20}, {"PUT", "/box?policy", 20 << 10}, {"PUT", "/box?cors", 64 << 10},
		{"PUT", "/box?tagging", 128 << 10}, {"PUT", "/box/k?tagging", 128 << 10}, {"PUT", "/box?lifecycle", 128 << 10}, {"PUT", "/box?acl", 128 << 10},
		{"PUT", "/box/k?acl", 128 << 10}, {"PUT", "/box/k?retention", 128 << 10}, {"PUT", "/box/k?legal-hold", 128 << 10}, {"PUT", "/box?website", 128 << 10},
		{"PUT", "/other", 128 << 10}, {"POST", "/box/k?restore", 128 << 10}, {"POST", "/box/k?select&select-type=2", 128 << 10},
		{"GET", "/box/k", 128 << 10}, {"DELETE", "/box/k", 128 << 10}, {"PATCH", "/box/k", 128 << 10}, {"GET", "/", 128 << 10},
	} {
		for _, n := range []int{400 << 20, d.most + 1}[:1+i%2] {
			if status, body := announce(t, e, d.method, d.target, n, nil); status != http.StatusBadRequest || !strings.Contains(body, "<Code>MaxMessageLengthExceeded</Code>") {
				t.Errorf("%s %s of %d bytes: %d %s", d.method, d.target, n, status, body)
			}
		}
	}
	field := fmt.Sprintf("--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\n%s", strings.Repeat("k", 64<<10))
	w := signedBy(t, e, "form", "POST", "/box", unsigned, form, []byte(field+strings.Repeat("k", 1<<20)))
	if status, body := w.send(t, len(field)); status != http.StatusBadRequest || !strings.Contains(body, "<Code>MaxPostPreDataLengthExceeded</Code>") {
		t.Errorf("a form with a field of 64 KiB: %d %.300s", status, body)
	}
}

func TestDocumentsOfTheSizesOfS3AreTaken(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	var keys, parts strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&keys, "<Object><Key>%04d/%s</Key></Object>", i, strings.Repeat(strings.Repeat("k", 200)+"/", 6)[:1019])
	}
	for i := range 10_000 {
		fmt.Fprintf(&parts, "<Part><PartNumber>%d</PartNumber><ETag>&quot;%032x&quot;</ETag><ChecksumSHA256>%044d</ChecksumSHA256></Part>\n", i+1, i, i)
	}
	api, box, key := sdk(e.url, keyID, secret, http.DefaultClient), aws.String("box"), aws.String("k")
	up, err := api.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: box, Key: key})
	must(t, err)
	md5 := http.Header{"X-Amz-Sdk-Checksum-Algorithm": {"CRC32"}}
	for _, d := range []struct{ target, body, want string }{
		{"/box?delete", "<Delete>" + keys.String() + "</Delete>", "<DeleteResult"},
		{"/box/k?uploadId=" + *up.UploadId, "<CompleteMultipartUpload>" + parts.String() + "</CompleteMultipartUpload>", "<Code>InvalidPart</Code>"},
	} {
		header := md5.Clone()
		header.Set("X-Amz-Checksum-Crc32", crc(d.body))
		w := signedBy(t, e, d.target, "POST", d.target, unsigned, header, []byte(d.body))
		if status, body := w.send(t, len(d.body)); !strings.Contains(body, d.want) {
			t.Errorf("%s of %d bytes: %d %.300s", d.target, len(d.body), status, body)
		}
	}
	more := "<Delete>" + keys.String() + "<Object><Key>k</Key></Object></Delete>"
	w := signedBy(t, e, "1,001 keys", "POST", "/box?delete", unsigned, http.Header{"X-Amz-Checksum-Crc32": {crc(more)}}, []byte(more))
	if status, body := w.send(t, len(more)); status != http.StatusBadRequest || !strings.Contains(body, "<Code>MalformedXML</Code>") {
		t.Errorf("1,001 keys: %d %.300s", status, body)
	}
}

// A client decides by the code whether to try again. A plain 400 leaves it in doubt.
func TestEveryErrorHasACode(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	host := strings.TrimPrefix(e.url, "http://")
	ask := func(request string) string {
		c, err := net.Dial("tcp", host)
		must(t, err)
		defer c.Close()
		must(t, c.SetDeadline(time.Now().Add(time.Minute)))
		// The server may close a connection whose bytes it does not understand before it has read them all, so errors do not count;
		// the answer has come by then.
		io.WriteString(c, request)
		c.(*net.TCPConn).CloseWrite()
		got, _ := io.ReadAll(c)
		return string(got)
	}
	code := regexp.MustCompile(`<Code>[A-Za-z]+</Code>`)
	for name, request := range map[string]string{
		"no request":               "\x16\x03\x01 hello\r\n\r\n",
		"no version":               "GET /box\r\n\r\n",
		"unknown method":           "BREW /box HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"method without a route":   "PATCH /box/k HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"trace":                    "TRACE / HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"odd length":               "PUT /box/k HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: x\r\n\r\n",
		"negative length":          "PUT /box/k HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: -1\r\n\r\n",
		"two lengths":              "PUT /box/k HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		"large head":               "GET /box/k HTTP/1.1\r\nHost: " + host + "\r\nX-Large: " + strings.Repeat("x", 20_000) + "\r\n\r\n",
		"body breaks off at once":  "PUT /box/k HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 100\r\n\r\nx",
		"chunk is no chunk":        "PUT /box/k HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"no host":                  "GET /box/k HTTP/1.1\r\n\r\n",
		"broken escape":            "GET /box/%zz HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"broken escape in a query": "GET /box?prefix=%zz HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"star":                     "OPTIONS * HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"form":                     "POST /box HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 3\r\n\r\nabc",
	} {
		if got := ask(request); !code.MatchString(got) || strings.HasPrefix(got, "HTTP/1.1 5") && !strings.Contains(got, "NotImplemented") {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, key := range []string{"/../x", "/..", "/a/../../x", "/%2e%2e/x", "/a/..%2f..%2fx"} {
		for method, want := range map[string]string{"GET": "NoSuchKey", "PUT": "InvalidArgument", "DELETE": "InvalidArgument"} {
			w := signedBy(t, e, method+" "+key, method, "/box"+key, unsigned, nil, nil)
			if _, body := w.send(t, 0); !strings.Contains(body, "<Code>"+want+"</Code>") {
				t.Errorf("%s %s: %s", method, key, body)
			}
		}
	}
	_, err := sdk(e.url, keyID, secret, http.DefaultClient).HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("box"), Key: aws.String("../x")})
	if codeOf(err) != "NotFound" {
		t.Errorf("head: %v", err)
	}
}

// A parameter that stands twice is covered twice by a signature, in an order of the signature's own; so is a header.
func TestADuplicateParameterOrHeaderIsRefused(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	must(t, client(t, e, keyID, secret).Bucket("box", noOptions).Put(t.Context(), "k", []byte("x")))
	oldURL, err := http.NewRequest("GET", e.url+byOldURL("GET", "/box/k")+"&Expires=9999999999", nil)
	must(t, err)
	twice := signedBy(t, e, "header", "GET", "/box/k", unsigned, http.Header{"X-Amz-Expected-Bucket-Owner": {"000000000000", "1"}}, nil)
	for _, w := range []wire{
		signedBy(t, e, "versionId", "GET", "/box/k?versionId=null&versionId=x", unsigned, nil, nil),
		signedBy(t, e, "prefix", "GET", "/box?prefix=a&prefix=b", unsigned, nil, nil),
		signedBy(t, e, "prefix in two cases", "GET", "/box?prefix=a&PREFIX=b", unsigned, nil, nil),
		signedBy(t, e, "escaped", "GET", "/box?prefix=a&%70refix=b", unsigned, nil, nil),
		twice, written(oldURL, "old URL", nil),
	} {
		if status, body := w.send(t, 0); status != http.StatusForbidden || !strings.Contains(body, "stands twice") {
			t.Errorf("%s: %d %.300s", w.name, status, body)
		}
	}
}

// What follows a refused body on its connection is not another request.
func TestARefusedBodyIsNoRequest(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	inner := signedBy(t, e, "inner", "PUT", "/box/smuggled", unsigned, nil, nil)
	for _, w := range []wire{
		signedBy(t, e, "chunked document", "PUT", "/box?tagging", unsigned, http.Header{"Transfer-Encoding": {"chunked"}}, []byte("zz\r\n"+inner.head)),
		signedBy(t, e, "chunked object", "PUT", "/box/k", unsigned, http.Header{"Transfer-Encoding": {"chunked"}}, []byte("zz\r\n"+inner.head)),
		signedBy(t, e, "wrong signature", "PUT", "/nobody/k", "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
			http.Header{"Transfer-Encoding": {"chunked"}, "X-Amz-Decoded-Content-Length": {"3"}}, []byte("0\r\n\r\n"+inner.head)),
	} {
		w.send(t, len(w.body))
	}
	if got, err := read(t, client(t, e, keyID, secret).Bucket("box", noOptions), "smuggled"); err == nil {
		t.Errorf("a body was taken for a request, which stored %q", got)
	}
}

// The HTTP server would take apart what is called a form, and leave nothing for the object.
func TestAnObjectMayBeAForm(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	body := "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--\r\n"
	w := signedBy(t, e, "form as an object", "PUT", "/box/k", unsigned, http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}, []byte(body))
	if status, answer := w.send(t, len(body)); status != http.StatusOK {
		t.Errorf("%d %s", status, answer)
	}
	if got, err := read(t, client(t, e, keyID, secret).Bucket("box", noOptions), "k"); err != nil || got != body {
		t.Errorf("%q, %v", got, err)
	}
}

// What a client must send beside a URL of the old scheme is covered by its signature, and kept.
func TestAnOldURLKeepsItsHeaders(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	expires := fmt.Sprint(time.Now().Add(time.Hour).Unix())
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte("PUT\n\ntext/plain\n" + expires + "\nx-amz-meta-color:blue\n/box/a%2Bb%20(1)"))
	req, err := http.NewRequest("PUT", e.url+"/box/a%2Bb%20(1)?"+url.Values{"AWSAccessKeyId": {keyID}, "Expires": {expires},
		"Signature": {base64.StdEncoding.EncodeToString(mac.Sum(nil))}}.Encode(), nil)
	must(t, err)
	req.Header = http.Header{"Content-Type": {"text/plain"}, "X-Amz-Meta-Color": {"blue"}}
	if status, body := written(req, "old URL", []byte("x")).send(t, 1); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	out, err := sdk(e.url, keyID, secret, http.DefaultClient).HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("box"), Key: aws.String("a+b (1)")})
	must(t, err)
	if out.Metadata["color"] != "blue" || aws.ToString(out.ContentType) != "text/plain" {
		t.Errorf("kept %v, %s", out.Metadata, aws.ToString(out.ContentType))
	}
}
