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

// ETags says how a server makes the ETags of objects and parts.
type ETags int

// The kinds of ETags.
const (
	AmazonETags ETags = iota // MD5 of the bytes; of an upload, MD5 of the parts' MD5s and their number
	WholeETags               // MD5 of the bytes, also of an upload's object (gofakes3)
	OpaqueETags              // no MD5 at all (Google, Amazon with SSE-KMS, some gateways)
)

// Quirks are ways in which S3 servers differ from Amazon's.
type Quirks struct {
	ETags            ETags
	NoMetadata       bool   // user metadata is forgotten
	UploadsByKey     bool   // the list of uploads is that of one key or of the whole bucket: other prefixes have none (MinIO)
	NoUploadList     bool   // there is no list of uploads
	UploadsOrElse    bool   // an empty list of uploads is 404 NoSuchUpload (gofakes3)
	IgnoresIfMatch   bool   // an object is read whatever ETag is demanded (gofakes3)
	NoDeleteObjects  bool   // objects are deleted one by one
	BelievesComplete bool   // a completion of an unknown upload is 200 if there is an object under its key (versitygw)
	LosesComplete    bool   // the answer to a completion is lost, and that to its repetition is 404 NoSuchUpload
	SilentSSE        bool   // the beginning of an upload does not say that its object will be encrypted (MinIO)
	IgnoresSSE       bool   // objects are stored as they are, whatever encryption is asked for (gofakes3)
	KMSKey           string // encrypts everything with this key, whichever is asked for; "" = with the one asked for
}

// HTTP is a Memory as an S3 server, path style, with one bucket. It checks no signatures. Set Memory's Fault to make calls fail.
type HTTP struct {
	*Memory
	Quirks

	mu      sync.Mutex             // held for each request, so that what is kept here and in Memory agrees
	shown   map[string]string      // ETags as clients see them, to Memory's
	meta    map[string]http.Header // metadata and encryption, by key
	pending map[string]http.Header // the same, by upload id
}

// NewHTTP makes a server with an empty bucket of this name.
func NewHTTP(bucket string, q Quirks) *HTTP {
	return &HTTP{Memory: NewNamedMemory(bucket), Quirks: q, shown: map[string]string{}, meta: map[string]http.Header{}, pending: map[string]http.Header{}}
}

// RoundTrip serves a client in the same process, without a socket.
func (h *HTTP) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// ServeHTTP answers a request.
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

// refuse answers with an error. That to a HEAD has no body.
func refuse(w http.ResponseWriter, r *http.Request, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>as the test wants it</Message></Error>", code)
	}
}

// fail answers with what Memory says.
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

func (h *HTTP) done(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func send(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(v) // into memory
}

// show makes the ETag that clients see of Memory's, and remembers it.
func (h *HTTP) show(etag string, body []byte) string {
	seen := etag
	switch {
	case h.ETags == WholeETags && strings.Contains(etag, "-"):
		sum := md5.Sum(body)
		seen = hex.EncodeToString(sum[:])
	case h.ETags == OpaqueETags:
		sum := sha256.Sum256([]byte(etag))
		seen = "C" + hex.EncodeToString(sum[:10]) + "="
	}
	h.shown[seen] = etag
	return seen
}

// entry is an object as Memory keeps it, and its ETag as clients see it.
func (h *HTTP) entry(key string) (o entry, etag string, there bool) {
	h.Memory.mu.Lock()
	o, there = h.objects[key]
	h.Memory.mu.Unlock()
	if there {
		etag = h.show(o.etag, o.body)
	}
	return o, etag, there
}

// kept is what is kept of a request's headers, and what is answered at once: metadata and encryption.
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
	from, n, ranged := byteRange(r.Header.Get("Range"), size)
	if there && ranged && from >= size {
		refuse(w, r, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
		return
	}
	match := strings.Trim(r.Header.Get("If-Match"), `"`)
	if real, ok := h.shown[match]; ok {
		match = real
	}
	if h.IgnoresIfMatch {
		match = ""
	}
	in, err := h.Read(r.Context(), key, match, from, n)
	if err != nil {
		fail(w, r, err)
		return
	}
	body, err := io.ReadAll(in)
	if err != nil {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+1)) // it breaks off
	}
	if ranged {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+int64(len(body))-1, size))
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(body)
}

// byteRange reads a Range header. n is -1 to the end of the object.
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
