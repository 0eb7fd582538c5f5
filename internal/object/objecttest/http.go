package objecttest

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"

	"github.com/batholith/batholith"
)

// ETags selects how the server computes the ETags of objects and parts.
type ETags int

// The kinds of ETags.
const (
	AmazonETags ETags = iota // MD5 of the bytes; for an upload, MD5 of the parts' MD5s and their number
	WholeETags               // MD5 of the bytes, also for an object from an upload (gofakes3)
	OpaqueETags              // not an MD5 (Google, Amazon with SSE-KMS, some gateways)
)

// Quirks are differences of S3 servers from Amazon's. The zero value is Amazon's behaviour.
type Quirks struct {
	ETags            ETags
	NoMetadata       bool   // user metadata is dropped
	UploadsByKey     bool   // uploads are listed for a whole key or the whole bucket only; other prefixes give none (MinIO)
	NoUploadList     bool   // listing uploads is not implemented
	UploadsOrElse    bool   // an empty list of uploads is 404 NoSuchUpload (gofakes3)
	IgnoresIfMatch   bool   // If-Match is ignored on reads (gofakes3)
	NoDeleteObjects  bool   // DeleteObjects is not implemented
	BelievesComplete bool   // CompleteMultipartUpload of an unknown upload returns 200 if the key has an object (versitygw)
	LosesComplete    bool   // the first answer to CompleteMultipartUpload is lost, and a repetition returns 404 NoSuchUpload
	SilentSSE        bool   // CreateMultipartUpload's answer does not mention encryption (MinIO)
	IgnoresSSE       bool   // requested encryption is ignored (gofakes3)
	KMSKey           string // encrypts everything with this key; "": with the requested key
}

// HTTP serves a Memory as an S3 server, in path style, with one bucket. It does not check
// signatures. Set Memory's Fault to make calls fail.
type HTTP struct {
	*Memory
	Quirks

	mu      sync.Mutex             // held during each request, so that the maps below and Memory agree
	shown   map[string]string      // from the ETag that clients see to Memory's
	meta    map[string]http.Header // metadata and encryption, by key
	pending map[string]http.Header // the same, by upload id
}

// NewHTTP returns a server with an empty bucket of this name.
func NewHTTP(bucket string, q Quirks) *HTTP {
	return &HTTP{Memory: NewNamedMemory(bucket), Quirks: q, shown: map[string]string{}, meta: map[string]http.Header{}, pending: map[string]http.Header{}}
}

// RoundTrip implements http.RoundTripper: clients in this process reach the server without a
// socket.
func (h *HTTP) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	// The answer is complete in memory before the client sees it.
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// ServeHTTP answers one S3 request.
func (h *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, r, http.StatusBadRequest, "IncompleteBody")
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if bucket != h.Name() {
		refuse(w, r, http.StatusNotFound, "NoSuchBucket")
		return
	}
	// One request at a time: the maps here and Memory's state must change together.
	h.mu.Lock()
	defer h.mu.Unlock()
	q := r.URL.Query()
	id := q.Get("uploadId")
	switch {
	case key == "" && q.Has("uploads"):
		h.listUploads(w, r)
	case key == "" && q.Has("delete"):
		h.deleteMany(w, r, body)
	case key == "" && r.Method == http.MethodGet:
		h.list(w, r)
	case key == "": // HeadBucket
	case r.Method == http.MethodPost && q.Has("uploads"):
		h.begin(w, r, key)
	case r.Method == http.MethodPost:
		h.complete(w, r, key, id, body)
	case r.Method == http.MethodPut && id != "":
		h.part(w, r, key, id, body)
	case r.Method == http.MethodPut:
		h.put(w, r, key, body)
	case r.Method == http.MethodDelete && id != "":
		h.done(w, r, h.AbortUpload(r.Context(), key, id))
	case r.Method == http.MethodDelete:
		h.done(w, r, h.Delete(r.Context(), key))
	default:
		h.get(w, r, key)
	}
}

// refuse sends an error answer. The answer to HEAD has no body.
func refuse(w http.ResponseWriter, r *http.Request, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>as the test wants it</Message></Error>", code)
	}
}

// fail sends the S3 error for an error of Memory. An unknown error becomes 503 SlowDown.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	for _, c := range []struct {
		is     error
		status int
		code   string
	}{
		{batholith.ErrNoObject, 404, "NoSuchKey"}, {batholith.ErrAccessDenied, 403, "AccessDenied"}, {batholith.ErrObjectChanged, 412, "PreconditionFailed"},
		{errNoUpload, 404, "NoSuchUpload"}, {errBadPart, 400, "InvalidPart"}, {io.ErrUnexpectedEOF, 416, "InvalidRange"},
	} {
		if errors.Is(err, c.is) {
			refuse(w, r, c.status, c.code)
			return
		}
	}
	refuse(w, r, http.StatusServiceUnavailable, "SlowDown")
}

// done sends 204, or the error.
func (h *HTTP) done(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// send sends v as XML.
func send(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(v) // cannot fail: w is in memory
}

// show returns the ETag that clients see for one of Memory's, and remembers the mapping.
func (h *HTTP) show(etag string, body []byte) string {
	seen := etag
	switch {
	// gofakes3 returns the MD5 of the whole object even for an upload.
	case h.ETags == WholeETags && strings.Contains(etag, "-"):
		sum := md5.Sum(body)
		seen = hex.EncodeToString(sum[:])
	// A value that looks like no MD5, but changes with the content.
	case h.ETags == OpaqueETags:
		sum := sha256.Sum256([]byte(etag))
		seen = "C" + hex.EncodeToString(sum[:10]) + "="
	}
	h.shown[seen] = etag
	return seen
}

// entry returns an object of Memory and the ETag that clients see.
func (h *HTTP) entry(key string) (o entry, etag string, there bool) {
	h.Memory.mu.Lock()
	o, there = h.objects[key]
	h.Memory.mu.Unlock()
	if there {
		etag = h.show(o.etag, o.body)
	}
	return o, etag, there
}

// kept returns the request headers that are stored with the object and repeated in answers:
// metadata and encryption.
func (h *HTTP) kept(r *http.Request) http.Header {
	kept := http.Header{}
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Amz-Meta-") && !h.NoMetadata {
			kept[name] = values
		}
	}
	if sse := r.Header.Get("X-Amz-Server-Side-Encryption"); sse != "" && !h.IgnoresSSE {
		kept.Set("X-Amz-Server-Side-Encryption", sse)
		key := r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")
		if h.KMSKey != "" {
			key = h.KMSKey
		}
		kept.Set("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", key)
	}
	return kept
}

func copyHeader(to, from http.Header) {
	for name, values := range from {
		to[name] = values
	}
}

// put handles PutObject.
func (h *HTTP) put(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	if err := h.Put(r.Context(), key, body); err != nil {
		fail(w, r, err)
		return
	}
	h.meta[key] = h.kept(r)
	copyHeader(w.Header(), h.meta[key])
	sum := md5.Sum(body)
	w.Header().Set("ETag", strconv.Quote(h.show(hex.EncodeToString(sum[:]), body)))
}

// get handles GetObject and HeadObject.
func (h *HTTP) get(w http.ResponseWriter, r *http.Request, key string) {
	o, etag, there := h.entry(key)
	if there {
		copyHeader(w.Header(), h.meta[key])
		w.Header().Set("ETag", strconv.Quote(etag))
	}
	if r.Method == http.MethodHead {
		if _, err := h.Head(r.Context(), key); err != nil {
			fail(w, r, err)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(o.body)))
		return
	}
	size := int64(len(o.body))
	// S3 answers 416 if the range begins at or after the end.
	from, n, ranged := byteRange(r.Header.Get("Range"), size)
	if there && ranged && from >= size {
		refuse(w, r, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
		return
	}
	match := strings.Trim(r.Header.Get("If-Match"), `"`)
	if real, ok := h.shown[match]; ok {
		match = real
	}
	if h.IgnoresIfMatch { // read the object whatever its ETag
		match = ""
	}
	in, err := h.Read(r.Context(), key, match, from, n)
	if err != nil {
		fail(w, r, err)
		return
	}
	body, err := io.ReadAll(in)
	if err != nil {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+1)) // makes the answer break off
	}
	if ranged {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+int64(len(body))-1, size))
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(body)
}

// byteRange parses a Range header. n is -1 if the range ends with the object.
func byteRange(header string, size int64) (from, n int64, ranged bool) {
	to := int64(0)
	if _, err := fmt.Sscanf(header, "bytes=%d-%d", &from, &to); err == nil {
		return from, min(to-from+1, size-from), true
	}
	if _, err := fmt.Sscanf(header, "bytes=%d-", &from); err == nil {
		return from, -1, true
	}
	return 0, -1, false
}

// list handles ListObjectsV2, with pages of 1,000 objects.
func (h *HTTP) list(w http.ResponseWriter, r *http.Request) {
	type object struct {
		Key, LastModified, ETag string
		Size                    int64
	}
	var page struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []object
	}
	q := r.URL.Query()
	for o, err := range h.List(r.Context(), q.Get("prefix")) {
		if err != nil {
			fail(w, r, err)
			return
		}
		// The token is the last key of the previous page.
		if o.Key <= q.Get("continuation-token") {
			continue
		}
		if len(page.Contents) == 1000 {
			page.IsTruncated, page.NextContinuationToken = true, page.Contents[999].Key
			break
		}
		_, etag, _ := h.entry(o.Key)
		page.Contents = append(page.Contents, object{o.Key, o.Modified.UTC().Format("2006-01-02T15:04:05.000Z"), strconv.Quote(etag), o.Bytes})
	}
	send(w, page)
}

// deleteMany handles DeleteObjects.
func (h *HTTP) deleteMany(w http.ResponseWriter, r *http.Request, body []byte) {
	if h.NoDeleteObjects {
		refuse(w, r, http.StatusNotImplemented, "NotImplemented")
		return
	}
	var in struct{ Object []struct{ Key string } }
	if err := xml.Unmarshal(body, &in); err != nil {
		refuse(w, r, http.StatusBadRequest, "MalformedXML")
		return
	}
	for _, o := range in.Object {
		if err := h.Delete(r.Context(), o.Key); err != nil {
			fail(w, r, err)
			return
		}
	}
	fmt.Fprint(w, "<DeleteResult/>")
}
