package s3serve

import (
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// described is everything that an object can have beside its bytes.
var described = http.Header{
	"X-Amz-Tagging": {"a=old"}, "X-Amz-Meta-A": {"old"}, "Content-Type": {"text/old"}, "Content-Language": {"de"}, "Content-Disposition": {"attachment"},
	"Content-Encoding": {"old"}, "Cache-Control": {"max-age=1"}, "Expires": {"Thu, 01 Jan 2037 00:00:00 GMT"}, "X-Amz-Website-Redirect-Location": {"/old"},
}

// description is what a HEAD of an object answers, without the headers that every answer has anew.
func (w *wire) description(t *testing.T, target string) http.Header {
	t.Helper()
	h := w.must(t, ask{method: "HEAD", target: target, header: http.Header{"X-Amz-Checksum-Mode": {"ENABLED"}}}).header
	for _, name := range []string{"Date", "Last-Modified", "X-Amz-Request-Id", "X-Amz-Id-2"} {
		h.Del(name)
	}
	for name := range h { // the gateway writes some names in its own case
		if strings.EqualFold(name, "x-amz-request-id") || strings.EqualFold(name, "x-amz-id-2") {
			delete(h, name)
		}
	}
	return h
}

// replacing are the requests that make an object.
var replacing = map[string]func(t *testing.T, w *wire, target string){
	"put": func(t *testing.T, w *wire, target string) { w.put(t, target, "new") },
	"copied": func(t *testing.T, w *wire, target string) {
		w.put(t, "/box/source", "new")
		w.must(t, ask{method: "PUT", target: target, header: http.Header{"X-Amz-Copy-Source": {"/box/source"}}})
	},
	"uploaded": func(t *testing.T, w *wire, target string) { inParts(t, w, target, "CRC32", []int{3}) },
	"deleted and put": func(t *testing.T, w *wire, target string) {
		w.must(t, ask{method: "DELETE", target: target})
		w.put(t, target, "new")
	},
}

// An object that replaces another has nothing of the other: no tags, metadata, headers, checksums, parts or legal hold, wherever they are kept.
func TestAnObjectKeepsNothingOfTheOneThatItReplaced(t *testing.T) {
	for kept, metaFiles := range map[string]bool{"attributes": false, "files": true} {
		w := openWire(t, t.TempDir(), metaFiles)
		w.must(t, ask{method: "PUT", target: "/locked", header: http.Header{"X-Amz-Bucket-Object-Lock-Enabled": {"true"}}})
		for way, replace := range replacing {
			t.Run(kept+"/"+way, func(t *testing.T) {
				replace(t, w, "/box/fresh")
				want := w.description(t, "/box/fresh")
				for _, target := range []string{"/locked/put", "/locked/uploaded"} {
					w.describedObject(t, target)
					if r := w.document(t, "PUT", target+"?legal-hold=", "<LegalHold><Status>OFF</Status></LegalHold>"); r.status != http.StatusOK {
						t.Fatalf("legal hold: %d %s", r.status, r.body)
					}
					if before := w.description(t, target); before.Get("X-Amz-Meta-A") != "old" {
						t.Fatalf("the old object has %v", before)
					}
					replace(t, w, target)
					if diff := cmp.Diff(want, w.description(t, target)); diff != "" {
						t.Errorf("%s: %s", target, diff)
					}
					if tags := w.tags(t, target); len(tags) > 0 {
						t.Errorf("%s has the tags %v", target, tags)
					}
					if r := w.do(t, ask{method: "GET", target: target + "?legal-hold="}); r.status < 400 {
						t.Errorf("%s has a legal hold: %s", target, r.body)
					}
				}
			})
		}
	}
}

// describedObject makes an object that has everything, in the way that its key says.
func (w *wire) describedObject(t *testing.T, target string) {
	t.Helper()
	if strings.HasSuffix(target, "put") {
		w.must(t, ask{method: "PUT", target: target, header: described, body: []byte("older")})
		return
	}
	id := element(w.must(t, ask{method: "POST", target: target + "?uploads=", header: described}).body, "UploadId")
	etag := w.must(t, ask{method: "PUT", target: target + "?partNumber=1&uploadId=" + id, body: []byte("older")}).header.Get("ETag")
	w.must(t, ask{method: "POST", target: target + "?uploadId=" + id,
		body: []byte("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + etag + "</ETag></Part></CompleteMultipartUpload>")})
}

// An object that is a directory is not replaced in the file system: its attributes are.
func TestADirectoryKeepsNothingOfTheOneThatItReplaced(t *testing.T) {
	for kept, metaFiles := range map[string]bool{"attributes": false, "files": true} {
		t.Run(kept, func(t *testing.T) {
			w := openWire(t, t.TempDir(), metaFiles)
			w.must(t, ask{method: "PUT", target: "/box/fresh/"})
			w.must(t, ask{method: "PUT", target: "/box/d/", header: described})
			w.put(t, "/box/d/meta", "below it")
			w.must(t, ask{method: "PUT", target: "/box/d/"})
			if diff := cmp.Diff(w.description(t, "/box/fresh/"), w.description(t, "/box/d/")); diff != "" {
				t.Error(diff)
			}
			if tags := w.tags(t, "/box/d/"); len(tags) > 0 {
				t.Errorf("it has the tags %v", tags)
			}
			w.must(t, ask{method: "PUT", target: "/box/d/", header: http.Header{"X-Amz-Tagging": {"b=new"}, "X-Amz-Meta-B": {"new"}}})
			if h := w.description(t, "/box/d/"); h.Get("X-Amz-Meta-B") != "new" || w.tags(t, "/box/d/")["b"] != "new" {
				t.Errorf("it lost what came with it: %v", h)
			}
			if r := w.must(t, ask{method: "GET", target: "/box/d/meta"}); r.body != "below it" || r.header.Get("ETag") == "" {
				t.Errorf("the object below it is %q, ETag %q", r.body, r.header.Get("ETag"))
			}
		})
	}
}

// A copy onto a directory replaces its attributes as well, and a copy of a directory has its metadata and tags.
func TestACopyOntoADirectoryKeepsNothingOfTheOneThatItReplaced(t *testing.T) {
	eachMeta(t, func(t *testing.T, w *wire) {
		w.put(t, "/box/empty", "")
		w.must(t, ask{method: "PUT", target: "/box/other/", header: http.Header{"X-Amz-Tagging": {"b=new"}, "X-Amz-Meta-B": {"new"}}})
		w.put(t, "/box/other/k", "below it")
		replace := http.Header{"X-Amz-Metadata-Directive": {"REPLACE"}, "X-Amz-Tagging-Directive": {"REPLACE"}, "X-Amz-Tagging": {"b=new"}, "X-Amz-Meta-B": {"new"}}
		for _, c := range []struct {
			from, to string
			header   http.Header
			want     string // X-Amz-Meta-B, and the tag b
		}{
			{"box/empty", "/box/d/", nil, ""}, {"box/other/", "/box/d/", nil, "new"}, {"box/empty", "/box/d/", replace, "new"}, {"box/d/", "/box/d/", replace, "new"},
			{"box/other/", "/box/new/", nil, "new"}, {"box/other/", "/box/key", nil, "new"},
		} {
			if c.to == "/box/d/" {
				w.must(t, ask{method: "PUT", target: c.to, header: described})
			}
			header := http.Header{"X-Amz-Copy-Source": {c.from}}
			maps.Copy(header, c.header)
			w.must(t, ask{method: "PUT", target: c.to, header: header})
			h, tags := w.description(t, c.to), w.tags(t, c.to)
			if h.Get("X-Amz-Meta-A") != "" || h.Get("X-Amz-Website-Redirect-Location") != "" || tags["a"] != "" || h.Get("X-Amz-Meta-B") != c.want || tags["b"] != c.want || h.Get("Content-Length") != "0" {
				t.Errorf("%s to %s, %v: %v, tags %v", c.from, c.to, c.header, h, tags)
			}
		}
		id := element(w.must(t, ask{method: "POST", target: "/box/u?uploads="}).body, "UploadId")
		w.must(t, ask{method: "PUT", target: "/box/u?partNumber=1&uploadId=" + id, header: http.Header{"X-Amz-Copy-Source": {"box/other/"}}})
		for _, c := range []ask{{method: "PUT", target: "/box/d/", header: http.Header{"X-Amz-Copy-Source": {"box/other/k"}}}, {method: "PUT", target: "/box/x", header: http.Header{"X-Amz-Copy-Source": {"box/none/"}}}} {
			if r := w.do(t, c); r.code() != "DirectoryObjectContainsData" && r.code() != "NoSuchKey" {
				t.Errorf("%s %v: %d %s", c.target, c.header, r.status, r.body)
			}
		}
	})
}

// A name that no file can have is that of a missing object, and not a fault of the storage.
func TestAKeyThatNoFileCanHaveIsAMissingOne(t *testing.T) {
	eachMeta(t, func(t *testing.T, w *wire) {
		w.put(t, "/box/k", "x")
		id := element(w.must(t, ask{method: "POST", target: "/box/u?uploads="}).body, "UploadId")
		for _, key := range []string{strings.Repeat("a", 400), strings.Repeat("a", 300) + "/b", "b/" + strings.Repeat("a", 256), strings.Repeat("a", 400) + "/", "k/below"} {
			from := http.Header{"X-Amz-Copy-Source": {"box/" + key}}
			for _, c := range []ask{
				{method: "PUT", target: "/box/copy", header: from}, {method: "PUT", target: "/box/copy/", header: from}, {method: "PUT", target: "/box/u?partNumber=1&uploadId=" + id, header: from},
				{method: "GET", target: "/box/" + key}, {method: "HEAD", target: "/box/" + key}, {method: "GET", target: "/box/" + key + "?tagging="},
				{method: "GET", target: "/box/" + key + "?attributes=", header: http.Header{"X-Amz-Object-Attributes": {"ETag,Checksum"}}},
			} {
				if r := w.do(t, c); r.status != http.StatusNotFound && r.code() != "KeyTooLongError" && !(c.method == "HEAD" && r.status == http.StatusBadRequest) { // HEAD has no code
					t.Errorf("%s %.60s, source %.30s: %d %s", c.method, c.target, from.Get("X-Amz-Copy-Source"), r.status, r.body)
				}
			}
		}
	})
}

// An upload under such a key is refused before its parts are sent, and a list of deletions with such a key has no fault.
func TestNothingIsUploadedUnderAKeyThatNoFileCanHave(t *testing.T) {
	eachMeta(t, func(t *testing.T, w *wire) {
		for _, key := range []string{strings.Repeat("a", 256), strings.Repeat("ä", 128), "b/" + strings.Repeat("a", 400), strings.Repeat("a", 300) + "/b"} {
			target := "/box/" + (&url.URL{Path: key}).EscapedPath()
			if r := w.do(t, ask{method: "POST", target: target + "?uploads="}); r.status != http.StatusBadRequest || r.code() != "KeyTooLongError" {
				t.Errorf("%.30s: %d %s", key, r.status, r.body)
			}
			// One that an earlier version has begun cannot be completed.
			upload := target + "?uploadId=11111111-2222-3333-4444-555555555555"
			whole := []byte("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>")
			if r := w.do(t, ask{method: "POST", target: upload, body: whole}); r.status != http.StatusBadRequest || r.code() != "KeyTooLongError" {
				t.Errorf("%.30s, the end of an upload: %d %s", key, r.status, r.body)
			}
			if r := w.document(t, "POST", "/box?delete=", "<Delete><Object><Key>"+key+"</Key></Object><Object><Key>none</Key></Object></Delete>"); r.status != http.StatusOK || strings.Contains(r.body, "InternalError") {
				t.Errorf("%.30s, among deletions: %d %s", key, r.status, r.body)
			}
		}
		w.put(t, "/box/k", "x")
		for _, key := range []string{"k/a/b", "k/a/b/c"} { // k is a file
			if r := w.do(t, ask{method: "DELETE", target: "/box/" + key}); r.status != http.StatusNoContent {
				t.Errorf("%s: %d %s", key, r.status, r.body)
			}
			if r := w.document(t, "POST", "/box?delete=", "<Delete><Object><Key>"+key+"</Key></Object></Delete>"); element(r.body, "Deleted") == "" {
				t.Errorf("%s, among deletions: %d %s", key, r.status, r.body)
			}
		}
		for _, name := range []string{strings.Repeat("a", 255), strings.Repeat("ä", 127) + "b"} { // 255 bytes
			w.must(t, ask{method: "POST", target: "/box/" + url.PathEscape(name) + "?uploads="})
		}
	})
}

// Files that were staged are forgotten.
func TestStagedFilesAreForgotten(t *testing.T) {
	s := newStaged()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	must(t, err)
	if !s.first(f) || s.first(f) {
		t.Error("the first time is not told from the second")
	}
	must(t, f.Close())
	f = nil
	for left := 1; left > 0; {
		runtime.GC()
		s.mu.Lock()
		left = len(s.files)
		s.mu.Unlock()
	}
}
