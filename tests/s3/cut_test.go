package s3_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith/internal/s3serve"
)

// wire is a request as bytes, so that a test can send a part of it.
type wire struct {
	name string
	host string
	head string
	body []byte
}

// send writes the head and n bytes of the body, and then says that nothing follows. It returns the answer.
func (w wire) send(t *testing.T, n int) (status int, body string) {
	t.Helper()
	c, err := net.Dial("tcp", w.host)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	c.Write(append([]byte(w.head), w.body[:n]...)) // fails where the server has answered already
	c.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Errorf("%s, %d of %d bytes: no answer: %v", w.name, n, len(w.body), err)
		return 0, ""
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(got)
}

// abandon writes the head and n bytes of the body, and closes the connection.
func (w wire) abandon(t *testing.T, n int) {
	t.Helper()
	c, err := net.Dial("tcp", w.host)
	must(t, err)
	_, err = c.Write(append([]byte(w.head), w.body[:n]...))
	must(t, err)
	must(t, c.Close())
}

// signedBy writes a request that is signed in its headers. The payload is what the signature says of the body.
func signedBy(t *testing.T, e endpoint, name, method, target, payload string, header http.Header, body []byte) wire {
	t.Helper()
	req, err := http.NewRequest(method, e.url+target, bytes.NewReader(body))
	must(t, err)
	maps.Copy(req.Header, header)
	req.Header.Set("X-Amz-Content-Sha256", payload)
	req.ContentLength = -1 // is not signed
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	must(t, signer.SignHTTP(t.Context(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, req, payload, "s3", region, time.Now()))
	return written(req, name, body)
}

func written(req *http.Request, name string, body []byte) wire {
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\n", req.Method, req.URL.RequestURI(), req.URL.Host)
	if !strings.EqualFold(req.Header.Get("Transfer-Encoding"), "chunked") {
		fmt.Fprintf(&head, "Content-Length: %d\r\n", len(body))
	}
	for key, values := range req.Header {
		for _, v := range values {
			fmt.Fprintf(&head, "%s: %s\r\n", key, v)
		}
	}
	head.WriteString("\r\n")
	return wire{name, req.URL.Host, head.String(), body}
}

// byOldURL is the target of a URL that is signed by Signature Version 2 for an hour.
func byOldURL(method, path string) string {
	expires := fmt.Sprint(time.Now().Add(time.Hour).Unix())
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(method + "\n\n\n" + expires + "\n" + path))
	return path + "?" + url.Values{"AWSAccessKeyId": {keyID}, "Expires": {expires}, "Signature": {base64.StdEncoding.EncodeToString(mac.Sum(nil))}}.Encode()
}

const unsigned = "UNSIGNED-PAYLOAD"

func hashed(body []byte) string { return fmt.Sprintf("%x", sha256.Sum256(body)) }

// summed cuts a body into chunks with a checksum behind them (STREAMING-UNSIGNED-PAYLOAD-TRAILER).
func summed(body []byte) []byte {
	sum := crc32.NewIEEE()
	sum.Write(body)
	half := len(body) / 2
	return fmt.Appendf(nil, "%x\r\n%s\r\n%x\r\n%s\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n", half, body[:half], len(body)-half, body[half:],
		base64.StdEncoding.EncodeToString(sum.Sum(nil)))
}

// inChunks is a body in HTTP's own chunks.
func inChunks(body []byte) []byte {
	half := len(body) / 2
	return fmt.Appendf(nil, "%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", half, body[:half], len(body)-half, body[half:])
}

// withSignedChunks replaces the body of a request by chunks whose signatures follow from the one of the head.
func withSignedChunks(t *testing.T, w wire, body []byte) wire {
	t.Helper()
	field := func(name, until string) string {
		_, rest, found := strings.Cut(w.head, name)
		value, _, _ := strings.Cut(rest, until)
		if !found {
			t.Fatalf("the head has no %s", name)
		}
		return value
	}
	date, signature := field("X-Amz-Date: ", "\r\n"), field("Signature=", "\r\n")
	scope := date[:8] + "/" + region + "/s3/aws4_request"
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = sum256(key, part)
	}
	w.body = nil
	half := len(body) / 2
	for _, chunk := range [][]byte{body[:half], body[half:], nil} {
		signature = hex.EncodeToString(sum256(key, strings.Join([]string{"AWS4-HMAC-SHA256-PAYLOAD", date, scope, signature, hashed(nil), hashed(chunk)}, "\n")))
		w.body = fmt.Appendf(w.body, "%x;chunk-signature=%s\r\n%s\r\n", len(chunk), signature, chunk)
	}
	w.head = strings.Replace(w.head, fmt.Sprintf("Content-Length: %d\r\n", len(body)), fmt.Sprintf("Content-Length: %d\r\n", len(w.body)), 1)
	return w
}

func sum256(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// stored is every file below a directory, metadata among them, with what it holds.
func stored(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		files[rel] = fmt.Sprintf("%d bytes, %x", len(body), md5.Sum(body))
		return err
	}))
	return files
}

// withBodies are all kinds of requests that have a body and change something with it.
func withBodies(t *testing.T, e endpoint, dir string) []wire {
	api, box, key, body := sdk(e.url, keyID, secret, http.DefaultClient), aws.String("box"), aws.String("old"), bytes.Repeat([]byte("n"), 40_000)
	for _, k := range []string{"old", "doomed"} {
		_, err := api.PutObject(t.Context(), &s3.PutObjectInput{Bucket: box, Key: &k, Body: strings.NewReader("OLD")})
		must(t, err)
	}
	up, err := api.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: box, Key: aws.String("up")})
	must(t, err)
	part, err := api.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: box, Key: aws.String("up"), UploadId: up.UploadId, PartNumber: aws.Int32(1),
		Body: strings.NewReader("part")})
	must(t, err)
	byURL, err := s3.NewPresignClient(api).PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: box, Key: key})
	must(t, err)
	form, err := s3.NewPresignClient(api).PresignPostObject(t.Context(), &s3.PutObjectInput{Bucket: box, Key: aws.String("form")})
	must(t, err)
	formed := formRequest(t, form)
	formBody, err := io.ReadAll(formed.Body)
	must(t, err)
	newURL, err := http.NewRequest(http.MethodPut, byURL.URL, nil)
	must(t, err)
	oldURL, err := http.NewRequest(http.MethodPut, e.url+byOldURL(http.MethodPut, "/box/old"), nil)
	must(t, err)

	trailer := http.Header{"X-Amz-Decoded-Content-Length": {"40000"}, "Content-Encoding": {"aws-chunked"}, "X-Amz-Trailer": {"x-amz-checksum-crc32"}}
	chunked := trailer.Clone()
	chunked.Set("Transfer-Encoding", "chunked")
	decoded := http.Header{"X-Amz-Decoded-Content-Length": {"40000"}, "Content-Encoding": {"aws-chunked"}}
	partTarget := "/box/up?partNumber=2&uploadId=" + *up.UploadId
	all := []wire{
		signedBy(t, e, "object", "PUT", "/box/old", unsigned, nil, body),
		signedBy(t, e, "object with its hash", "PUT", "/box/old", hashed(body), nil, body),
		written(newURL, "object by URL", body),
		written(oldURL, "object by URL of the old scheme", body),
		signedBy(t, e, "object in chunks with a checksum", "PUT", "/box/old", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", trailer, summed(body)),
		signedBy(t, e, "object in chunks with a checksum, in HTTP's chunks", "PUT", "/box/old", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", chunked, inChunks(summed(body))),
		withSignedChunks(t, signedBy(t, e, "object in signed chunks", "PUT", "/box/old", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", decoded, body), body),
		signedBy(t, e, "part", "PUT", partTarget, unsigned, nil, body),
		signedBy(t, e, "part in chunks with a checksum", "PUT", partTarget, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", trailer, summed(body)),
		written(formed, "form", formBody),
	}
	for name, d := range map[string]struct{ method, target, xml string }{
		"deletion": {"POST", "/box?delete", "<Delete><Object><Key>doomed</Key></Object></Delete>"},
		"tags":     {"PUT", "/box/old?tagging", "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"},
		"policy": {"PUT", "/box?policy",
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::box/*"}]}`},
		"bucket": {"PUT", "/fresh", "<CreateBucketConfiguration></CreateBucketConfiguration>"},
		"completion": {"POST", "/box/up?uploadId=" + *up.UploadId,
			"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + *part.ETag + "</ETag></Part></CompleteMultipartUpload>"},
	} {
		doc := []byte(d.xml + strings.Repeat(" ", 100)) // the document itself is whole before its end
		sum := md5.Sum(doc)
		header := http.Header{"Content-Md5": {base64.StdEncoding.EncodeToString(sum[:])}}
		all = append(all, signedBy(t, e, name, d.method, d.target, unsigned, header, doc), signedBy(t, e, name+" with its hash", d.method, d.target, hashed(doc), header, doc))
	}
	return all
}

// Some requests are sent whole at the end, which shows that it was the end of the body that they lacked.
func TestABodyThatBreaksOffChangesNothing(t *testing.T) {
	dir := t.TempDir()
	e := serveWith(t, s3serve.Options{Dir: dir, MetaFiles: true})
	must(t, e.server.EnsureBucket("box"))
	requests := withBodies(t, e, dir)
	before := stored(t, dir)
	for _, w := range requests {
		last := len(w.body) - 1
		if strings.Contains(w.head, "Transfer-Encoding: chunked") {
			last = len(w.body) - len("\r\n") - 1 // the empty line at the end carries nothing
		}
		noEnd := len(w.body) - len("0\r\n\r\n") // of a chunked body: its last chunk
		for _, n := range []int{0, 1, len(w.body) / 2, len(w.body) - 50, noEnd, last} {
			if status, body := w.send(t, n); status < 400 || status >= 500 || !strings.Contains(body, "<Code>IncompleteBody</Code>") {
				t.Errorf("%s, %d of %d bytes: %d %s", w.name, n, len(w.body), status, body)
			}
			if diff := cmp.Diff(before, stored(t, dir)); diff != "" {
				t.Fatalf("%s, %d of %d bytes:\n%s", w.name, n, len(w.body), diff)
			}
		}
	}
	for _, w := range requests {
		for _, n := range []int{1, len(w.body) / 2, len(w.body) - 3} {
			w.abandon(t, n)
		}
	}
	e.stop() // waits for the requests
	if diff := cmp.Diff(before, stored(t, dir)); diff != "" {
		t.Fatalf("abandoned:\n%s", diff)
	}
}

// HTTP/1.1 knows no such body; one of HTTP/1.0 ends with the connection, wherever that is.
func TestAnObjectWithoutADeclaredLengthChangesNothing(t *testing.T) {
	dir := t.TempDir()
	e := serveWith(t, s3serve.Options{Dir: dir, MetaFiles: true})
	must(t, e.server.EnsureBucket("box"))
	requests := withBodies(t, e, dir)
	before := stored(t, dir)
	for _, w := range requests {
		if !strings.HasPrefix(w.name, "object") && !strings.HasPrefix(w.name, "part") && w.name != "form" || strings.Contains(w.head, "Transfer-Encoding") {
			continue
		}
		_, rest, _ := strings.Cut(w.head, "Content-Length: ")
		length, _, _ := strings.Cut(rest, "\r\n")
		for _, version := range []string{"HTTP/1.0", "HTTP/1.1"} {
			bare := w
			bare.head = strings.Replace(strings.Replace(w.head, "Content-Length: "+length+"\r\n", "", 1), "HTTP/1.1", version, 1)
			if status, body := bare.send(t, len(w.body)); status != http.StatusLengthRequired || !strings.Contains(body, "<Code>MissingContentLength</Code>") {
				t.Errorf("%s, %s: %d %s", w.name, version, status, body)
			}
		}
	}
	if diff := cmp.Diff(before, stored(t, dir)); diff != "" {
		t.Fatal(diff)
	}
}

func TestTheSameBodiesAreTakenWhole(t *testing.T) {
	dir := t.TempDir()
	e := serveWith(t, s3serve.Options{Dir: dir, MetaFiles: true})
	must(t, e.server.EnsureBucket("box"))
	for _, w := range withBodies(t, e, dir) {
		if again := strings.HasSuffix(w.name, " with its hash") && w.name != "object with its hash"; again {
			continue
		}
		before := stored(t, dir)
		if status, body := w.send(t, len(w.body)); status >= 300 {
			t.Errorf("%s: %d %s", w.name, status, body)
		} else if !strings.HasPrefix(w.name, "object ") && !strings.HasPrefix(w.name, "part ") && cmp.Equal(before, stored(t, dir)) {
			t.Errorf("%s changed nothing", w.name)
		}
	}
	api := sdk(e.url, keyID, secret, http.DefaultClient)
	out, err := api.GetObject(context.Background(), &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("old")})
	must(t, err)
	defer out.Body.Close()
	if body, err := io.ReadAll(out.Body); err != nil || string(body) != strings.Repeat("n", 40_000) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

// crc is the checksum that S3 takes in place of Content-MD5.
func crc(body string) string {
	sum := crc32.NewIEEE()
	sum.Write([]byte(body))
	return base64.StdEncoding.EncodeToString(sum.Sum(nil))
}
