package objecttest

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"
)

// begin handles CreateMultipartUpload.
func (h *HTTP) begin(w http.ResponseWriter, r *http.Request, key string) {
	id, err := h.CreateUpload(r.Context(), key)
	if err != nil {
		fail(w, r, err)
		return
	}
	// The object gets this metadata when the upload is completed.
	h.pending[id] = h.kept(r)
	if !h.SilentSSE {
		copyHeader(w.Header(), h.pending[id])
	}
	send(w, struct {
		XMLName       xml.Name `xml:"InitiateMultipartUploadResult"`
		Key, UploadId string
	}{Key: key, UploadId: id})
}

// part handles UploadPart.
func (h *HTTP) part(w http.ResponseWriter, r *http.Request, key, id string, body []byte) {
	n, err := strconv.Atoi(r.URL.Query().Get("partNumber"))
	if err != nil {
		refuse(w, r, http.StatusBadRequest, "InvalidArgument")
		return
	}
	if _, err := h.UploadPart(r.Context(), key, id, n, body); err != nil {
		fail(w, r, err)
		return
	}
	sum := md5.Sum(body)
	w.Header().Set("ETag", strconv.Quote(h.show(hex.EncodeToString(sum[:]), body)))
}

// complete handles CompleteMultipartUpload.
func (h *HTTP) complete(w http.ResponseWriter, r *http.Request, key, id string, body []byte) {
	var in struct{ Part []struct{ ETag string } }
	if err := xml.Unmarshal(body, &in); err != nil {
		refuse(w, r, http.StatusBadRequest, "MalformedXML")
		return
	}
	var etags []string
	for _, p := range in.Part {
		etag := strings.Trim(p.ETag, `"`)
		if real, ok := h.shown[etag]; ok {
			etag = real
		}
		etags = append(etags, etag)
	}
	// Memory accepts a repeated completion, so the upload's existence is checked first.
	before := h.uploadOpen(id)
	err := h.CompleteUpload(r.Context(), key, id, etags)
	switch _, _, there := h.entry(key); {
	case !before && h.BelievesComplete && there:
	case err != nil:
		fail(w, r, err)
		return
	case !before: // Memory accepts a repetition; a real server has forgotten the upload
		refuse(w, r, http.StatusNotFound, "NoSuchUpload")
		return
	default:
		h.meta[key] = h.pending[id]
		delete(h.pending, id)
	}
	// The object was created, but the client never learns it.
	if h.LosesComplete {
		refuse(w, r, http.StatusNotFound, "NoSuchUpload")
		return
	}
	_, etag, _ := h.entry(key)
	send(w, struct {
		XMLName   xml.Name `xml:"CompleteMultipartUploadResult"`
		Key, ETag string
	}{Key: key, ETag: strconv.Quote(etag)})
}

// uploadOpen reports whether the upload exists.
func (h *HTTP) uploadOpen(id string) bool {
	h.Memory.mu.Lock()
	defer h.Memory.mu.Unlock()
	return h.uploads[id] != nil
}

// listUploads handles ListMultipartUploads.
func (h *HTTP) listUploads(w http.ResponseWriter, r *http.Request) {
	if h.NoUploadList {
		refuse(w, r, http.StatusNotImplemented, "NotImplemented")
		return
	}
	type upload struct{ Key, UploadId string }
	var page struct {
		XMLName xml.Name `xml:"ListMultipartUploadsResult"`
		Upload  []upload
	}
	prefix := r.URL.Query().Get("prefix")
	for u, err := range h.ListUploads(r.Context(), prefix) {
		if err != nil {
			fail(w, r, err)
			return
		}
		// MinIO finds nothing for a real prefix.
		if !h.UploadsByKey || prefix == "" || u.Key == prefix {
			page.Upload = append(page.Upload, upload{u.Key, u.UploadID})
		}
	}
	if h.UploadsOrElse && len(page.Upload) == 0 {
		refuse(w, r, http.StatusNotFound, "NoSuchUpload")
		return
	}
	send(w, page)
}
